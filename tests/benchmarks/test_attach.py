"""What the measurement of attached connections prints."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.benchmarks.scripts import call, cells
from tests.integration.support.postgres import USER, Postgres
from tests.integration.support.programs import need

SHORT = ("--rounds", "1", "--requests", "500", "--size", "2")


def check(told: str, measures: list[str]) -> None:
    """There is a row for each measure: a figure for each way, and what part of the direct way's that is."""
    heads, *rows = cells(told)
    assert heads == ["", "direct", "gateway", "attach"]
    assert [row[0] for row in rows] == measures
    for _, *figures in rows:
        direct, *others = (float(figure.partition(" ")[0].replace(",", "")) for figure in figures)
        assert direct > 0
        shares = [float(figure.partition(" ")[2].strip("()")) for figure in figures]
        assert shares[0] == 1
        for figure, share in zip(others, shares[1:], strict=True):
            assert share == pytest.approx(figure / direct, abs=0.01 + 1 / direct)


OF_REDIS = [
    "requests/s, 1 connection",
    "requests/s, 50 connections",
    "requests/s, 50 connections, 16 at once",
    "MB/s, a large value set",
    "MB/s, a large value got",
]


@pytest.mark.usefixtures("temporary")
def test_redis() -> None:
    """What Redis does is measured, and nothing is left."""
    need("redis-server", "redis-benchmark")
    check(call("attach.py", *SHORT).stdout, OF_REDIS)


def test_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a PostgreSQL does is, too, when it is told where one is."""
    need("redis-server", "redis-benchmark", "initdb", "postgres", "pg_isready", "psql", "setpriv")
    monkeypatch.setenv("PGUSER", USER)
    monkeypatch.setenv("PGDATABASE", "postgres")
    # Not in tmp_path, which is closed to other users.
    with TemporaryDirectory(prefix="tcpsuite-postgres-") as folder, Postgres(Path(folder)) as postgres:
        postgres.started()
        told = call("attach.py", *SHORT, "--postgres", str(postgres.port)).stdout
    check(told, [*OF_REDIS, "MB/s, psql copies out", "MB/s, psql copies in"])
