"""What the measurement of idle connections prints."""

from __future__ import annotations

import pytest

from tests.benchmarks.scripts import call, cells


@pytest.mark.usefixtures("temporary")
def test_prints_what_idle_connections_cost() -> None:
    """Each service has a row: a process alone, one with connections, and whether that is little."""
    words = (
        "--connections",
        "50",
        "--rounds",
        "1",
        "--seconds",
        "0.5",
        "--case",
        "files-http",
        "--case",
        "gateway",
    )
    head, *rows = cells(call("idle.py", *words).stdout)
    assert head[1:] == ["connections", "alone, of a processor", "with them", "at most 1%"]
    assert [row[:2] for row in rows] == [["files-http", "50"], ["gateway", "50"]]
    for row in rows:
        with_them = float(row[3].split("%")[0])
        assert row[4] == ("met" if with_them <= 1 else "missed")
