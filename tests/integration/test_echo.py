"""The echo service, and the gateway in front of it, to socat."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import need, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.support.suites import Suite

ECHO = """
[listener.echo]
endpoint = ["tcp:<echo>:interface=127.0.0.1", "unix:{socket}"]
service = "echo"

[listener.gateway]
endpoint = "tcp:<gateway>:interface=127.0.0.1"
service = "gateway"
upstream = "echo"

[upstream.echo]
servers = [{{ name = "only", address = "tcp:127.0.0.1:<echo>" }}]
"""


@pytest.mark.parametrize("way", ["echo", "unix", "gateway"])
def test_half_close(serve: Callable[..., Suite], tmp_path: Path, way: str) -> None:
    """socat sends 10 MB, shuts down its writing side, and reads all of it back before the end."""
    need("socat")
    socket = tmp_path / "echo.sock"
    suite = serve(ECHO.format(socket=socket))
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(os.urandom(10_000_000))
    address = f"unix-connect:{socket}" if way == "unix" else f"tcp:127.0.0.1:{suite.ports[way]}"
    with sent.open("rb") as source, received.open("wb") as sink:
        # -t: how long socat waits for the other direction once one has ended; far longer than it may take.
        run("socat", "-t", "60", "-", address, stdin=source, stdout=sink)
    assert received.read_bytes() == sent.read_bytes()
    suite.finish()
