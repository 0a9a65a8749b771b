"""The benchmark of a slow server among three, cut short."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.scripts import call
from tests.integration.support.programs import need

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "slow_server.py"
FAIR = 1 / 3


@pytest.mark.usefixtures("temporary")
def test_shares(tmp_path: Path) -> None:
    """The slow server has its fair share in turns, and under half of it by times; nothing is left behind."""
    need("cc", "taskset")
    figures = tmp_path / "figures"
    chosen = ("round_robin", "least_time", "--rounds", "1", "--seconds", "0.6", "--output", figures)
    told = call(SCRIPT, *chosen).stdout
    assert figures.with_suffix(".md").read_text() == told
    measured = json.loads(figures.with_suffix(".json").read_text())
    for kind in ("short", "loops"):
        (turns,), (times,) = measured[kind]["round_robin"], measured[kind]["least_time"]
        assert turns["share"] == pytest.approx(FAIR, abs=0.02)
        assert times["share"] < FAIR / 2
        assert f"| {times['share']:.1%}" in told
        assert times["mean"] > 0
        assert times["p99"] > 0
        assert turns["p99"] > 50


def test_what_is_unknown() -> None:
    """A strategy that there is not is named, with those that there are."""
    done = call(SCRIPT, "fastest", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("no strategy fastest: round_robin, least_connections, ")
