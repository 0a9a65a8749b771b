"""What the measurement of attached connections prints."""

from __future__ import annotations

import pytest

from tests.benchmarks.scripts import call, cells
from tests.integration.support.programs import need


@pytest.mark.usefixtures("temporary")
def test_prints_what_it_costs() -> None:
    """A row for each measure, with a figure for each way, and what part of the direct way's that is."""
    need("redis-server", "redis-benchmark")
    told = call("attach.py", "--rounds", "1", "--requests", "500", "--size", "2").stdout
    heads, *rows = cells(told)
    assert heads == ["", "direct", "gateway", "attach"]
    assert [row[0].partition(",")[0] for row in rows] == ["requests/s"] * 3 + ["MB/s"] * 2
    for _, *figures in rows:
        direct, *others = (float(figure.partition(" ")[0].replace(",", "")) for figure in figures)
        assert direct > 0
        shares = [float(figure.partition(" ")[2].strip("()")) for figure in figures]
        assert shares[0] == 1
        for figure, share in zip(others, shares[1:], strict=True):
            assert share == pytest.approx(figure / direct, abs=0.01 + 1 / direct)
