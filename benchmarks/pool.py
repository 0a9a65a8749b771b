#!/usr/bin/env python3
"""What a lease costs: acquire and release on a warm pool, in microseconds of processor time a pair.

::

    python benchmarks/pool.py
    python benchmarks/pool.py --rounds 21 --pairs 50000

Each pair asks for a connection, gets it at once, and gives it back; the second figure is of pairs that give
it to a protocol between.  The connections are real, to a listener in the same process, so that asking the
kernel costs what it does.  Best, median and worst of the rounds are printed.
"""

from __future__ import annotations

import argparse
import statistics
from time import process_time

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.pool import ConnectionPool

LIMIT = 15.0
"""Microseconds that a pair may take."""

OPEN = 8


def bare(pool: ConnectionPool, pairs: int) -> None:
    """Acquire and release."""
    for _ in range(pairs):
        pool.acquire().addCallback(pool.release)


def attached(pool: ConnectionPool, pairs: int) -> None:
    """Acquire, attach, release."""
    taker = Protocol()

    def use(lease: object) -> None:
        lease.attach(taker)  # type: ignore[attr-defined]
        pool.release(lease)  # type: ignore[arg-type]

    for _ in range(pairs):
        pool.acquire().addCallback(use)


async def measure(reactor: object, rounds: int, pairs: int) -> None:
    """Measure, and print."""
    listener = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")  # type: ignore[attr-defined]
    address = f"tcp:127.0.0.1:{listener.getHost().port}"
    settings = PoolSettings("message", min_connections=OPEN, max_connections=OPEN)
    pool = ConnectionPool(Server("a", address), server_endpoint(reactor, address), reactor, settings=settings)
    pool.start()
    while pool.stats()["idle"] < OPEN:
        await _turn(reactor)
    for name, play in (("acquire, release", bare), ("acquire, attach, release", attached)):
        times = []
        for _ in range(rounds):
            began = process_time()
            play(pool, pairs)
            times.append((process_time() - began) / pairs * 1e6)
            await _turn(reactor)
        figures = f"best {min(times):.2f}, median {statistics.median(times):.2f}, worst {max(times):.2f}"
        print(f"{name}: {figures} microseconds a pair")
        if play is bare:
            print(f"under {LIMIT:g}: {'yes' if statistics.median(times) < LIMIT else 'no'}")
    assert pool.stats()["created"] == OPEN, "the same connections all the time"
    await pool.close()
    await listener.stopListening()


async def _turn(reactor: object) -> None:
    turned: Deferred[None] = Deferred()
    reactor.callLater(0, turned.callback, None)  # type: ignore[attr-defined]
    await turned


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--pairs", type=int, default=20_000)
    given = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(measure(reactor, given.rounds, given.pairs)))


if __name__ == "__main__":
    main()
