"""What is left behind by connections that came and went: seen when there is something, and when not."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from tests.benchmarks import BENCHMARKS
from tests.benchmarks.scripts import assert_refused, call, cells
from tests.integration.support.programs import need

SCRIPT = "churned.py"
NOTHING: dict[str, Any] = {"objects": {"tcpsuite.Thing": 100}, "timers": 5, "resident": 1000}


@pytest.mark.usefixtures("temporary")
def test_some() -> None:
    """Each way is gone, each reason is met, and all gauges are back when they have gone."""
    need("cc", "taskset", "openssl")
    done = call(SCRIPT, "--connections", "2400", check=False)
    head, *rows = cells(done.stdout)
    assert head == ["", "before", "behind them", ""]
    ways = dict(re.findall(r"([A-Za-z][^,.]*?) (\d[\d,]*)(?=[,.])", done.stdout.split("How they went: ")[1]))
    assert {"echo: FIN", "gateway: reset", "TLS: within the handshake", "refused: answered"} <= ways.keys()
    reasons = done.stdout.split("Why they ended, with the warm-up: ")[1]
    for reason in ("client_closed", "client_reset", "cut", "deadline", "no_room", "protocol_error"):
        assert reason in reasons
    (gauges,) = (row for row in rows if row[0] == "gauges")
    assert gauges[2] == f"{gauges[1]} the same", done.stdout
    assert int(gauges[1]) > 100
    assert done.returncode == int(any(row[3] == "missed" for row in rows)), done.stderr


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, which finds what it imports beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("churned")


def missed(script: Any, gauges: tuple[dict[str, float], dict[str, float]], **end: Any) -> list[str]:
    """What is told to be left."""
    rows = script.compared(gauges, (NOTHING, {**NOTHING, **end}))
    return [name for name, _, _, fine in rows if not fine]


def test_nothing_left(script: Any) -> None:
    """What is as before, or little more, is right; so is what is less."""
    same = {"tcpsuite_open": 0.0}
    assert missed(script, (same, same)) == []
    few = {"tcpsuite.Thing": 110, "tcpsuite.Other": 3}
    assert missed(script, (same, same), objects=few, timers=4, resident=1049) == []


def test_something_left(script: Any) -> None:
    """A gauge that is another, many more objects of a kind, timers, and memory are told of."""
    gauges = {"tcpsuite_open": 0.0, "tcpsuite_idle": 2.0}, {"tcpsuite_open": 1.0, "tcpsuite_new": 1.0}
    names = ["`tcpsuite_idle`", "`tcpsuite_new`", "`tcpsuite_open`"]
    assert missed(script, gauges) == names
    end = {"objects": {"tcpsuite.Thing": 100, "tcpsuite.Other": 21}, "timers": 26, "resident": 1051}
    left = missed(script, ({}, {}), **end)
    assert left == ["objects `tcpsuite.Other`", "timers", "resident memory, MB"]


@pytest.mark.usefixtures("temporary")
def test_nonsense() -> None:
    """What cannot be measured is refused before anything is."""
    complaint = "argument --connections: a whole number from 1 on, not 0\n"
    assert_refused(SCRIPT, ("--connections", "0"), 2, complaint)
