#!/usr/bin/env python3
"""How long other clients wait while a server sends a large file, from memory and from the disk.

    python benchmarks/files.py                        4 GiB, warm and cold, beside the peers: some minutes
    python benchmarks/files.py --size 1 --rounds 1

One client fetches the large file with curl; another asks for a small one, which is in memory, every few
milliseconds on a connection of its own.  How long that one waits shows whether the server stands still.  In a
cold round the large file is dropped from the page cache first.  Each server has one processor, the clients
another; the servers take turns.  It needs curl and taskset; nginx is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from comparison import machine
from comparison.running import BenchError, fill
from comparison.servers import Kit, file_servers

if TYPE_CHECKING:
    from comparison.servers import Server

SMALL = b"x" * 1024
PAUSE = 0.002
"""Seconds between an answer and the next question."""
ASKED = 500
"""Questions on one connection: nginx ends it after 1,000."""
PATIENCE = 20.0
"""Seconds that a server may take to listen."""


class Asking:
    """The client that asks for the small file."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._asked = 0
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")

    def wait(self) -> float:
        """Ask once; gives the seconds until all of the answer was there."""
        self._asked += 1
        if self._asked % ASKED == 0:
            self.close()
            self._connect()
        since = time.perf_counter()
        self._socket.sendall(b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n")
        head = b""
        while line := self._reader.readline().rstrip(b"\r\n"):
            head += line
        if b" 200 " not in head or self._reader.read(len(SMALL)) != SMALL:
            raise BenchError(f"the small file did not come: {head!r}")
        return time.perf_counter() - since

    def close(self) -> None:
        """Leave."""
        self._reader.close()
        self._socket.close()


def drop(path: Path) -> None:
    """Drop a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm(path: Path) -> None:
    """Have all of a file in the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def measure(port: int, size: int) -> tuple[float, list[float]]:
    """Fetch the large file once; the MB/s, and how long the other client waited each time."""
    asking = Asking(port)
    try:
        for _ in range(20):
            asking.wait()
        url = f"http://127.0.0.1:{port}/large"
        words = ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", url]
        waits = []
        with subprocess.Popen(
            ["taskset", "-c", str(machine.LOAD), *words], stdout=subprocess.PIPE, text=True
        ) as curl:
            while curl.poll() is None:
                waits.append(asking.wait())
                time.sleep(PAUSE)
            assert curl.stdout is not None
            told, seconds = curl.stdout.read().split()
    finally:
        asking.close()
    if int(told) != size:
        raise BenchError(f"curl had {told} bytes, not {size}")
    return size / float(seconds) / 1e6, waits


def start(server: Server, folder: Path, root: Path, stack: ExitStack) -> int:
    """Start a server; gives its port."""
    folder.mkdir()
    port = machine.free_port()
    words: dict[str, object] = {
        "port": port,
        "admin": machine.free_port(),
        "folder": folder,
        "root": root,
        "config": folder / "config",
    }
    (folder / "config").write_text(fill(server.config, words))
    process = subprocess.Popen(
        ["taskset", "-c", str(machine.SERVER), *(fill(each, words) for each in server.argv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.send_signal, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return port
        time.sleep(0.02)
    raise BenchError(f"{server.name} does not serve")


def report(rates: list[float], waits: list[float]) -> str:
    """One row: MB/s, and percentiles of the waits of all rounds in milliseconds."""
    parts = quantiles(waits, n=1000)
    figures = (parts[499], parts[989], parts[998], max(waits))
    return f"{median(rates):8,.0f}   " + " ".join(f"{1e3 * each:8.2f}" for each in figures)


def compare(folder: Path, size: int, rounds: int, python: str) -> None:
    """Measure all servers, and print a row for each."""
    root = folder / "root"
    root.mkdir()
    for path in (folder, root):
        path.chmod(0o755)  # nginx's worker is another user
    (root / "small").write_bytes(SMALL)
    piece = os.urandom(1 << 20)
    with (root / "large").open("wb") as out:
        for _ in range(size >> 20):
            out.write(piece)
        os.fsync(out.fileno())
    servers = [each for each in file_servers(Kit(folder, python, machine.raise_file_limit())) if each.argv]
    with ExitStack() as stack:
        ports = [start(each, folder / f"server{n}", root, stack) for n, each in enumerate(servers)]
        print(f"{machine.describe(python)}; {rounds} rounds")
        for how, prepare in (("warm", warm), ("cold", drop)):
            found: list[tuple[list[float], list[float]]] = [([], []) for _ in servers]
            for _ in range(rounds):
                for port, (rates, waits) in zip(ports, found, strict=True):
                    prepare(root / "large")
                    rate, waited = measure(port, size)
                    rates.append(rate)
                    waits.extend(waited)
            print(f"\n{size / 2**30:g} GiB, {how:12}      MB/s   wait p50      p99    p99.9      max  ms")
            for server, (rates, waits) in zip(servers, found, strict=True):
                print(f"{server.name:24} {report(rates, waits)}", flush=True)


def main() -> None:
    """Measure and print."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--size", type=float, default=4.0, help="GiB of the large file (%(default)s)")
    ask.add_argument("--rounds", type=int, default=3, help="measurements of each server (%(default)s)")
    ask.add_argument("--python", default=sys.executable, help="the interpreter of the peers in Python")
    ask.add_argument("--folder", help="where the files are made: on the disk that is measured")
    args = ask.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="files-", dir=args.folder))
    try:
        compare(folder, int(args.size * 1024) << 20, args.rounds, args.python)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
