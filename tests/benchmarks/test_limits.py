"""What the measurement of limits prints."""

from __future__ import annotations

from tests.benchmarks.scripts import call


def test_prints_what_a_check_costs() -> None:
    """Each way has a figure and a goal, for both families of addresses, and each key its bytes."""
    told = call("limits.py", "--rounds", "2", "--keys", "500").stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if "|" in line]
    checks = [row for row in rows if len(row) == 4 and row[3] in ("met", "missed")]
    assert len(checks) == 16
    for _, figure, most, met in checks:
        within = float(figure.split(" ")[0].replace(",", "")) <= float(most.replace(",", ""))
        assert met == ("met" if within else "missed")
    assert sum(row[0] == "the end of a connection" for row in rows) == 2
    (rate,) = (row for row in rows if row[0] == "a rate")
    (opened,) = (row for row in rows if row[0].startswith("an open connection"))
    assert 100 < float(rate[1]) < 1000
    assert 100 < float(opened[1]) < 1000
