#!/usr/bin/env python3
"""How close to its bandwidth a throttled connection comes, and how evenly its bytes pass.

::

    python benchmarks/bandwidth.py
    python benchmarks/bandwidth.py --seconds 10 --rate 100000

A client sends as fast as it is read, through a gateway with bandwidth_per_connection to an echo, and counts
what comes back: all of it in the given seconds, and in each tenth of one, of which the first and the last are
left out.  The last column is the processor time of the process, without its start.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from comparison import BenchError
from comparison.machine import busy_seconds, free_port
from comparison.running import echoes, serving
from comparison.servers import Kit, Server

RATES = (20_000, 1_000_000, 20_000_000)
WINDOW = 0.1
CLOSE, EVEN = 0.05, 0.25
"""Goals: the share by which the rate may be missed, and by which one window may be."""
CONFIG = """
state_directory = "{folder}/state"
drain_timeout = 0

[listener.echo]
endpoint = "tcp:{echo}:interface=127.0.0.1"
service = "echo"

[listener.gate]
endpoint = "tcp:{port}:interface=127.0.0.1"
service = "gateway"
upstream = "back"
limits = { exempt_loopback = false, bandwidth_per_connection = {rate} }

[upstream.back]
servers = [{ name = "a", address = "tcp:127.0.0.1:{echo}" }]
"""


def counted(client: socket.socket, seconds: float) -> list[tuple[float, int]]:
    """When how many bytes came back, for so many seconds from the first."""
    over = Event()

    def send() -> None:
        with suppress(OSError):
            while not over.is_set():
                client.sendall(b"x" * 16384)

    sending = Thread(target=send, daemon=True)
    sending.start()
    found = []
    client.recv(1)
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        found.append((now, len(client.recv(65536))))
    over.set()
    client.close()
    sending.join(5)
    return found


def measure(rate: int, seconds: float, folder: Path) -> str:
    """A row of the table."""
    words: dict[str, object] = {"rate": rate, "echo": free_port()}
    with serving(Server("tcpsuite", Kit.ours, config=CONFIG), folder / "suite", words, echoes) as suite:
        client = socket.create_connection(("127.0.0.1", suite.port))
        before = busy_seconds(suite.process.pid)
        found = counted(client, seconds)
        spent = busy_seconds(suite.process.pid) - before
    got = sum(size for _, size in found) / seconds
    windows = [0] * round(seconds / WINDOW)
    for when, size in found:
        windows[min(int(when / WINDOW), len(windows) - 1)] += size
    shares = sorted(size / (rate * WINDOW) for size in windows[1:-1])
    low, high = shares[0], shares[-1]
    close = "met" if abs(got / rate - 1) < CLOSE else "missed"
    even = "met" if max(high - 1, 1 - low) <= EVEN else "missed"
    return (
        f"| {rate:,} | {got:,.0f} ({got / rate - 1:+.2%}) | {close} "
        f"| {low:.2f} to {high:.2f} | {even} | {spent / seconds:.1%} |"
    )


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=int, action="append", help="bytes a second; may be repeated")
    given = parser.parse_args()
    print(
        f"| bytes a second | got | within {CLOSE:.0%} | in {WINDOW:g} s, of its share | within {EVEN:.0%} "
        "| of a processor |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="bandwidth-") as folder:
        for rate in given.rate or RATES:
            try:
                print(measure(rate, given.seconds, Path(folder)), flush=True)
            except BenchError as error:
                sys.exit(str(error))


if __name__ == "__main__":
    main()
