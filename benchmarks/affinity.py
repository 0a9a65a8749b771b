#!/usr/bin/env python3
"""What it costs to lead clients to the servers that they had, and to keep that over a restart.

    python benchmarks/affinity.py
    python benchmarks/affinity.py cost --rounds 21

cost: microseconds of processor time that a connection costs more with affinity, from its pick to its end,
    with 100,000 clients remembered and 10 servers: of a client that is known (of 1,000 that come, and of
    all), of one that is new and takes the place of another, and of one whose server is down.  With
    round_robin, which is not asked for who is known, and with first, which costs next to nothing.  Goal: 1
    for who is known, with round_robin.
size: bytes that a remembered client takes, in memory and in the file.
file: milliseconds in which the file of 100,000 clients is written, the longest turn of the reactor meanwhile,
    and how long the start takes to read it.  Goal: no turn over 5.

Every round measures each way once, one after the other; the figure is the median of the rounds (--rounds,
11), in brackets the lowest and the highest.  What is printed is Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import cycle
from math import inf
from random import Random

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from tcpsuite.core.affinity import ENTRIES, Affinity, StickTable
from tcpsuite.core.balancing import First, RoundRobin
from tcpsuite.core.choosing import Choice, LeftOut, Why
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import ILoadBalancer
from tcpsuite.stores.affinity import NAME, AffinityFile

GOAL = 1.0
LONGEST_TURN = 5.0
BATCH = 2000


def some_servers(number: int) -> list[Server]:
    return [Server(f"server-{index}", f"tcp:10.0.0.{index}:1") for index in range(number)]


def addresses(first: int, number: int) -> list[str]:
    return [f"10.{each >> 16 & 255}.{each >> 8 & 255}.{each & 255}" for each in range(first, first + number)]


def full_table() -> StickTable:
    table = StickTable(timeout=inf)
    names = [server.name for server in some_servers(10)]
    for index, client in enumerate(addresses(0, ENTRIES)):
        table.lead(client, names[index % 10], index / ENTRIES)
    return table


def connecting(balancer: ILoadBalancer, clients: list[str], usable: list[Server]) -> Callable[[], float]:
    """Gives the price of a connection without affinity, in microseconds, each time it is called."""
    who = cycle(clients)

    def measured() -> float:
        arrivals = [next(who) for _ in range(BATCH)]
        begun = time.process_time_ns()
        for client in arrivals:
            balancer.pick(usable, client, 1.0)
            balancer.because(usable, client)
        return (time.process_time_ns() - begun) / BATCH / 1000

    return measured


def remembering(
    balancer: ILoadBalancer, clients: list[str], usable: list[Server], choice: Choice
) -> Callable[[], float]:
    """Gives the same with it; all that a search does for it is done."""
    affinity, who = Affinity(full_table(), balancer), cycle(clients)

    def measured() -> float:
        arrivals = [next(who) for _ in range(BATCH)]
        if len(usable) < 10:
            for client in arrivals:
                affinity.table.lead(client, "server-0", 1.0)
        begun = time.process_time_ns()
        for client in arrivals:
            server = affinity.pick(usable, client, 1.0)
            affinity.because(usable, client)
            key = affinity.led(server.name, choice, 1.0)
            affinity.table.enter(key)
            affinity.table.leave(key, 1.0)
        return (time.process_time_ns() - begun) / BATCH / 1000

    return measured


async def cost(rounds: int) -> None:
    """Microseconds of a connection, without and with affinity; over the goal in bold."""
    servers = some_servers(10)
    names = tuple(server.name for server in servers)
    known, new = addresses(0, ENTRIES), addresses(ENTRIES, 10 * ENTRIES)
    Random(1).shuffle(known)
    # Each tenth client's server is the one that is down.
    homeless = [client for index, client in enumerate(addresses(0, ENTRIES)) if index % 10 == 0]
    usable = servers[1:]
    all_up, one_down = Choice(names), Choice(names[1:], (LeftOut(names[0], Why.DOWN),))
    kinds = {
        "known, of 1,000, round_robin": (RoundRobin, known[:1000], servers, all_up),
        "known, of 1,000, first": (First, known[:1000], servers, all_up),
        "known, round_robin": (RoundRobin, known, servers, all_up),
        "known, first": (First, known, servers, all_up),
        "new, round_robin": (RoundRobin, new, servers, all_up),
        "moved, round_robin": (RoundRobin, homeless, usable, one_down),
    }
    without = {
        kind: connecting(make(Random(1)), clients, of) for kind, (make, clients, of, _) in kinds.items()
    }
    with_it = {
        kind: remembering(make(Random(1)), clients, of, choice)
        for kind, (make, clients, of, choice) in kinds.items()
    }
    found: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in kinds}
    for _ in range(rounds):
        for kind, (plain, sticky) in found.items():
            plain.append(without[kind]())
            sticky.append(with_it[kind]())
    print("| client, strategy | without | with | more |")
    print("|---|---|---|---|")
    for kind, (plain, sticky) in found.items():
        more = statistics.median(sticky) - statistics.median(plain)
        text = (
            f"**{more:.2f}**"
            if kind.startswith("known") and "robin" in kind and more > GOAL
            else f"{more:.2f}"
        )
        print(f"| {kind} | {cell(plain)} | {cell(sticky)} | {text} |")


async def size(_rounds: int) -> None:
    """Bytes of a remembered client."""
    tracemalloc.start()
    table = full_table()
    in_memory = tracemalloc.get_traced_memory()[0] / ENTRIES
    tracemalloc.stop()
    with tempfile.TemporaryDirectory() as folder:
        await stored(folder, table)
        in_file = os.path.getsize(os.path.join(folder, NAME)) / ENTRIES
    print(f"| in memory | in the file |\n|---|---|\n| {in_memory:.0f} | {in_file:.0f} |")


async def file(rounds: int) -> None:
    """Milliseconds of a file of 100,000 clients; a turn over the goal in bold."""
    written, turns, processor, read = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        table = full_table()
        for _ in range(rounds):
            took, turn, used = await stored(folder, table)
            written.append(took)
            turns.append(turn)
            processor.append(used)
            next_one = AffinityFile.on(reactor, folder, {"shop": StickTable(inf)})
            begun = time.perf_counter()
            next_one.open()
            read.append(1000 * (time.perf_counter() - begun))
            next_one._claim.release()
    print("| written in | longest turn of the reactor | processor time | read in |\n|---|---|---|---|")
    longest = cell(turns, LONGEST_TURN)
    print(f"| {cell(written)} | {longest} | {cell(processor)} | {cell(read)} |")


async def stored(folder: str, table: StickTable) -> tuple[float, float, float]:
    """Milliseconds until the file was written, the longest turn of the reactor meanwhile, processor time."""
    place = AffinityFile.on(reactor, folder, {"shop": table})
    turns: list[float] = []
    last = time.perf_counter()

    def turn() -> None:
        nonlocal last
        now = time.perf_counter()
        turns.append(now - last)
        last = now

    watching = LoopingCall(turn)
    watching.start(0)
    begun, used = time.perf_counter(), time.process_time()
    await place.store()
    took = 1000 * (time.perf_counter() - begun), 1000 * max(turns), 1000 * (time.process_time() - used)
    watching.stop()
    return took


def cell(taken: list[float], goal: float | None = None) -> str:
    median = statistics.median(taken)
    text = f"{median:,.2f} ({min(taken):,.2f} to {max(taken):,.2f})"
    return text if goal is None or median <= goal else f"**{text}**"


PARTS = {"cost": cost, "size": size, "file": file}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them when none is named")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}, {platform.system()} {platform.release()}")
    react(lambda _: Deferred.fromCoroutine(measure(options.parts or PARTS, options.rounds)))


async def measure(parts: Iterable[str], rounds: int) -> None:
    for name in parts:
        print(f"\n{PARTS[name].__doc__}\n", flush=True)
        await PARTS[name](rounds)


if __name__ == "__main__":
    main()
