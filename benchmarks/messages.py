#!/usr/bin/env python3
"""Measure the message service and its client: round trips, and what moves one way.

::

    python benchmarks/messages.py
    python benchmarks/messages.py --rounds 1 --seconds 0.5

The service of tcpsuite, as it ships, behind mux: has one processor, its client another.  What is sent only is
counted when the methods have been called, what is received only when the client's application has it.  A
figure is the median of the rounds.  Where Go and the reference implementation of yamux are installed, round
trips of both in Go are measured in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from comparison import BenchError, asking, machine
from comparison.running import listens, serving
from comparison.servers import OURS, Kit, Server, ours
from mux import GO, Load, started

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tcpsuite.net.client import Client

ROUNDS, SECONDS = 5, 2.0
BATCH = 64
"""Notes that leave together where notes are sent."""
CASES = {
    "100 B round trips, one after the other": (49_749, None),
    "100 B round trips, 50 at once": (46_163, None),
    "100 B round trips, each on a stream of its own": (None, None),
    "200 KB round trips": (3_153, 5_000),
    "1 MB round trips": (175, 500),
    "1 KiB notes, sent only": (138_179, 300_000),
    "1 KiB notes, received only": (137_397, 300_000),
}
"""What is measured; the figure of the report beside which it stands, and what was aimed at."""
MACHINE = "Go, 12 cores"
"""Where the report's figures were taken."""


async def trips(client: Client, seconds: float, size: int) -> float:
    """Round trips a second, one after the other."""
    body, over, count = bytes(size), perf_counter() + seconds, 0
    began = perf_counter()
    while perf_counter() < over:
        await client.request("echo", body)
        count += 1
    return count / (perf_counter() - began)


async def at_once(client: Client, seconds: float) -> float:
    """Round trips a second, 50 under way."""
    from twisted.internet.defer import Deferred, gatherResults

    lanes = [Deferred.fromCoroutine(trips(client, seconds, 100)) for _ in range(50)]
    return sum(await gatherResults(lanes))


async def own_streams(client: Client, seconds: float) -> float:
    """Round trips a second, each on a stream that is opened for it, and closed."""
    from tcpsuite.core.messages.wire import request_head

    message = request_head(1, 0, b"", b"echo", 100)[4:] + bytes(100)
    began, count = perf_counter(), 0
    while perf_counter() < began + seconds:
        stream = await client.stream()
        stream.send(message)
        await stream.receive()
        stream.close()
        count += 1
    return count / (perf_counter() - began)


async def sent(client: Client, seconds: float) -> float:
    """Notes a second; those that are not heard yet are waited for."""
    bodies, began, count = [bytes(1024)] * BATCH, perf_counter(), 0
    before = await heard(client)
    while perf_counter() < began + seconds:
        await client.send("discard", *bodies)
        count += BATCH
    if await heard(client) - before != count:
        raise BenchError("notes were lost")
    return count / (perf_counter() - began)


async def heard(client: Client) -> int:
    """How often the service has called ``discard``."""
    told: dict[str, Any] = json.loads(await client.request("stats"))["methods"]
    return int(told.get("discard", {"calls": 0})["calls"])


async def received(client: Client, seconds: float) -> float:
    """Notes a second that the service sends."""
    count, rate = 2000, 0.0
    while True:
        began = perf_counter()
        await client.request("generate", b"1024 %d" % count, timeout=0)
        took = perf_counter() - began
        rate = count / took
        if took >= seconds / 2:
            return rate
        count = int(count * max(2, min(10, seconds / took)))


async def drive(reactor: Any, port: int, seconds: float) -> None:
    """Measure each case once, and print it."""
    from tcpsuite.net.client import connect

    client = await connect(f"mux:tcp:127.0.0.1:{port}", reactor, received=lambda _method, _body: None)
    cases: tuple[Callable[[], Awaitable[float]], ...] = (
        lambda: trips(client, seconds, 100),
        lambda: at_once(client, seconds),
        lambda: own_streams(client, seconds),
        lambda: trips(client, seconds, 200_000),
        lambda: trips(client, seconds, 1_000_000),
        lambda: sent(client, seconds),
        lambda: received(client, seconds),
    )
    await trips(client, 0.2, 100)
    print(json.dumps([await case() for case in cases]))
    await client.close()


def client(port: int, seconds: float) -> None:
    """The client's process."""
    from tcpsuite.net.heap import keep_blocks
    from tcpsuite.net.reactor import install

    keep_blocks()
    install()
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    react(lambda reactor: Deferred.fromCoroutine(drive(reactor, port, seconds)))


def measure(args: argparse.Namespace, folder: Path) -> int:
    """Measure all, and print it; gives the status to end with."""
    kit = Kit(folder, sys.executable, machine.raise_file_limit())
    asking.warn()
    print(f"{machine.describe(sys.executable)}; {asking.rounds_of(args.rounds, args.seconds)}.\n")
    shipped = ours(kit, "echo", limits="connections = 4000").config
    for old, new in (('"tcp:{port}', '"mux:tcp:{port}'), ('"echo"', '"message"')):
        shipped = shipped.replace(old, new)
    mine, theirs = [], []
    with ExitStack() as stack:
        server = stack.enter_context(
            serving(Server(OURS, kit.ours, config=shipped), folder / "ours", {}, listens)
        )
        go = None
        try:
            load = Load(folder)
            go = stack.enter_context(started(load, kit, GO))
        except BenchError as error:
            print(f"{error}\n", file=sys.stderr)
        for _ in range(args.rounds):
            argv = ["taskset", "-c", str(machine.LOAD), sys.executable, __file__, "--port", str(server.port)]
            done = subprocess.run(
                [*argv, "--seconds", str(args.seconds)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise BenchError(f"the client failed: {done.stderr.strip()}")
            mine.append(json.loads(done.stdout))
            if go is not None:
                theirs.append(load.of("echo", go, size=100, streams=1, seconds=args.seconds)["per_s"])
    print(f"| a second | {OURS} | aim | the report ({MACHINE}) |\n|---|---|---|---|")
    for place, (case, (report, aim)) in enumerate(CASES.items()):
        figures = [each[place] for each in mine]
        print(
            f"| {case} | {statistics.median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f}) "
            f"| {f'{aim:,}' if aim else ''} | {f'{report:,}' if report else ''} |"
        )
    if theirs:
        ratios = [each[0] / other for each, other in zip(mine, theirs, strict=True)]
        print(
            f"\nYamux in Go, client and server, 100 B one after the other: {statistics.median(theirs):,.0f}; "
            f"{OURS} has {statistics.median(ratios):.2f} of it ({min(ratios):.2f} to {max(ratios):.2f})."
        )
    return 0


def main() -> int:
    """Read the command line, and measure."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=asking.whole, default=ROUNDS, help="of each (%(default)s)")
    ask.add_argument("--seconds", type=asking.length, default=SECONDS, help="of each case (%(default)s)")
    ask.add_argument("--port", type=asking.whole, help=argparse.SUPPRESS)
    args = ask.parse_args()
    if args.port:
        client(args.port, args.seconds)
        return 0
    return asking.carry_out(lambda folder: measure(args, folder), "messages-")


if __name__ == "__main__":
    sys.exit(main())
