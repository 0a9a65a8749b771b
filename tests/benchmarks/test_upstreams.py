"""What watching ten servers costs, measured in a moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.scripts import SHORT, assert_refused, call, cells
from tests.integration.support.programs import need

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "upstreams.py"


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(("case", "title"), [("1k", "1 KiB x 50"), ("64k", "64 KiB x 50")])
def test_one_case(tmp_path: Path, case: str, title: str) -> None:
    """Both gateways are measured, told in a table and written down, and nothing is left behind."""
    need("cc", "taskset")
    figures = tmp_path / "figures"
    told = call(SCRIPT, "--case", case, *SHORT, "--output", figures).stdout
    head, row = cells(told)
    assert head == ["", "with", "without", "with / without", "at least 0.95"]
    assert row[0].startswith(title)
    own, other = (int(cell.replace(",", "")) for cell in row[1:3])
    assert float(row[3]) == pytest.approx(own / other, abs=0.01)
    assert row[4] == ("met" if float(row[3]) >= 0.95 else "missed")
    assert figures.with_suffix(".md").read_text() == told
    measured = json.loads(figures.with_suffix(".json").read_text())["cases"]
    assert set(measured[case]) == {"tcpsuite", "without"}
    assert all(each["failed"] == 0 for rounds in measured[case].values() for each in rounds)


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("--case", "nope"), 2, "argument --case: invalid choice: 'nope'"),
        (("--rounds", "0"), 2, "argument --rounds: a whole number from 1 on, not 0\n"),
        (("--output", "/nonexistent/x"), 1, "cannot write /nonexistent/x.md\n"),
    ],
)
@pytest.mark.usefixtures("temporary")
def test_nonsense(words: tuple[str, ...], status: int, complaint: str) -> None:
    """What cannot be measured or written is refused before anything is."""
    assert_refused(SCRIPT, words, status, complaint)
