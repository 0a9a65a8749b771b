"""What clients of real databases measure, cut short."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.scripts import SHORT, assert_refused, call, cells
from tests.integration.support.programs import find, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPT = "clients.py"


@pytest.fixture
def open_to_others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As ``temporary``, where the user that PostgreSQL runs as can look for what is its own."""
    with TemporaryDirectory(prefix="tcpsuite-clients-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("TMPDIR", name)
        yield
        assert not list(folder.iterdir())


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Call it with programs: no others can be found then.  It gives the folder that they are in."""

    def leave(*programs: str) -> Path:
        need(*programs)
        folder = tmp_path / "bin"
        folder.mkdir()
        for program in programs:
            (folder / program).symlink_to(str(find(program)))
        monkeypatch.setenv("PATH", str(folder))
        return folder

    return leave


def client(folder: Path, script: str) -> None:
    """A redis-benchmark that says what it is told to."""
    program = folder / "redis-benchmark"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.usefixtures("temporary")
def test_redis(tmp_path: Path) -> None:
    """redis-benchmark is measured three ways, told in a table and written down; nothing is left behind."""
    need("redis-server", "redis-benchmark", "taskset", "haproxy")
    figures = tmp_path / "figures"
    told = call(SCRIPT, "--case", "redis-16", *SHORT, "--output", figures).stdout
    head, *rows = cells(told)
    assert head[1] == "direct"
    assert set(head[2:4]) == {"tcpsuite of direct", "HAProxy of direct"}
    assert head[4:] == ["tcpsuite of HAProxy", "at least", ""]
    assert [row[0] for row in rows] == ["redis-benchmark -P 16, SET/s", "redis-benchmark -P 16, GET/s"]
    assert figures.with_suffix(".md").read_text() == told
    measured = json.loads(figures.with_suffix(".json").read_text())["cases"]["redis-16"]
    for row, command in zip(rows, ("SET", "GET"), strict=True):
        (direct,), (ours,), (theirs,) = (measured[name] for name in ("direct", "tcpsuite", "HAProxy"))
        assert row[1] == f"{direct[command]:,.0f}"
        ratio = ours[command] / theirs[command]
        assert row[4:] == [f"{ratio:.2f}", "0.92", "met" if ratio >= 0.92 else "missed"]


@pytest.mark.usefixtures("open_to_others")
def test_postgres() -> None:
    """pgbench is measured directly and through the gateway, and the cluster that was made for it is gone."""
    need("initdb", "postgres", "pg_isready", "pgbench", "setpriv", "taskset")
    head, row = cells(call(SCRIPT, "--case", "pgbench", *SHORT).stdout)
    assert row[0] == "pgbench -S -c 8, transactions/s"
    assert int(row[1].replace(",", "")) > 0
    assert float(row[head.index("tcpsuite of direct")]) > 0


@pytest.mark.usefixtures("temporary")
def test_a_peer_that_is_missing(only: Callable[..., Path]) -> None:
    """Without HAProxy tcpsuite is compared with direct connections only."""
    told = """echo '"test","rps"'; echo '"SET","1000.00"'; echo '"GET","2000.00"'"""
    client(only("taskset", "redis-server"), told)
    done = call(SCRIPT, "--case", "redis-1", *SHORT)
    assert "left out, not installed: HAProxy (haproxy)\n" in done.stderr
    assert cells(done.stdout) == [
        ["", "direct", "tcpsuite of direct"],
        ["redis-benchmark -P 1, SET/s", "1,000", "1.00"],
        ["redis-benchmark -P 1, GET/s", "2,000", "1.00"],
    ]


@pytest.mark.usefixtures("temporary")
def test_nothing_to_measure(only: Callable[..., Path]) -> None:
    """A database that is not installed is named, and without any the comparison ends."""
    only("taskset")
    done = call(SCRIPT, "--case", "redis-16", *SHORT, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "left out, not installed: redis-server, redis-benchmark (redis-server and redis-tools)\n"
        "nothing is left to measure\n"
    )
    assert not done.stdout


@pytest.mark.usefixtures("temporary")
def test_all_rounds_failed(only: Callable[..., Path]) -> None:
    """When a client tells no figure of tcpsuite, the table and the status say so."""
    client(only("taskset", "redis-server"), "echo worn out")
    done = call(SCRIPT, "--case", "redis-16", "--case", "redis-1", *SHORT, check=False)
    assert done.returncode == 1
    assert "redis-1, tcpsuite: redis-benchmark does not tell its figures: worn out" in done.stderr
    assert done.stderr.endswith("\ntcpsuite failed in every round: redis-16, redis-1\n")
    assert all(row[1:] == ["failed", "failed"] for row in cells(done.stdout)[1:])
    assert "tcpsuite, redis-16: 1 of 1 rounds failed." in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("--case", "mysql"), 2, "argument --case: invalid choice: 'mysql'"),
        (("--seconds", "0"), 2, "argument --seconds: seconds, more than 0, not 0\n"),
        (("--output", "/nonexistent/x"), 1, "cannot write /nonexistent/x.md\n"),
    ],
)
@pytest.mark.usefixtures("temporary")
def test_nonsense(words: tuple[str, ...], status: int, complaint: str) -> None:
    """What cannot be measured or written is refused before anything is."""
    assert_refused(SCRIPT, words, status, complaint)
