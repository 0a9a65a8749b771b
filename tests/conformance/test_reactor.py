"""Twisted's own tests of reactors and transports pass on our reactor as they do on stock epoll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conformance.comparing import run

if TYPE_CHECKING:
    from pathlib import Path

AT_LEAST = 800
"""When fewer pass on stock epoll, something was not imported.  Of Twisted 26.10 about 900 do."""


def test_passes_what_stock_epoll_passes(tmp_path: Path) -> None:
    """What passes on stock epoll, here and now, passes on ours: none fails, is skipped, or hangs."""
    ours, stock = run(["tcpsuite", "epoll"], ["twisted.internet.test"], tmp_path, at_most=100, each=15)
    assert stock.count()["passed"] >= AT_LEAST, stock.said
    assert not (faults := ours.faults(stock)), "\n\n".join(faults)
