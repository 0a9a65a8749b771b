#!/usr/bin/env python3
"""What a server gets in a slow start, by strategy and by how much there is to do.

    python benchmarks/slow_start.py

One of three equal servers comes back and starts slowly.  Connections come at random moments, from addresses
drawn by lot, and last for a time drawn by lot; all servers answer alike.  It is a calculation, with the rules
as they are and a clock of its own.  Printed is the share of the new connections that the server gets around
some moments of its window, in percent, beside the share that its weight has then: what it is due.  Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import NamedTuple

from tcpsuite.core.balancing import STRATEGIES
from tcpsuite.core.servers import Server
from tcpsuite.core.slow_start import STEPS, share
from tcpsuite.interfaces import ILearning, ITimed, Outcome

LOADS = {"idle": 0.02, "some": 1.0, "busy": 20.0}
"""Connections that each server has on average."""
WINDOW = 20.0
"""Seconds."""


class Step(NamedTuple):
    """One step of a slow start."""

    part: float
    """What it leaves the server of its weight."""
    due: float
    """The share that this weight has of all."""
    got: float
    """The share of the new connections that the server got."""


def slow_start(
    strategy: str, load: float, *, servers: int = 3, picks: int = 1000, seed: int = 1
) -> list[Step]:
    """The steps of a server that comes back among ``servers`` in all.

    :param load: connections that each server has on average.
    :param picks: connections that come in each step, on average.
    """
    traffic = Traffic(strategy, load, [Server(f"s{each}", f"tcp:10.0.0.{each}:1") for each in range(servers)])
    return list(traffic.steps(picks, Random(seed)))


class Traffic:
    """Connections to some servers, the last of which is away at first."""

    def __init__(self, strategy: str, load: float, servers: list[Server]) -> None:
        self.servers = servers
        self.strategy = strategy
        self.load = load
        self.now = 0.0
        self.ends: list[tuple[float, int, Server]] = []
        self.order = count()

    def steps(self, picks: int, chance: Random) -> Iterator[Step]:
        balancer = STRATEGIES[self.strategy](chance)
        timed, learns = ITimed.providedBy(balancer), ILearning.providedBy(balancer)
        rate = picks * STEPS / WINDOW
        seconds = self.load * len(self.servers) / rate

        def pick(among: list[Server]) -> Server:
            self.now += chance.expovariate(rate)
            while self.ends and self.ends[0][0] <= self.now:
                server = heappop(self.ends)[-1]
                server.active -= 1
            picked = balancer.pick(among, f"10.{chance.randrange(1 << 24)}", self.now)
            assert picked is not None
            picked.active += 1
            if learns:
                ILearning(balancer).connected(picked, Outcome(True, seconds=0.001), self.now)
            if timed:
                ITimed(balancer).answered(picked, 0.001, self.now)
            heappush(self.ends, (self.now + chance.expovariate(1 / seconds), next(self.order), picked))
            return picked

        *others, slow = self.servers
        while self.now < WINDOW / 4:
            pick(others)
        began = self.now
        for step in range(STEPS):
            slow.share = slow.weight = share(step * WINDOW / STEPS, WINDOW)
            among = list(self.servers)
            got: list[bool] = []
            while self.now < began + (step + 1) * WINDOW / STEPS:
                got.append(pick(among) is slow)
            due = slow.weight / sum(server.weight for server in among)
            yield Step(slow.share, due, sum(got) / len(got))


def main() -> None:
    shown = (0, 5, 10, 15, 19)
    rows = [(name, load) for name in STRATEGIES if name != "first" for load in LOADS]
    table = {(name, load): slow_start(name, LOADS[load], picks=5000) for name, load in rows}
    parts = [table[rows[0]][step] for step in shown]
    print("| strategy, servers | " + " | ".join(f"{step.part:.0%} of its weight" for step in parts) + " |")
    print("|---|" + "---|" * len(shown))
    print("| due | " + " | ".join(f"{100 * step.due:.1f}" for step in parts) + " |")
    for (name, load), steps in table.items():
        got = " | ".join(f"{100 * steps[step].got:.1f}" for step in shown)
        print(f"| `{name}`, {load} | {got} |")


if __name__ == "__main__":
    main()
