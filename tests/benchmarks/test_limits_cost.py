"""What limits cost that nobody reaches, measured in a moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.scripts import SHORT, assert_refused, call, cells
from tests.integration.support.programs import need

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "limits_cost.py"


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(("group", "title"), [("echo", "Echo"), ("relay", "Relay")])
def test_one_case(tmp_path: Path, group: str, title: str) -> None:
    """With and without limits it is measured, told in a table and written down, and leaves nothing."""
    need("cc", "taskset")
    figures = tmp_path / "figures"
    told = call(SCRIPT, group, "--case", "1k", *SHORT, "--output", figures).stdout
    head, row = cells(told)
    assert head == [title, "no limits", "with all", "at least 0.95", "without bandwidth", "at least 0.95"]
    assert row[0].startswith("1 KiB x 50")
    assert figures.with_suffix(".md").read_text() == told
    measured = json.loads(figures.with_suffix(".json").read_text())["groups"][group]["1k"]
    per_second = {name: rounds[0]["per_s"] for name, rounds in measured.items()}
    assert int(row[1].replace(",", "")) == round(per_second["no limits"])
    for name, left, verdict in (("tcpsuite", row[2], row[3]), ("without bandwidth", row[4], row[5])):
        assert float(left) == pytest.approx(per_second[name] / per_second["no limits"], abs=0.001)
        assert verdict == ("met" if float(left) >= 0.95 else "missed")
    assert all(each["failed"] == 0 for rounds in measured.values() for each in rounds)


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("nope",), 1, "no group nope: echo, relay\n"),
        (("--case", "nope"), 2, "argument --case: invalid choice: 'nope'"),
        (("--output", "/nonexistent/x"), 1, "cannot write /nonexistent/x.md\n"),
    ],
)
@pytest.mark.usefixtures("temporary")
def test_nonsense(words: tuple[str, ...], status: int, complaint: str) -> None:
    """What cannot be measured or written is refused before anything is."""
    assert_refused(SCRIPT, words, status, complaint)
