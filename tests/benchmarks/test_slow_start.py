"""A server in a slow start gets what its weight is due, by every strategy, however much there is to do."""

from __future__ import annotations

import pytest

from benchmarks.slow_start import LOADS, slow_start
from tcpsuite.core.balancing import STRATEGIES

TOLERANCE = 0.2
"""Of a quarter of the window: lots are drawn, and some 100 of the server's connections are counted."""
QUARTER = 5
"""Steps."""


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "first"])
def test_rises_in_a_line(strategy: str, load: str) -> None:
    """In each quarter of the window it gets the share that its weight has of all, within a fifth of that; and
    in each more than in the one before.
    """
    steps = slow_start(strategy, LOADS[load], picks=500)
    quarters = [steps[begin : begin + QUARTER] for begin in range(0, len(steps), QUARTER)]
    got = [sum(step.got for step in quarter) for quarter in quarters]
    due = [sum(step.due for step in quarter) for quarter in quarters]
    assert got == pytest.approx(due, rel=TOLERANCE)
    assert got == sorted(got)


@pytest.mark.parametrize("strategy", ["least_connections", "least_time", "power_of_two"])
def test_among_many(strategy: str) -> None:
    """It does so among ten servers that are mostly idle, which is hardest for rules that go by load."""
    steps = slow_start(strategy, LOADS["idle"], servers=10, picks=1000)
    first, second = (steps[: len(steps) // 2], steps[len(steps) // 2 :])
    for half in first, second:
        assert sum(step.got for step in half) == pytest.approx(sum(step.due for step in half), rel=TOLERANCE)
