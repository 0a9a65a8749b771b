"""What the measurement of a lease prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pool.py"


def test_prints_what_a_pair_costs() -> None:
    """Both ways of use have a figure, and whether the first is within its limit is said."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "3", "--pairs", "200"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    figures = re.findall(r"^(acquire.*): best [\d.]+, median ([\d.]+), worst", done.stdout, re.MULTILINE)
    assert [name for name, _ in figures] == ["acquire, release", "acquire, attach, release"]
    within = float(figures[0][1]) < 15
    assert f"under 15: {'yes' if within else 'no'}" in done.stdout
