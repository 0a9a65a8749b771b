#!/usr/bin/env python3
"""What shared limits ask of Redis: questions and commands a second, and who was refused without need.

::

    python benchmarks/shared_limits.py
    python benchmarks/shared_limits.py --seconds 20 --addresses 10000 --rates 1000 5000

One process admits so many connections a second, of addresses that are drawn anew each time, and has each of
them make five requests; each stays for a second or so.  It needs a redis-server, which it starts for itself;
nothing comes over sockets but what is asked there.  The shares of a processor are those of the process, all
that it does included, and of Redis.

The bursts are of one address each that nobody knew before, all in one turn of the loop, with a limit of 100.

Last come so many addresses in one turn of the loop, each with a connection and a request, and all are
asked about; then Redis is stopped for a while, and all are told to it again; then all have left, and what
they had is given back.  How long each takes is printed, and for how long at a stretch the loop was busy with
it, in processor time.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from signal import SIGCONT, SIGSTOP
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater, react

from tcpsuite.core.limits import Sharing
from tcpsuite.core.limits.sharing import TURN
from tcpsuite.interfaces import Verdict
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.limit_options import LimitsOptions
from tcpsuite.net.sharing import SharedLimiter
from tcpsuite.options import ClientEndpoint
from tcpsuite.stores.redis.building import build_client
from tcpsuite.stores.redis.limits import RedisLimits
from tcpsuite.stores.redis.options import RedisOptions

STAY = 1.0
"""Seconds that a connection stays."""
REQUESTS = 5
TICK = 0.005
"""Seconds between two lots of connections."""
INFO = "return redis.call('INFO', 'all')"
BURSTS = (10, 20, 50, 100)
LOOKS = 0.001
"""Seconds between two looks at how long the loop was busy."""


class Stretches:
    """How long the loop works before it looks at its timers again, in processor time: others use the machine.

    :ivar most: the longest so far, in seconds.
    """

    def __init__(self) -> None:
        self.most = 0.0
        self._last = time.process_time()
        self._loop = LoopingCall(self._look)
        self._loop.start(LOOKS).addErrback(lambda failure: failure.raiseException())

    def stop(self) -> None:
        """No more looks."""
        self._look()
        self._loop.stop()

    def _look(self) -> None:
        now = time.process_time()
        self.most = max(self.most, now - self._last)
        self._last = now


class Load:
    """One process, which admits connections."""

    def __init__(self, reactor: Any, limits: SharedLimiter, addresses: int, rate: int) -> None:
        self.admitted = self.refused = 0
        self._reactor = reactor
        self._limits = limits
        self._chance = Random(1)
        self._addresses = addresses
        self._rate = rate
        self._open: deque[tuple[float, Verdict]] = deque()
        self._due = 0.0

    def tick(self) -> None:
        """Some come, some leave."""
        now = self._reactor.seconds()
        while self._open and self._open[0][0] <= now:
            self._limits.release(self._open.popleft()[1])
        self._due += self._rate * TICK
        while self._due >= 1:
            self._due -= 1
            number = self._chance.randrange(self._addresses)
            verdict = self._limits.admit(f"10.0.{number >> 8}.{number & 255}", now)
            verdicts = [verdict, *(self._limits.spend(verdict.key, 1, now) for _ in range(REQUESTS))]
            if verdict.allowed:
                self._open.append((now + STAY, verdict))
            self.refused += sum(not each.allowed for each in verdicts)
            self.admitted += 1


async def figures(asking: RedisLimits) -> dict[str, float]:
    """What Redis tells of itself."""
    told = (await asking.client.run(INFO, [], [])).decode()
    pairs = (line.split(":", 1) for line in told.splitlines() if ":" in line)
    found = dict(pairs)
    calls = sum(
        int(value.split(",")[0].removeprefix("calls="))
        for name, value in found.items()
        if name in ("cmdstat_evalsha", "cmdstat_eval")
    )
    return {"calls": calls, "seconds": float(found["used_cpu_user"]) + float(found["used_cpu_sys"])}


async def crowd(
    reactor: Any, asking: RedisLimits, options: LimitsOptions, number: int, server: subprocess.Popen[bytes]
) -> None:
    """Very many addresses, all at once."""
    limits = SharedLimiter(options, "crowd", asking)
    sharing = asking.sharing

    def come() -> list[Verdict]:
        now = reactor.seconds()
        verdicts = []
        for each in range(number):
            verdict = limits.admit(f"10.{each >> 16}.{each >> 8 & 255}.{each & 255}", now)
            limits.spend(verdict.key, 1, now)
            verdicts.append(verdict)
        return verdicts

    def told() -> bool:
        return sharing.standing.away_since is None and not sharing.wanting

    async def until(title: str, condition: Callable[[], bool]) -> None:
        begun, stretches = reactor.seconds(), Stretches()
        while not condition():
            await deferLater(reactor, 5 * LOOKS)
        took = reactor.seconds() - begun
        stretches.stop()
        print(f"| {title} | {took:.1f} | {1000 * stretches.most:.0f} |", flush=True)

    print(f"\n| {number:,} addresses | seconds | the loop was busy, ms |\n|---|---|---|")
    verdicts = come()
    await until("asked about", told)
    server.send_signal(SIGSTOP)
    await until("Redis is away", lambda: sharing.standing.away_since is not None)
    server.send_signal(SIGCONT)
    await until("told again", told)
    for verdict in verdicts:
        limits.release(verdict)
    left = reactor.seconds()
    await until("given back", lambda: reactor.seconds() > left + 3 * TURN and not sharing.wanting)


async def measure(
    reactor: Any, port: int, given: argparse.Namespace, server: subprocess.Popen[bytes]
) -> None:
    """Measure, and print."""
    redis = RedisOptions(server=ClientEndpoint(f"tcp:127.0.0.1:{port}"), connections=1)
    client = build_client(redis, reactor, lambda text: server_endpoint(reactor, text), failure_text)
    asking = RedisLimits(Sharing(redis.lease), client, reactor, "benchmark")
    options = LimitsOptions(shared=("connections_per_ip", "message_rate"))
    asking.start()
    await deferLater(reactor, 0.5)
    print("| connections/s | requests/s | questions/s | commands/s | process | Redis | refused |")
    print("|---|---|---|---|---|---|---|")
    for rate in given.rates:
        load = Load(reactor, SharedLimiter(options, f"l{rate}", asking), given.addresses, rate)
        before, asked, begun = await figures(asking), asking.questions, time.monotonic()
        used = time.process_time()
        loop = LoopingCall(load.tick)
        loop.start(TICK).addErrback(lambda failure: failure.raiseException())
        await deferLater(reactor, given.seconds)
        loop.stop()
        took, used = time.monotonic() - begun, time.process_time() - used
        after = await figures(asking)
        commands, spent = (after[key] - before[key] for key in ("calls", "seconds"))
        print(
            f"| {load.admitted / took:,.0f} | {REQUESTS * load.admitted / took:,.0f}"
            f" | {(asking.questions - asked) / took:,.0f} | {commands / took:,.0f}"
            f" | {used / took:.1%} | {spent / took:.1%} | {load.refused:,} |",
            flush=True,
        )
    print("\n| at once | admitted |\n|---|---|")
    limiter = SharedLimiter(options, "bursts", asking)
    for size in BURSTS:
        verdicts = [limiter.admit(f"192.0.2.{size}", reactor.seconds()) for _ in range(size)]
        print(f"| {size} | {sum(verdict.allowed for verdict in verdicts)} |")
    await crowd(reactor, asking, options, given.crowd, server)
    await asking.stop()


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--addresses", type=int, default=1000)
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 1000, 3000])
    parser.add_argument("--crowd", type=int, default=100_000)
    given = parser.parse_args(argv)
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        with subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--dir", folder, "--bind", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
        ) as server:
            try:
                react(lambda reactor: Deferred.fromCoroutine(measure(reactor, port, given, server)))
            finally:
                server.send_signal(SIGCONT)
                server.terminate()


if __name__ == "__main__":
    main()
