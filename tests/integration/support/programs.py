"""Programs: found, started, waited for, and ended by their process id."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import TYPE_CHECKING, Self, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds until something that should have happened counts as never: a busy machine is slow, not broken."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""Processes that run tests side by side, and which of them this one is."""

_given_ports: set[int] = set()


def find(program: str) -> str | None:
    """Where a program is, ``None`` if nowhere.  Debian keeps PostgreSQL's server off the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return shutil.which(program) or (str(debian[-1]) if debian else None)


def need(*programs: str) -> None:
    """Skip the test, under CI fail it, when one of these is not installed."""
    missing = [each for each in programs if find(each) is None]
    if missing:
        words = f"{', '.join(missing)} not installed; `make test-deps` installs what the tests use"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(words)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, below those that the kernel gives to clients.

    None that another process of these tests is given, or a script in benchmarks/: it may not listen yet.
    """
    while True:
        port = random.randrange(10_000 + WORKER, 20_000, WORKERS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def wait_until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """What ``condition`` gives as soon as it is true; what it raises as an OSError counts as not yet."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if result := condition():
                return result
            last = repr(result)
        except OSError as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {patience:g} s, last was {last}")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def run(*argv: str | Path, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a client to its end: its output is text, and a failure shows it."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(each) for each in argv],
        **{"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
        timeout=3 * PATIENCE,
        check=False,
    )
    assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


class Program:
    """A program that runs until it is told to end.  Use it as a context: it is gone behind that."""

    def __init__(self, *argv: str | Path, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = [str(each) for each in argv]
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**os.environ, **(env or {})},
            )

    def __repr__(self) -> str:
        return f"<{self.argv} pid {self.process.pid}, exit status {self.process.returncode}>\n{self.output}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(SIGKILL)

    @property
    def output(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Its exit status, minus the signal's number if it died of one."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {patience:g} s: {self!r}") from None

    def end(self, number: Signals = SIGTERM) -> int:
        """Send it a signal and wait for its end: the exit status."""
        self.signal(number)
        return self.wait()

    def ready(self, condition: Callable[[], object], what: str) -> None:
        """Wait until it is ready, or show why it is not."""

        def ready_or_dead() -> object:
            assert self.running, f"ended before {what}: {self!r}"
            return condition()

        try:
            wait_until(ready_or_dead, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self!r}") from None
