"""What the measurement of bandwidth prints."""

from __future__ import annotations

import pytest

from tests.benchmarks.scripts import call, cells


@pytest.mark.usefixtures("temporary")
def test_prints_how_close_it_comes() -> None:
    """What came, beside what was allowed, and whether that is close and even enough."""
    head, row = cells(call("bandwidth.py", "--rate", "200000", "--seconds", "1.5").stdout)
    assert (head[0], row[0]) == ("bytes a second", "200,000")
    got, share = row[1].split(" ")
    assert float(share.strip("()%")) == pytest.approx(
        (int(got.replace(",", "")) / 200_000 - 1) * 100, abs=0.01
    )
    assert row[2] == ("met" if abs(float(share.strip("()%"))) < 5 else "missed")
    low, high = map(float, row[3].split(" to "))
    assert low <= high
    assert row[4] in ("met", "missed")
