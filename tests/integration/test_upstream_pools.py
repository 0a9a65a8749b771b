"""A program with pools to three real Redis servers, of which one dies and returns."""

from __future__ import annotations

import random
from collections import Counter
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater

from tcpsuite.net.assembly import build_upstream
from tcpsuite.net.health_options import HealthOptions
from tcpsuite.net.options import ServerOptions, UpstreamOptions
from tcpsuite.net.pool_options import PoolOptions
from tcpsuite.options import ClientEndpoint, Duration
from tests.integration.support.programs import free_port, need
from tests.integration.support.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tcpsuite.interfaces import ILease
    from tcpsuite.net.upstream import Upstream

CALLERS = 20
LENT = 3
"""Connections that each server may have."""
QUICK = Duration(0.1)


class WhereAmI(Protocol):
    """Asks a Redis for its port."""

    def __init__(self) -> None:
        self.answered: Deferred[int] = Deferred()
        self._got = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"CONFIG GET port\r\n")

    def dataReceived(self, data: bytes) -> None:
        self._got += data
        # An array of two, the name and the value: *2 $4 port $5 10001
        if self._got.count(b"\r\n") == 5:
            self.answered.callback(int(self._got.split()[-1]))

    def connectionLost(self, reason: Any = connectionDone) -> None:
        if not self.answered.called:
            self.answered.errback(reason)


def ask(lease: ILease) -> Deferred[int]:
    """Ask on that connection."""
    asking = WhereAmI()
    lease.attach(asking)
    return asking.answered


class Callers:
    """Many that ask one question after the other, as long as they may.

    :ivar answers: which servers answered how often, since this was last emptied.
    :ivar lost: how many lost their connection while they waited for the answer.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.answers: Counter[int] = Counter()
        self.lost = 0
        self._asking = True
        self._all = gatherResults([Deferred.fromCoroutine(self._call(upstream)) for _ in range(CALLERS)])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait; who fails in another way than by the loss of a connection fails this."""
        while not condition():
            assert not self._all.called, await self._all
            await deferLater(reactor, 0.01)

    async def stop(self) -> None:
        """Let them end."""
        self._asking = False
        await self._all

    async def _call(self, upstream: Upstream) -> None:
        while self._asking:
            try:
                self.answers[await upstream.execute(ask)] += 1
            except ConnectionClosed:
                self.lost += 1


@pytest_twisted.ensureDeferred
async def test_one_of_three_dies_and_returns(tmp_path: Path, running: ExitStack) -> None:
    """Only who was waiting for its answer hears of the death of a server; everybody else is served by the
    others, and by that one again when it is back.
    """
    need("redis-server")
    a, b, c = (running.enter_context(Redis(free_port(), tmp_path)).started() for _ in range(3))
    options = UpstreamOptions(
        servers=tuple(
            ServerOptions(str(each.port), ClientEndpoint(f"tcp:127.0.0.1:{each.port}")) for each in (a, b, c)
        ),
        pool=PoolOptions("message", max_connections=LENT),
        health=HealthOptions(interval=QUICK, down_interval=QUICK, ejection_time=QUICK),
    )
    upstream = build_upstream("redis", options, reactor, random.Random(7))
    upstream.start()
    callers = Callers(upstream)
    everywhere = {each.port for each in (a, b, c)}
    await callers.until(lambda: callers.answers.keys() == everywhere)

    a.end(SIGKILL)
    callers.answers.clear()
    dead = upstream.servers[0]
    await callers.until(lambda: not dead.up and callers.answers.total() > 1000)
    assert callers.lost <= LENT
    assert callers.answers[a.port] <= LENT, "answers that were under way"
    assert dead.resets == callers.lost

    running.enter_context(Redis(a.port, tmp_path))
    await callers.until(lambda: dead.up)
    callers.answers.clear()
    await callers.until(lambda: callers.answers.keys() == everywhere)
    lost = callers.lost
    await callers.stop()
    assert lost <= LENT
    assert [server.active for server in upstream.servers] == [0, 0, 0]
    for pool in upstream.pools.values():
        stats = pool.stats()
        assert (stats["leased"], stats["waiting"]) == (0, 0)
        assert stats["open"] <= LENT
    await upstream.stop()
