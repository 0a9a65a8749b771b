#!/usr/bin/env python3
"""What a limit costs: nanoseconds of processor time a check, and bytes a key.

::

    python benchmarks/limits.py
    python benchmarks/limits.py --rounds 21 --keys 100000

Each check is of another key, drawn from all of them, which are in the tables already: nothing is where the
processor looked last.  An admission has three limits, connections and new connections of an address, and
logins of a user; with overrides, for 1,000 networks of 8 to 32 bits.  What it counted is released between
rounds, and not measured but for the line that says so.  Every round measures each way once; the figure is the
median of the rounds, in brackets the lowest and the highest.

Shared limits have heard of every key before, and are told again between rounds: nobody waits for that.
``benchmarks/shared_limits.py`` measures what it takes.

The bytes are those that Python has allocated for a key more, the text of the key included.
"""

from __future__ import annotations

import argparse
import gc
import ipaddress
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from random import Random

from tcpsuite.core.limits import Limits, Overrides, ResourceLimiter, Sharing, parse_overrides, user_key
from tcpsuite.core.limits.keys import key_of
from tcpsuite.core.limits.rates import Rates
from tcpsuite.core.limits.sharing import Answer, Heard
from tcpsuite.interfaces import Verdict
from tcpsuite.net.limit_options import LimitsOptions
from tcpsuite.net.sharing import SharedLimiter

CHECK = 2000
"""Nanoseconds that the check of one limit may take."""
ADMISSION = 10_000
"""Nanoseconds that a whole admission may take."""
NETWORKS = 1000
ROOMY = Limits(
    1000, connection_rate=1, connection_burst=1000, connections_per_user=1000, message_burst=10_000
)
"""Nobody is refused."""

Who = tuple[str, str, str]
"""A client's address, its key, and a user."""
Check = Callable[[str, str, str], object]


def addresses(number: int, chance: Random) -> list[str]:
    """So many IPv4 addresses, none twice, in no order."""
    return [str(ipaddress.IPv4Address(each)) for each in chance.sample(range(1 << 24, 224 << 24), number)]


def addresses6(number: int, chance: Random) -> list[str]:
    """So many IPv6 addresses, each in a network of 64 bits of its own."""
    nets = chance.sample(range(1 << 32), number)
    return [str(ipaddress.IPv6Address(0x20010DB8 << 96 | net << 64 | chance.getrandbits(64))) for net in nets]


def networks(chance: Random) -> Overrides:
    """Overrides that change nothing, for networks of all lengths."""
    found: set[str] = set()
    while len(found) < NETWORKS:
        network = ipaddress.IPv4Network((chance.getrandbits(32), chance.randint(8, 32)), strict=False)
        found.add(str(network))
    return parse_overrides("\n".join(f"{network} connections_per_ip=1000" for network in found))


class Told:
    """Stands for Redis, in which there is room for everybody."""

    def __init__(self) -> None:
        self.sharing = Sharing(3600.0)

    def wake(self) -> None:
        """Asked between rounds."""

    def tell(self) -> None:
        """A turn passes, and all that is asked is answered."""
        for _ in self.sharing.turn(0.0):
            pass
        heard = Heard(True, True, frozenset())
        while (question := self.sharing.ask(0.0)) is not None:
            claims = [(claim.wanted, claim.most) for claim in question.claims]
            purchases = [(each.wanted, 0.0) for each in question.purchases]
            self.sharing.answered(question, Answer(heard, claims, purchases), 0.0)


class Way:
    """One thing to measure.

    :param most: nanoseconds that it may take.
    :param check: called, and measured; verdicts that it gives are released.
    :param told: who answers what a shared limiter asks.
    """

    def __init__(
        self, title: str, most: int, limiter: ResourceLimiter, check: Check, told: Told | None = None
    ) -> None:
        self.title = title
        self.most = most
        self.limiter = limiter
        self.check = check
        self.told = told
        self.rounds: list[float] = []

    def measure(self, people: Sequence[Who]) -> None:
        """One round: each of them once."""
        check = self.check
        gc.collect()
        gc.disable()  # as timeit does: what it costs depends on all else that there is
        begun = time.process_time_ns()
        kept = [check(*who) for who in people]
        self.rounds.append((time.process_time_ns() - begun) / len(people))
        gc.enable()
        for verdicts in kept:
            for verdict in verdicts if isinstance(verdicts, tuple) else (verdicts,):
                if isinstance(verdict, Verdict):
                    self.limiter.release(verdict)
        if self.told is not None:
            self.told.tell()


