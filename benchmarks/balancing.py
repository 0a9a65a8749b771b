#!/usr/bin/env python3
"""What a pick costs, why ip_hash is rendezvous hashing, and what becomes of a slow server.

    python benchmarks/balancing.py
    python benchmarks/balancing.py price --rounds 21

price: microseconds of processor time of one pick, with 10 and with 100 servers, of equal weight and of
    weights from 1 to 5.  Servers have up to 49 connections, and between picks some begin and end; of them the
    balancer is told, which is not counted.  A thousand clients come, a thousand a second.  Goals: 2 and 10.
why: what it costs to ask behind a pick what it went by, as is done for each connection that is recorded: the
    price of a pick without and with it, and the difference of the medians.  Goal: 0.5 with 10 servers.
hash: for ip_hash as it is and for a Maglev table of 65,537 places, what the pick of a known and of a new
    client costs, what the first one behind a change of servers costs, and how many clients move, though their
    server is still there, when one of them leaves.
slow: the part of its fair share that a server gets which takes 50 ms where two others take 1 ms, with few
    requests and with many.

Every round measures each way once, one after the other, so that a drift of the machine meets all alike; the
figure is the median of the rounds (--rounds, 11), in brackets the lowest and the highest.  What is printed is
Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count, cycle
from random import Random

from tcpsuite.core.balancing import STRATEGIES, IPHash
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import ILearning, ILoadBalancer, ITimed, Outcome

GOALS = {10: 2.0, 100: 10.0}
MORE = 0.5
"""Microseconds that asking why may cost at most, with 10 servers."""
PLACES = 65_537
"""Of a Maglev table: a prime, some hundred times the servers."""
BATCH = 20
"""Picks between two looks at the clock, which costs about as much as one of them."""


def some_servers(number: int, heaviest: int = 1) -> list[Server]:
    return [
        Server(f"server-{index}", f"tcp:10.0.0.{index}:1", 1 + index % heaviest) for index in range(number)
    ]


def addresses(number: int) -> list[str]:
    return [f"10.{each >> 16 & 255}.{each >> 8 & 255}.{each & 255}" for each in range(number)]


class Maglev:
    """What ip_hash might have been: each server takes places in an order of its own, in turns."""

    def __init__(self) -> None:
        self.servers: Sequence[Server] = ()
        self.table: list[Server] = []

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server:
        if servers is not self.servers:
            self.servers, self.table = servers, self.filled(servers)
        return self.table[digest(client) % PLACES]

    def filled(self, servers: Sequence[Server]) -> list[Server]:
        table: list[Server | None] = [None] * PLACES
        places = [
            (digest(server.name) % PLACES, digest(f"{server.name} step") % (PLACES - 1) + 1)
            for server in servers
        ]
        taken = 0
        while True:
            for index, (place, step) in enumerate(places):
                free = place
                while table[free] is not None:
                    free = (free + step) % PLACES
                table[free] = servers[index]
                places[index] = (free, step)
                taken += 1
                if taken == PLACES:
                    return table  # type: ignore[return-value]


def digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def picking(
    balancer: ILoadBalancer | Maglev,
    number: int,
    heaviest: int = 1,
    *,
    clients: int = 1000,
    picks: int = 2000,
    asked: bool = False,
) -> Callable[[], float]:
    """Gives the price of a pick, in microseconds, each time it is called; ``asked`` why, if it is to be."""
    chance = Random(1)
    usable = some_servers(number, heaviest)
    for server in usable:
        server.active = chance.randrange(50)
    who, when = cycle(addresses(clients)), count(0.0, 0.001)

    def measured() -> float:
        spent = 0
        for _ in range(picks // BATCH):
            arrivals = [(next(who), next(when)) for _ in range(BATCH)]
            begun = time.process_time_ns()
            if asked:
                for client, now in arrivals:
                    picked = balancer.pick(usable, client, now)
                    balancer.because(usable, client)
            else:
                for client, now in arrivals:
                    picked = balancer.pick(usable, client, now)
            spent += time.process_time_ns() - begun
            picked.active += 1
            if ILearning.providedBy(balancer):
                balancer.connected(picked, Outcome(True, seconds=chance.random() / 100), now)
            if ITimed.providedBy(balancer):
                balancer.answered(picked, chance.random() / 100, now)
            usable[chance.randrange(number)].active = chance.randrange(50)
        return spent / picks / 1000

    return measured


def changing(balancer: ILoadBalancer | Maglev, number: int) -> Callable[[], float]:
    """Gives the price of the first pick when a server has left or come back, in microseconds."""
    usable = some_servers(number)
    turns = cycle([usable[1:], usable])

    def measured() -> float:
        servers = list(next(turns))
        begun = time.process_time_ns()
        balancer.pick(servers, "10.0.0.1", 0.0)
        return (time.process_time_ns() - begun) / 1000

    return measured


def compare(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each way took, in each round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return found


def cell(taken: list[float], goal: float | None = None) -> str:
    median = statistics.median(taken)
    text = f"{median:,.2f} ({min(taken):,.2f} to {max(taken):,.2f})"
    return text if goal is None or median <= goal else f"**{text}**"


def price(rounds: int) -> None:
    """Microseconds for one pick; over the goal of 2 (10 servers) or 10 (100) in bold."""
    kinds = [(number, heaviest) for number in GOALS for heaviest in (1, 5)]
    found = compare(
        {
            f"{strategy} {number} {heaviest}": picking(STRATEGIES[strategy](Random(1)), number, heaviest)
            for number, heaviest in kinds
            for strategy in STRATEGIES
        },
        rounds,
    )
    print("| strategy | 10 servers | 10, weights 1 to 5 | 100 servers | 100, weights 1 to 5 |")
    print("|---|---|---|---|---|")
    for strategy in STRATEGIES:
        cells = (cell(found[f"{strategy} {number} {heaviest}"], GOALS[number]) for number, heaviest in kinds)
        print(f"| `{strategy}` | {' | '.join(cells)} |")


def why(rounds: int) -> None:
    """Microseconds for one pick, alone and asked what it went by; over the goal in bold."""
    rules = {strategy: STRATEGIES[strategy] for strategy in STRATEGIES}
    rules["ip_hash, bounded"] = lambda chance: IPHash(chance, bounded_load=1.5)
    found = compare(
        {
            f"{name} {number} {asked}": picking(make(Random(1)), number, 5, asked=asked)
            for number in GOALS
            for name, make in rules.items()
            for asked in (False, True)
        },
        rounds,
    )
    print("| strategy | 10 servers | asked | more | 100 servers | asked | more |")
    print("|---|---|---|---|---|---|---|")
    for name in rules:
        cells = []
        for number in GOALS:
            alone, asked = (found[f"{name} {number} {asked}"] for asked in (False, True))
            more = statistics.median(asked) - statistics.median(alone)
            text = f"{more:.2f}"
            cells += [cell(alone), cell(asked), f"**{text}**" if number == 10 and more > MORE else text]
        print(f"| `{name}` | {' | '.join(cells)} |")


def hash_(rounds: int) -> None:
    """Rendezvous hashing, whose results are remembered, beside a Maglev table; microseconds."""
    kinds = [(name, number) for number in GOALS for name in ("rendezvous", "Maglev")]

    def make(name: str) -> IPHash | Maglev:
        return IPHash(Random(1)) if name == "rendezvous" else Maglev()

    known = compare({f"{kind}": picking(make(kind[0]), kind[1]) for kind in kinds}, rounds)
    new = compare({f"{kind}": picking(make(kind[0]), kind[1], clients=1_000_000) for kind in kinds}, rounds)
    change = compare({f"{kind}": changing(make(kind[0]), kind[1]) for kind in kinds}, rounds)
    print("| servers | | known client | new client | first pick after a change | moved without need |")
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        cells = (cell(taken[f"{kind}"]) for taken in (known, new, change))
        print(f"| {kind[1]} | {kind[0]} | {' | '.join(cells)} | {moved(make(kind[0]), kind[1]):.2%} |")


def moved(balancer: IPHash | Maglev, number: int) -> float:
    """The share of clients that move, though their server is still there, when one of the servers leaves."""
    usable, clients = some_servers(number), addresses(20_000)
    before = [balancer.pick(usable, client, 0.0) for client in clients]
    left = usable[1:]
    after = [balancer.pick(left, client, 0.0) for client in clients]
    stayed = sum(one is other for one, other in zip(before, after, strict=True))
    return 1 - (stayed + before.count(usable[0])) / len(clients)


def slow(rounds: int) -> None:
    """The part of its fair share that the slow one of three servers gets, in two minutes; 1 is all of it."""
    rates, seeds = (20, 200, 1000), range(rounds)
    print(f"| strategy | {' | '.join(f'{rate} requests a second' for rate in rates)} |")
    print(f"|---{'|---' * len(rates)}|")
    for strategy in ("round_robin", "random", "least_connections", "power_of_two", "least_time"):
        cells = []
        for rate in rates:
            shares = [share_of_slow(STRATEGIES[strategy](Random(seed)), rate, seed) for seed in seeds]
            cells.append(cell([3 * share for share in shares]))
        print(f"| `{strategy}` | {' | '.join(cells)} |", flush=True)


def share_of_slow(balancer: ILoadBalancer, rate: float, seed: int) -> float:
    """Requests come at random moments, each on a connection of its own, in a time of their own."""
    usable, now, order, chance = some_servers(3), 0.0, count(), Random(seed)
    got: Counter[Server] = Counter()
    ends: list[tuple[float, int, Server, float]] = []
    while (now := now + chance.expovariate(rate)) < 120:
        while ends and ends[0][0] <= now:
            ended, _, server, took = heappop(ends)
            if ITimed.providedBy(balancer):
                balancer.answered(server, took, ended)
            server.active -= 1
        picked = balancer.pick(usable, "", now)
        got[picked] += 1
        picked.active += 1
        if ILearning.providedBy(balancer):
            balancer.connected(picked, Outcome(True, seconds=0.0001), now)
        took = (0.050 if picked is usable[2] else 0.001) * chance.uniform(0.8, 1.2)
        heappush(ends, (now + took, next(order), picked, took))
    return got[usable[2]] / got.total()


PARTS = {"price": price, "why": why, "hash": hash_, "slow": slow}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them when none is named")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"CPython {platform.python_version()}, {platform.system()} {platform.release()}")
    for name in options.parts or PARTS:
        print(f"\n{PARTS[name].__doc__}\n")
        sys.stdout.flush()
        PARTS[name](options.rounds)


if __name__ == "__main__":
    main()
