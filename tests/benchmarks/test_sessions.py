"""What sessions cost, measured in a moment."""

from __future__ import annotations

import pytest

from tests.benchmarks.scripts import assert_refused, call, cells
from tests.integration.support.programs import need

SCRIPT = "sessions.py"


@pytest.mark.usefixtures("temporary")
def test_each_store() -> None:
    """Each store is measured and told in a column, with the goals, and nothing is left behind."""
    need("redis-server")
    done = call(SCRIPT, "--sessions", "1000", "--seconds", "0.3", check=False)
    rows = {row[0]: row[1:] for row in cells(done.stdout)}
    assert rows[""] == ["memory", "sqlite", "redis", "goal"]
    opened = [int(cell.replace(",", "")) for cell in rows["opened a second"][:3]]
    assert min(opened) > 100
    kinds = [title for title in rows if title.startswith("ms to refuse an id that is ")]
    assert len(kinds) == 4
    for title in (*kinds, "ms that a sweep takes, all in use"):
        assert all(float(cell) > 0 for cell in rows[title][:3])
    for title in ("ms to resume, in use: median, p99", "ms to resume, idle: median, p99"):
        for cell in rows[title][:3]:
            middle, most = map(float, cell.split(","))
            assert 0 < middle <= most
    missed = any(row[3].endswith("missed") for row in rows.values())
    assert done.returncode == int(missed), done.stderr


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("--store", "nope"), 2, "argument --store: invalid choice: 'nope'"),
        (("--sessions", "10"), 2, "argument --sessions: a whole number from 1000 on, not 10\n"),
    ],
)
@pytest.mark.usefixtures("temporary")
def test_nonsense(words: tuple[str, ...], status: int, complaint: str) -> None:
    """What cannot be measured is refused before anything is."""
    assert_refused(SCRIPT, words, status, complaint)
