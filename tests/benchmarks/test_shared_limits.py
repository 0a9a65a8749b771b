"""What the measurement of shared limits prints."""

from __future__ import annotations

from tests.benchmarks.scripts import call
from tests.integration.support.programs import need


def test_prints_what_redis_is_asked() -> None:
    """Each rate has its figures, nobody is refused without need, and no more is asked than it says."""
    need("redis-server")
    told = call("shared_limits.py", "--seconds", "1", "--rates", "50", "500", "--crowd", "3000").stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if "|" in line]
    loads = [row for row in rows if len(row) == 7 and row[0][0].isdigit()]
    assert len(loads) == 2
    for _, requests, questions, commands, *_, refused in loads:
        assert float(requests.replace(",", "")) > 0
        assert 0 < float(questions) <= 200
        assert float(commands) <= 2 * 200
        assert refused == "0"
    bursts = {int(row[0]): int(row[1]) for row in rows if len(row) == 2 and row[0].isdigit()}
    assert bursts == {10: 10, 20: 20, 50: 20, 100: 20}
    crowd = {row[0]: float(row[1]) for row in rows if len(row) == 3 and row[1][0].isdigit()}
    assert list(crowd) == ["asked about", "Redis is away", "told again", "given back"]
    assert all(seconds < 60 for seconds in crowd.values())
