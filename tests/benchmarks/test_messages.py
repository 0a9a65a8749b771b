"""What the measurement of the message service prints."""

from __future__ import annotations

import pytest

from tests.benchmarks.scripts import SHORT, call, cells
from tests.integration.support.programs import need


@pytest.mark.usefixtures("temporary")
def test_prints_a_table() -> None:
    """Each case has a figure, beside what was aimed at and what the report has."""
    need("taskset")
    heads, *rows = cells(call("messages.py", *SHORT).stdout)
    assert heads == ["a second", "tcpsuite", "aim", "the report (Go, 12 cores)"]
    assert len(rows) == 7
    for _case, figure, _aim, _report in rows:
        assert float(figure.split(" ")[0].replace(",", "")) > 0
    assert [row[3] for row in rows if row[0] == "1 KiB notes, sent only"] == ["138,179"]
