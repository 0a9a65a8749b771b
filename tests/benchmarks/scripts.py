"""A script that measures, called as its user calls it, and what it prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.benchmarks import BENCHMARKS
from tests.integration.support.programs import run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

SHORT = ("--rounds", "1", "--seconds", "0.2")
"""The least that it may be asked for, and still have figures."""


def call(script: str, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return run(sys.executable, BENCHMARKS / script, *words, check=check)


def assert_refused(script: str, words: tuple[str, ...], status: int, complaint: str) -> None:
    """It ends with this status and complaint, and has measured nothing."""
    done = call(script, *words, check=False)
    assert done.returncode == status
    assert complaint in done.stderr
    assert not done.stdout


def cells(told: str) -> list[list[str]]:
    """The rows of the table, without the line below its heads and the stars of a load at its limit."""
    lines = [line for line in told.splitlines() if line.startswith("|")]
    return [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in (lines[0], *lines[2:])]
