"""The rounds: servers are started, driven in turn, and stopped."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from . import BenchError, machine
from .cases import FILE_SIZE
from .servers import OURS, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .cases import Case, Group
    from .servers import Kit

PATIENCE = 20.0
"""Seconds that a server may take to listen."""
WARM_UP = 0.3
"""Seconds of load that are not measured: interpreters and TCP windows have settled by then."""
FETCHES = 3
"""Times that curl fetches the file in one measurement."""
QUIET = 2_000
"""So many sockets in TIME_WAIT do not hinder those who look for a free port."""
PORTS = 28_000
"""Ports that the kernel gives to those who connect, unless it was told otherwise."""
CHURN = 25_000
"""Ports that a churn may take in a second."""

Figures = dict[str, float]
"""What one measurement told."""
Rounds = dict[str, list[Figures | None]]
"""By server: a measurement for each round, ``None`` where it failed."""


class Started:
    """A server that runs."""

    def __init__(self, server: Server, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.server = server
        self.process = process
        self.port = port
        self.log = log

    def wait(self, serves: Callable[[int], bool]) -> None:
        """Come back when ``serves``, asked with its port, says so; an :class:`OSError` says not yet.

        :raises BenchError: with what it printed, when it ends or takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                if serves(self.port):
                    return
            time.sleep(0.02)
        said = self.log.read_text(errors="replace")[-2000:]
        raise BenchError(f"{self.server.name} does not serve on port {self.port}:\n{said}")

    def stop(self) -> None:
        """End it, and come back when it has ended."""
        for number in (self.server.ends_by, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                continue
            return


@contextmanager
def serving(
    server: Server,
    folder: Path,
    words: dict[str, object],
    serves: Callable[[int], bool],
    processor: int = machine.SERVER,
) -> Iterator[Started]:
    """Start a server, and stop it behind that.

    :param folder: its own: it is made, and removed.
    :param words: what is filled into its texts, beside its ports and its folder.
    :param serves: whether it serves on a port.
    :raises BenchError: when it does not.
    """
    folder.mkdir()
    port = machine.free_port()
    words = {
        **words,
        "port": port,
        "admin": machine.free_port(),
        "folder": folder,
        "config": folder / "config",
    }
    (folder / "config").write_text(fill(server.config, words))
    log = folder / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(processor), *(fill(each, words) for each in server.argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    started = Started(server, process, port, log)
    try:
        started.wait(serves)
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


def listens(port: int) -> bool:
    """Whether a connection can be made."""
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


def echoes(port: int) -> bool:
    """Whether a byte comes back."""
    with socket.create_connection(("127.0.0.1", port), 1) as probe:
        probe.sendall(b"x")
        return bool(probe.recv(1))


class Bench:
    """Runs groups of cases.

    :param kit: what servers are made of.
    :param rounds: how often each server is measured in each case.
    :param seconds: how long each measurement takes.
    """

    def __init__(self, kit: Kit, rounds: int, seconds: float) -> None:
        self.kit = kit
        self.rounds = rounds
        self.seconds = seconds
        self._count = 0
        self._backend = 0

    def run(self, group: Group, cases: Sequence[Case], servers: Sequence[Server]) -> dict[str, Rounds]:
        """Measure ``servers`` in each case, in turn, as often as there are rounds; by the case's key.

        Every other round goes the other way, so that a drift of the machine favours nobody.

        :raises BenchError: when tcpsuite itself does not start.  A peer that does not has failed.
        """
        found: dict[str, Rounds] = {}
        with self._surroundings(group) as backend, ExitStack() as stay:
            up: dict[str, Started] = {}
            for case in sorted(cases, key=lambda each: each.fresh):
                if case.fresh:
                    stay.close()
                elif not up:
                    for server in servers:
                        with self._excused(server):
                            up[server.name] = stay.enter_context(self._serving(server, group.work, backend))
                say(f"{group.key} {case.key}")
                rounds = found[case.key] = {server.name: [] for server in servers}
                for number in range(self.rounds):
                    for server in reversed(servers) if number % 2 else servers:
                        figures = None
                        if case.fresh:
                            if case.takes_ports:
                                let_ports_come_back(WARM_UP + self.seconds)
                            with self._excused(server), self._serving(server, group.work, backend) as started:
                                figures = self._measure(case, started)
                        elif server.name in up:
                            figures = self._measure(case, up[server.name])
                        rounds[server.name].append(figures)
        return found

    @contextmanager
    def _excused(self, server: Server) -> Iterator[None]:
        try:
            yield
        except BenchError as error:
            if server.name == OURS:
                raise
            say(str(error))

    @contextmanager
    def _surroundings(self, group: Group) -> Iterator[int]:
        """What the group's servers need beside them: a backend, whose port it gives, or a file."""
        if group.work == "relay":
            backend = Server("the backend", (self.kit.echo, "{port}", str(group.addresses)))
            with self._serving(backend, "echo", 0, machine.BACKEND) as started:
                self._backend = started.process.pid
                yield started.port
            self._backend = 0
            return
        if group.work == "file":
            make_file(self._root)
        yield 0
        shutil.rmtree(self._root, ignore_errors=True)

    @property
    def _root(self) -> Path:
        return self.kit.folder / "root"

    def _serving(
        self, server: Server, work: str, backend: int, processor: int = machine.SERVER
    ) -> AbstractContextManager[Started]:
        self._count += 1
        folder = self.kit.folder / str(self._count)
        words = {"backend": backend, "root": self._root}
        return serving(server, folder, words, listens if work == "file" else echoes, processor)

    def _measure(self, case: Case, started: Started) -> Figures | None:
        pid = started.process.pid
        try:
            if "-i" in case.load:
                return self._idle(case, pid, started.port)
            since, busy, load_busy = time.monotonic(), machine.busy_seconds(pid), self._load_seconds()
            figures = self._drive(case, started.port) if case.load else self._fetch(started.port)
            took = time.monotonic() - since
            figures["busy"] = (machine.busy_seconds(pid) - busy) / took
            if figures.get("per_s"):
                figures["processor_us"] = figures["busy"] / figures["per_s"] * 1e6
            figures["load_busy"] = (self._load_seconds() - load_busy) / took
            figures["resident"] = machine.most_resident(pid)
        except (BenchError, OSError) as error:
            say(f"{case.key}: {started.server.name}: {error}")
            return None
        return figures

    def _load_seconds(self) -> float:
        """Time that the load's processor has had: with a relay's backend, where they share it."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        shared = self._backend and machine.BACKEND == machine.LOAD
        backend = machine.busy_seconds(self._backend) if shared else 0
        return ended.ru_utime + ended.ru_stime + backend

    def _load(self, case: Case, port: int) -> list[str]:
        times = ["-t", str(self.seconds), "-w", str(min(WARM_UP, self.seconds))]
        return [*on_load(self.kit.load), "-p", str(port), *times, *case.load]

    def _drive(self, case: Case, port: int) -> Figures:
        told = json.loads(output(self._load(case, port)))
        return {name: float(value) for name, value in told.items() if name != "mode"}

    def _idle(self, case: Case, pid: int, port: int) -> Figures:
        before = machine.resident(pid)
        with subprocess.Popen(
            self._load(case, port), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as load:
            assert load.stdout is not None
            if not load.stdout.readline():
                raise BenchError("the connections could not be made")
            after = machine.resident(pid)
        return {"each": (after - before) / case.connections, "resident": after}

    def _fetch(self, port: int) -> Figures:
        """The body's bytes over the time that curl took for them."""
        url = f"http://127.0.0.1:{port}/file"
        words = [each for _ in range(FETCHES) for each in ("-o", "/dev/null", url)]
        told = output([*on_load("curl"), "-sS", "--fail", "-w", "%{size_download} %{time_total}\n", *words])
        sizes, times = zip(*(map(float, line.split()) for line in told.splitlines()), strict=True)
        if list(sizes) != [FILE_SIZE] * FETCHES:
            raise BenchError(f"curl had {sizes} bytes, not {FILE_SIZE} each time")
        return {"mb_s": sum(sizes) / sum(times) / 1e6}


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def fill(text: str, words: dict[str, object]) -> str:
    """The text with what stands for ``{port}`` and the like.  Other braces are not ours."""
    for word, value in words.items():
        text = text.replace(f"{{{word}}}", str(value))
    return text


def on_load(program: str) -> list[str]:
    """A command on the processor that makes the load."""
    return ["taskset", "-c", str(machine.LOAD), program]


def output(argv: Sequence[str]) -> str:
    """What a command prints.

    :raises BenchError: with what it complained of.
    """
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr.strip() or f"{argv[3]} ended with status {done.returncode}")
    return done.stdout


def let_ports_come_back(seconds: float) -> None:
    """Wait until few are in TIME_WAIT, so that a load of ``seconds`` finds ports: at most a minute."""
    deadline = time.monotonic() + 65
    most = max(QUIET, PORTS - CHURN * seconds)
    while machine.waiting_sockets() > most and time.monotonic() < deadline:
        time.sleep(0.5)


def make_file(root: Path) -> None:
    """The file that is served: real bytes, and all of them in the page cache, for they were just written."""
    root.mkdir()
    root.chmod(0o755)
    piece = os.urandom(1 << 20)
    with (root / "file").open("wb") as out:
        for _ in range(FILE_SIZE // len(piece)):
            out.write(piece)
        os.fsync(out.fileno())  # or the disk would be busy with it meanwhile