def admission(limiter: ResourceLimiter) -> Check:
    def check(client: str, _: str, user: str) -> tuple[Verdict, Verdict]:
        return limiter.admit(client, 0.0), limiter.admit_user(user, 0.0)

    return check


def ways(overrides: Overrides) -> list[Way]:
    """All that is measured, each with a limiter of its own."""
    connections, messages = ResourceLimiter(), ResourceLimiter(ROOMY)
    plain, mapped = ResourceLimiter(ROOMY), ResourceLimiter(ROOMY, overrides=overrides)
    rates, told = Rates(), Told()
    shared = SharedLimiter(
        LimitsOptions(
            connections_per_ip=1000, message_burst=10_000, shared=("connections_per_ip", "message_rate")
        ),
        "all",
        told,
    )
    return [
        Way(
            "connections of an address", CHECK, connections, lambda client, *_: connections.admit(client, 0.0)
        ),
        Way("a rate alone", CHECK, plain, lambda client, *_: rates.spend(client, 1, 1, 1000, 0.0)),
        Way(
            "a request of a user",
            CHECK,
            messages,
            lambda _, key, user: messages.spend(user_key(user), 1, 0.0),
        ),
        Way("a request of an address", CHECK, messages, lambda _, key, user: messages.spend(key, 1, 0.0)),
        Way(
            "connections of an address, shared",
            CHECK,
            shared,
            lambda client, *_: shared.admit(client, 0.0),
            told,
        ),
        Way(
            "a request of an address, shared",
            CHECK,
            shared,
            lambda _, key, user: shared.spend(key, 1, 0.0),
            told,
        ),
        Way("an admission, three limits", ADMISSION, plain, admission(plain)),
        Way("an admission, three limits and 1,000 networks", ADMISSION, mapped, admission(mapped)),
    ]


def released(limiter: ResourceLimiter, clients: Sequence[str]) -> float:
    """Nanoseconds that the end of a connection takes."""
    verdicts = [limiter.admit(client, 0.0) for client in clients]
    begun = time.process_time_ns()
    for verdict in verdicts:
        limiter.release(verdict)
    return (time.process_time_ns() - begun) / len(clients)


def bytes_each(clients: Sequence[str], fill: Callable[[str], object]) -> float:
    """Bytes that a key more takes; of each a text is made that nobody else has."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = [fill("".join(list(client))) for client in clients]
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before - sys.getsizeof(kept)) / len(clients)


def show(rounds: Sequence[float]) -> str:
    return f"{statistics.median(rounds):,.0f} ({min(rounds):,.0f} to {max(rounds):,.0f})"


def measure(rounds: int, keys: int) -> None:
    """Measure, and print."""
    chance = Random(1)
    overrides = networks(chance)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} processors, {platform.machine()};"
        f" {time.strftime('%B %Y')}; {keys:,} keys, median of {rounds} rounds.\n"
    )
    for family, clients in (("IPv4", addresses(keys, chance)), ("IPv6", addresses6(keys, chance))):
        people = [(client, key_of(client), f"user-{number}") for number, client in enumerate(clients)]
        found = ways(overrides)
        for way in found:
            way.measure(people)
            way.rounds.clear()
        for _ in range(rounds):
            chance.shuffle(people)
            for way in found:
                way.measure(people)
        print(f"| {family}: nanoseconds | | at most | |\n|---|---|---|---|")
        for way in found:
            met = "met" if statistics.median(way.rounds) <= way.most else "missed"
            print(f"| {way.title} | {show(way.rounds)} | {way.most:,} | {met} |")
        ends = [released(found[0].limiter, clients) for _ in range(rounds)]
        print(f"| the end of a connection | {show(ends)} | | |\n")
    clients = addresses(keys, chance)
    limiter, rates = ResourceLimiter(), Rates()
    print("| | bytes a key |\n|---|---|")
    for title, fill in (
        ("a rate", lambda key: rates.spend(key, 1, 1, 10, 0.0)),
        ("an open connection, its verdict included", lambda key: limiter.admit(key, 0.0)),
    ):
        print(f"| {title} | {bytes_each(clients, fill):,.0f} |")


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--keys", type=int, default=100_000)
    given = parser.parse_args()
    measure(given.rounds, given.keys)


if __name__ == "__main__":
    main()
