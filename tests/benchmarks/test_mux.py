"""What the measurement of streams prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmarks.scripts import SHORT, call
from tests.integration.support.programs import need

PACKAGE = Path("/usr/share/gocode/src/github.com/hashicorp/yamux")


@pytest.mark.usefixtures("temporary")
def test_prints_tables() -> None:
    """What was measured, beside what the reference does, in tables."""
    need("go", "taskset")
    if not PACKAGE.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{PACKAGE} is not there; `make test-deps`")
    told = call("mux.py", *SHORT, "--streams", "500", "--connections", "50", "--opened", "300").stdout
    rows = {
        cells[0]: cells[1:]
        for line in told.splitlines()
        if line.startswith("|") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
    }
    for what in ("100 B, 1 stream", "1 MiB, 1 stream", "opened, used once, closed"):
        _unit, mine, theirs, ratio, _least = rows[what]
        one, other = (float(figure.replace(",", "")) for figure in (mine, theirs))
        assert min(one, other) > 0
        assert float(ratio.split(" ")[0]) == pytest.approx(one / other, abs=0.02, rel=0.1)
    alone, beside, bound = (float(cell.split(" ")[0].replace(",", "")) for cell in rows["tcpsuite"])
    assert min(alone, beside) > 0
    assert bound == pytest.approx(max(2000, 10 * alone), abs=10)
    for what in ("idle stream, of 500", "idle connection, of 50"):
        assert float(rows[what][0].replace(",", "")) > 0
