"""The comparison itself, cut short."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from tests.benchmarks import BENCHMARKS
from tests.benchmarks.scripts import SHORT, assert_refused, call
from tests.integration.support.programs import Program, need

SCRIPT = "side_by_side.py"


@pytest.mark.parametrize(
    ("group", "case", "peer", "figure"),
    [
        ("echo", "1k", "C, epoll", "per_s"),
        ("relay", "churn", "Twisted portforward", "per_s"),
        ("cost", "churn", "no access log", "per_s"),
    ],
)
@pytest.mark.usefixtures("temporary")
def test_one_case(tmp_path: Path, group: str, case: str, peer: str, figure: str) -> None:
    """tcpsuite and a peer are measured, told in a table and written down, and nothing is left behind."""
    need("cc", "taskset")
    figures = tmp_path / "figures"
    chosen = (group, "--case", case, "--only", peer)
    told = call(SCRIPT, *chosen, *SHORT, "--output", figures).stdout
    rows = [line.split("|")[1:-1] for line in told.splitlines() if line.startswith("| ")]
    assert peer in told
    assert re.search(r"\d", rows[2][1])
    assert figures.with_suffix(".md").read_text().strip() == told.strip()
    measured = json.loads(figures.with_suffix(".json").read_text())["groups"][group][case]
    assert set(measured) == {"tcpsuite", peer}
    assert all(each[figure] > 0 for rounds in measured.values() for each in rounds)
    assert all(each["failed"] == 0 for rounds in measured.values() for each in rounds)


def test_what_is_unknown() -> None:
    """A group that does not exist is named, with those that do."""
    done = call(SCRIPT, "ecko", check=False)
    assert done.returncode == 1
    assert done.stderr == "no group ecko: echo, cost, relay, file, crowd\n"


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("echo", "--case", "nope"), 1, "no case nope here: 1k, deep, many, 64k, one, churn\n"),
        (("file", "--case", "churn"), 1, "no case churn here: warm\n"),
        (("cost", "--only", "nobody"), 1, "no peer nobody here: tcpsuite, no access log, "),
        (("--rounds", "0"), 2, "argument --rounds: a whole number from 1 on, not 0\n"),
        (("--rounds", "1.5"), 2, "argument --rounds: a whole number from 1 on, not 1.5\n"),
        (("--seconds", "0"), 2, "argument --seconds: seconds, more than 0, not 0\n"),
        (("--seconds=-1",), 2, "argument --seconds: seconds, more than 0, not -1\n"),
        (("--seconds", "nan"), 2, "argument --seconds: seconds, more than 0, not nan\n"),
        (("--seconds", "inf"), 2, "argument --seconds: seconds, more than 0, not inf\n"),
        (("--output", "/nonexistent/x"), 1, "cannot write /nonexistent/x.md\n"),
        (("--output", "."), 1, "--output is the name of a file, without .md and .json, not .\n"),
    ],
)
@pytest.mark.usefixtures("temporary")
def test_nonsense(words: tuple[str, ...], status: int, complaint: str) -> None:
    """What cannot be measured or written is refused before anything is."""
    assert_refused(SCRIPT, words, status, complaint)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, which finds what it imports beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("side_by_side")


@pytest.mark.parametrize(
    "words",
    [
        ("echo",),
        ("--case", "1k"),
        ("--only", "uvloop"),
        ("--rounds", "4"),
        ("--seconds", "1"),
        ("--ours", "another {config}"),
    ],
)
def test_less_than_all_of_it(script: Any, words: tuple[str, ...], tmp_path: Path) -> None:
    """A run that is no whole one is written down only where it was told to."""
    args = script.questions().parse_args(words)
    assert script.destination(args) is None
    args.output = tmp_path / "figures"
    assert script.destination(args) == tmp_path / "figures"


def test_all_of_it(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run, and one of more rounds, is written beside the script."""
    assert script.FIGURES == BENCHMARKS / "figures"
    monkeypatch.setattr(script, "FIGURES", tmp_path / "figures")
    for words in ((), ("--rounds", "7"), ("--targets",)):
        assert script.destination(script.questions().parse_args(words)) == tmp_path / "figures"


@pytest.mark.usefixtures("temporary")
def test_all_rounds_failed(tmp_path: Path) -> None:
    """When tcpsuite has not one figure of a case, the status says so."""
    need("cc", "taskset")
    server = tmp_path / "once.py"  # gives the first byte back, as the one that looks whether it is up wants
    server.write_text(
        "import socket, sys\n"
        "port = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True:\n"
        "    client = port.accept()[0]\n"
        "    client.send(client.recv(1))\n"
        "    client.close()\n"
    )
    broken = f"{sys.executable} {server} {{port}}"
    chosen = ("echo", "--case", "1k", "--only", "C, epoll", "--ours", broken)
    done = call(SCRIPT, *chosen, *SHORT, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("\ntcpsuite failed in every round: echo 1k\n")
    assert re.search(r"messages/s \| failed +\| ", done.stdout)


@pytest.mark.usefixtures("temporary")
def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    """What it said is shown, and the comparison ends."""
    need("cc", "taskset")
    broken = f"{sys.executable} -c 'import sys; sys.exit(\"no such thing\")'"
    chosen = ("echo", "--case", "1k", "--only", "C, epoll", "--ours", broken)
    output = tmp_path / "figures"
    done = call(SCRIPT, *chosen, "--output", output, check=False)
    assert done.returncode == 1
    assert "tcpsuite does not serve on port" in done.stderr
    assert "no such thing" in done.stderr


def test_stopped_early(tmp_path: Path, temporary: Path) -> None:
    """SIGTERM ends it and the servers that it has started."""
    need("cc", "taskset")
    chosen = ("echo", "--case", "1k", "--only", "C, epoll", "--seconds", "600")
    argv = (sys.executable, BENCHMARKS / SCRIPT, *chosen, "--output", tmp_path / "figures")
    with Program(*argv, log=tmp_path / "log") as program:
        program.ready(lambda: serving(temporary) and "echo 1k" in program.output, "the first round")
        assert program.end() == 128 + SIGTERM
    assert not serving(temporary)


def serving(folder: Path) -> list[str]:
    """The command lines of processes that speak of the folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(each.read_text().replace("\0", " "))
    return [line for line in found if str(folder) in line]


@pytest.mark.usefixtures("temporary")
def test_a_peer_that_does_not_start(tmp_path: Path) -> None:
    """What is installed and does not run has failed; the others are measured."""
    need("cc", "taskset")
    broken = tmp_path / "python"
    broken.write_text('#!/bin/sh\ncase "$1" in -c) exit 0;; esac\necho worn out; exit 1\n')
    broken.chmod(0o755)
    chosen = ("echo", "--case", "1k", "--only", "stock", "--python", broken)
    output = tmp_path / "figures"
    done = call(SCRIPT, *chosen, *SHORT, "--output", output)
    assert "Twisted, stock does not serve on port" in done.stderr
    assert "worn out" in done.stderr
    assert re.search(r"messages/s \| [\d,]+ +\| failed ", done.stdout)
    assert "Twisted, stock, 1k: 1 of 1 rounds failed." in done.stdout
