"""What makes the flood, and what is told of those who live through it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks import BENCHMARKS
from tests.benchmarks.scripts import assert_refused, call, cells
from tests.benchmarks.test_load import Server
from tests.integration.support.programs import PATIENCE, free_port, need, run

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "flood.py"
SIZE = 100


@pytest.fixture(scope="module")
def flood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that makes connections."""
    need("cc")
    program = tmp_path_factory.mktemp("flood") / "flood"
    run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, BENCHMARKS / "flood.c")
    return program


def told(program: Path, port: int, *words: str) -> dict[str, Any]:
    """What it tells of a fifth of a second, 200 connections a second."""
    argv: tuple[str | Path, ...] = (program, "-p", str(port), "-r", "200", "-t", "0.2", "-a", "10", *words)
    found: dict[str, Any] = json.loads(run(*argv).stdout)
    assert found["made"] == pytest.approx(40, abs=1)
    assert found["made"] == sum(found[each] for each in ("served", "refused", "lost", "not_made"))
    return found


def test_served(flood: Path) -> None:
    """Who has its bytes back was served, and took its time."""
    with Server(lambda data: data if len(data) == SIZE else b"") as server:
        found = told(flood, server.port, "-s", str(SIZE))
    assert found["served"] == found["made"]
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]


@pytest.mark.parametrize("size", ["0", str(SIZE)])
def test_refused(flood: Path, size: str) -> None:
    """Where nobody listens all are refused."""
    found = told(flood, free_port(), "-s", size)
    assert (found["refused"], found["p99_ms"]) == (found["made"], 0)


def test_cut(flood: Path) -> None:
    """Who is closed without an answer, or has another one, was refused."""
    for answer in (None, b"y" * SIZE):
        with Server(lambda data, answer=answer: answer) as server:  # type: ignore[misc]
            found = told(flood, server.port, "-s", str(SIZE))
        assert found["refused"] == found["made"]


def test_lost(flood: Path) -> None:
    """Who hears nothing at all is lost."""
    with Server(lambda data: b"") as server:
        found = told(flood, server.port, "-s", str(SIZE))
    assert found["lost"] == found["made"]


def test_held(flood: Path) -> None:
    """Those that are to be held are there before the others begin, and until they have ended."""
    with Server(lambda data: None) as server:
        argv = [str(flood), "-p", str(server.port), "-r", "100", "-t", "0.1", "-a", "5", "-k", "2", "-s", "1"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            before = server.accepted
            out, _ = process.communicate("go\n", timeout=PATIENCE)
    assert before <= 10
    assert server.accepted == 10 + json.loads(out)["made"]


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(("service", "action"), [("echo", "close"), ("relay", "reset")])
def test_one_way(tmp_path: Path, service: str, action: str) -> None:
    """All of the flood are refused, the honest are measured, and nothing is left behind."""
    need("cc", "taskset")
    figures = tmp_path / "figures"
    words = (service, action, "--rounds", "1", "--seconds", "1", "--rate", "500", "--output", figures)
    done = call(SCRIPT, *words)
    head, row = cells(done.stdout)
    assert head[1:3] == ["connections/s", "of them refused"]
    assert row[0] == f"{service}, {action}"
    ((quiet, loud, flood),) = json.loads(figures.with_suffix(".json").read_text())["ways"][
        f"{service} {action}"
    ]
    assert flood["refused"] == flood["made"] == pytest.approx(500, abs=5)
    assert quiet["served"] == quiet["made"] == pytest.approx(200, abs=5)
    assert loud["served"] == loud["made"] == pytest.approx(100, abs=5)
    assert row[3:5] == ["100.00%", "met"]
    within = loud["p99_ms"] <= max(3 * quiet["p99_ms"], 5)
    assert row[7] == ("met" if within else "missed")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("files",), "invalid choice: 'files'"),
        (("echo", "tarpit"), "invalid choice: 'tarpit'"),
        (("--rate", "0"), "argument --rate: a whole number from 1 on, not 0\n"),
    ],
)
@pytest.mark.usefixtures("temporary")
def test_nonsense(words: tuple[str, ...], complaint: str) -> None:
    """What cannot be measured is refused before anything is."""
    assert_refused(SCRIPT, words, 2, complaint)
