#!/usr/bin/env python3
"""What `tcpsuite attach` costs: how fast servers answer through it, through a gateway, and directly.

    python benchmarks/attach.py
    python benchmarks/attach.py --rounds 3 --requests 5000 --size 8
    PGUSER=me PGDATABASE=test python benchmarks/attach.py --postgres 5432

For each way a redis-benchmark asks for a small value, on one connection, on 50, and on 50 with 16 requests
at a time; and one connection sets and gets a large value (--size, 64 MiB).  Every round measures each way
once, one after the other; the figure is the median of the rounds (--rounds, 5), and behind it stands what
part of the direct way's that is.  All of it runs on this machine: redis-server, the suite, and `tcpsuite
attach` are a process each.  What is printed is Markdown.

With --postgres, the port of 127.0.0.1 where one runs, psql copies half a million rows of 105 bytes out of it
and into a table that is gone behind it.  What else psql needs it takes from where it always does: PGUSER …
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from comparison.machine import free_port

MIB = 1024 * 1024
CONFIG = """
[listener.gate]
endpoint = "tcp:{gateway}:interface=127.0.0.1"
service = "gateway"
upstream = "db"

[listener.sessions]
endpoint = "tcp:{sessions}:interface=127.0.0.1"
service = "session"
anonymous = true

[sessions]
store = "memory"
upstream = "db"

[upstream.db]
servers = [{{ name = "only", address = "tcp:127.0.0.1:{server}" }}]
"""


def connected(port: int, patience: float = 20.0) -> socket.socket:
    """A connection to that port, once somebody listens there."""
    until = time.monotonic() + patience
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@contextmanager
def running(port: int, folder: Path, *words: str) -> Iterator[None]:
    """A program that listens on that port, until it is not needed any more; on whatever processor is free,
    for the ways differ in how many programs they take.
    """
    env = {**os.environ, "STATE_DIRECTORY": str(folder)}
    with (folder / f"{port}.log").open("wb") as log:
        program = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env=env)
    try:
        connected(port).close()
        yield
    finally:
        program.terminate()
        program.wait(30)


def asking(clients: int, at_once: int) -> Callable[[int, argparse.Namespace], float]:
    """Gives requests a second."""

    def measured(port: int, options: argparse.Namespace) -> float:
        words = (
            "redis-benchmark",
            "-p",
            port,
            "-c",
            clients,
            "-P",
            at_once,
            "-n",
            options.requests * at_once,
        )
        told = subprocess.run(
            [*map(str, words), "-t", "get", "--csv"], check=True, capture_output=True, text=True
        ).stdout
        return float(told.splitlines()[-1].split(",")[1].strip('"'))

    return measured


def setting(port: int, options: argparse.Namespace) -> float:
    """MB a second that a large value is set with."""
    value = bytes(options.size * MIB)
    with connected(port) as redis:
        begun = time.perf_counter()
        redis.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n%b\r\n" % (len(value), value))
        if redis.recv(5, socket.MSG_WAITALL) != b"+OK\r\n":
            raise ConnectionError("it was not set")
        return len(value) / (time.perf_counter() - begun) / 1e6


def getting(port: int, options: argparse.Namespace) -> float:
    """The same, when it is got."""
    size = options.size * MIB
    room = memoryview(bytearray(MIB))
    left = len(f"${size}\r\n") + size + 2
    with connected(port) as redis:
        begun = time.perf_counter()
        redis.sendall(b"GET large\r\n")
        while left:
            got = redis.recv_into(room[:left] if left < len(room) else room)
            if not got:
                raise ConnectionError("it was cut")
            left -= got
        return size / (time.perf_counter() - begun) / 1e6


def psql(port: int, *commands: str) -> None:
    """Carry these out, on one connection."""
    arguments = [argument for command in commands for argument in ("-c", command)]
    subprocess.run(
        ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), *arguments),
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def copying_out(port: int, options: argparse.Namespace) -> float:
    """MB a second that come out of PostgreSQL."""
    begun = time.perf_counter()
    psql(port, f"\\copy ({ROWS}) TO '{options.file}'")
    return options.file.stat().st_size / (time.perf_counter() - begun) / 1e6


def copying_in(port: int, options: argparse.Namespace) -> float:
    """The same, into it."""
    begun = time.perf_counter()
    psql(
        port, "CREATE TEMPORARY TABLE copied (id integer, text text)", f"\\copy copied FROM '{options.file}'"
    )
    return options.file.stat().st_size / (time.perf_counter() - begun) / 1e6


Measures = dict[str, Callable[[int, argparse.Namespace], float]]
OF_REDIS: Measures = {
    "requests/s, 1 connection": asking(1, 1),
    "requests/s, 50 connections": asking(50, 1),
    "requests/s, 50 connections, 16 at once": asking(50, 16),
    "MB/s, a large value set": setting,
    "MB/s, a large value got": getting,
}
OF_POSTGRES: Measures = {"MB/s, psql copies out": copying_out, "MB/s, psql copies in": copying_in}
ROWS = "SELECT g, repeat(md5(g::text), 3) FROM generate_series(1, 500000) g"
WAYS = ("direct", "gateway", "attach")


def cell(figures: list[float], direct: list[float]) -> str:
    """The median, and what part of the direct way's it is."""
    median = statistics.median(figures)
    return f"{median:,.0f} ({median / statistics.median(direct):.2f})"


@contextmanager
def ways_to(server: int, folder: Path) -> Iterator[dict[str, int]]:
    """The port of each way to the server at that port."""
    gateway, sessions, attach = (free_port() for _ in range(3))
    config = folder / f"{server}.toml"
    config.write_text(CONFIG.format(server=server, gateway=gateway, sessions=sessions))
    tcpsuite = (sys.executable, "-m", "tcpsuite")
    with (
        running(sessions, folder, *tcpsuite, "run", str(config)),
        running(attach, folder, *tcpsuite, "attach", f"127.0.0.1:{sessions}", "--listen", str(attach)),
    ):
        yield dict(zip(WAYS, (server, gateway, attach), strict=True))


def measure(measures: Measures, ports: dict[str, int], options: argparse.Namespace) -> None:
    """Print a row for each measure."""
    for what, measured in measures.items():
        figures: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, found in figures.items():
                found.append(measured(ports[way], options))
        row = " | ".join(cell(figures[way], figures["direct"]) for way in WAYS)
        print(f"| {what} | {row} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=64, metavar="MIB")
    parser.add_argument("--postgres", type=int, metavar="PORT")
    options = parser.parse_args()
    for program in ("redis-server", "redis-benchmark", *(["psql"] if options.postgres else [])):
        if shutil.which(program) is None:
            print(f"{program} is not installed", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options.file = folder / "rows"
        print(f"CPython {platform.python_version()}, {platform.system()} {platform.release()}\n")
        print(f"| | {' | '.join(WAYS)} |\n|---|---|---|---|")
        port = free_port()
        redis = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "")
        with running(port, folder, *redis), ways_to(port, folder) as ports:
            measure(OF_REDIS, ports, options)
        if options.postgres:
            with ways_to(options.postgres, folder) as ports:
                measure(OF_POSTGRES, ports, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
