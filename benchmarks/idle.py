#!/usr/bin/env python3
"""What connections cost on which nothing moves: processor time of tcpsuite, of one processor.

::

    python benchmarks/idle.py
    python benchmarks/idle.py --connections 1000 --seconds 10 --rounds 1 --case gateway

Each client comes, from one of ten loopback addresses, asks once, is answered, and then says nothing.
Time-outs and limits are those that nobody has changed.  Where a connection may take two descriptors, for a
server or a file, there are as many as fit.  The first figure is of a process to which nobody has come; a
client that is cut meanwhile is a failure.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from comparison import BenchError
from comparison.machine import busy_seconds, raise_file_limit
from comparison.running import listens, serving
from comparison.servers import Kit, Server

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS = 10_000
SECONDS, ROUNDS = 30.0, 3
SETTLED = 2.0
"""Seconds between the last answer and the measurement."""
GOAL = 0.01
SPARE = 300
"""Descriptors that are left for all else."""
CONFIG = """
state_directory = "{folder}/state"

[listener.idle]
endpoint = "tcp:{port}:interface=127.0.0.1"
{service}

[sessions]
store = "memory"

[admin]
endpoint = ""
"""
BACKEND = 'service = "echo"\nidle_timeout = 0'
GATEWAY = """service = "gateway"
upstream = "back"

[upstream.back]
servers = [{ name = "a", address = "tcp:127.0.0.1:{back}" }]
"""
CASES: dict[str, tuple[str, bytes, int]] = {
    "session": ('service = "session"\nanonymous = true', b"OPEN\n", 1),
    "files-lines": ('service = "files"\nprotocol = "lines"\nroot = "{root}"', b"STAT some\n", 2),
    "files-http": (
        'service = "files"\nroot = "{root}"',
        b"HEAD /some HTTP/1.1\r\nHost: localhost\r\n\r\n",
        2,
    ),
    "gateway": (
        GATEWAY,
        b"x",
        2,
    ),
}
"""By name: what a listener says, what a client asks, and the descriptors that each connection takes."""


def visit(number: int, port: int, question: bytes) -> socket.socket:
    """A client that has asked, and was answered."""
    client = socket.create_connection(("127.0.0.1", port), 20, (f"127.0.0.{1 + number % 10}", 0))
    client.sendall(question)
    if not client.recv(4096):
        raise SystemExit(f"client {number} was not answered")
    client.setblocking(False)
    return client


def share(pid: int, seconds: float) -> float:
    """Processor time of a process that has nothing to do, as a share of the time."""
    time.sleep(SETTLED)
    before, begun = busy_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (busy_seconds(pid) - before) / (time.monotonic() - begun)


def still_there(client: socket.socket) -> bool:
    """Whether nobody has closed it."""
    try:
        return bool(client.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def measure(name: str, number: int, seconds: float, folder: Path) -> tuple[float, float]:
    """The share of a processor without connections, and with so many."""
    service, question, _ = CASES[name]
    suite = Server(name, Kit.ours, config=CONFIG)
    with ExitStack() as stack:
        words: dict[str, object] = {"service": service, "root": folder / "root"}
        if "{back}" in service:
            back = serving(suite, folder / "back", {"service": BACKEND}, listens)
            words["back"] = stack.enter_context(back).port
        started = stack.enter_context(serving(suite, folder / "front", words, listens))
        pid, port = started.process.pid, started.port
        alone = share(pid, seconds)
        clients = [stack.enter_context(visit(each, port, question)) for each in range(number)]
        found = share(pid, seconds)
        lost = sum(not still_there(client) for client in clients)
        if lost:
            raise SystemExit(f"{name}: {lost} clients were cut")
    return alone, found


def row(name: str, number: int, found: Sequence[tuple[float, float]]) -> str:
    """A row of the table."""
    alone, shares = ([each[index] for each in found] for index in (0, 1))
    middle = statistics.median(shares)
    return (
        f"| {name} | {number:,} | {statistics.median(alone):.2%} | {middle:.2%} "
        f"({min(shares):.2%} to {max(shares):.2%}) | {'met' if middle <= GOAL else 'missed'} |"
    )


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--case", action="append", choices=tuple(CASES), help="only this; may be repeated")
    given = parser.parse_args()
    files = raise_file_limit()
    heads = ("", "connections", "alone, of a processor", "with them", f"at most {GOAL:.0%}")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name in given.case or CASES:
        number = min(given.connections, (files - SPARE) // CASES[name][2])
        found = []
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory(prefix="idle-") as folder:
                (Path(folder) / "root").mkdir()
                (Path(folder) / "root" / "some").write_bytes(b"some\n")
                try:
                    found.append(measure(name, number, given.seconds, Path(folder)))
                except BenchError as error:
                    sys.exit(str(error))
        print(row(name, number, found), flush=True)


if __name__ == "__main__":
    main()
