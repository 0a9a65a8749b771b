"""A pool of somebody's own: a stack of connections, a queue of takers, and nothing more.

It decides by itself, and takes from tcpsuite what carries decisions out.
"""

from __future__ import annotations

from itertools import count
from math import isfinite
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from tcpsuite.core.queueing import Queue, WhyHeld
from tcpsuite.errors import Closed, ConnectFailed, Cut, PoolExhausted
from tcpsuite.interfaces import IConnectionPool, ILease
from tcpsuite.net.attempts import Attempts
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.held import Held
from tcpsuite.net.leases import PooledLease
from tcpsuite.net.takers import Takers
from tcpsuite.net.waiting import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamClientEndpoint
    from twisted.python.failure import Failure

    from tcpsuite.core.servers import Server

PATIENCE = 5.0


@implementer(IConnectionPool)
class StackPool:
    """Connections to one server.

    :param maximum: connections at most, which are lent again; ``None``: any number, each lent once.
    :param waiters: takers at most for whom none is being made.
    """

    def __init__(
        self,
        server: Server,
        endpoint: IStreamClientEndpoint,
        clock: Any,
        maximum: int | None = None,
        waiters: int = 3,
    ) -> None:
        self.server = server
        self.maximum = maximum
        self.waiters = waiters
        self.clock = clock
        self.deadlines = Deadlines(clock)
        self.attempts = Attempts(endpoint, self.deadlines)
        self.making: set[int] = set()
        self.takers = Takers(self.forget)
        self.room: WaitingRoom[None] = WaitingRoom(
            clock, lambda _, waiting: True, lambda waiting: PoolExhausted("paused"), Queue(waiters)
        )
        self.limit = 0.0
        self.numbers = count(1)
        self.queue: list[int] = []
        self.idle: list[Held] = []
        self.held: set[Held] = set()
        self.closed = False
        self.created = self.missed = self.leases = 0
        self.closing: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<StackPool open={len(self.held)} idle={len(self.idle)} waiting={len(self.queue)}>"

    def start(self) -> None:
        """Nothing is made ahead."""

    def acquire(self, timeout: float | None = None, holder: str = "") -> Deferred[ILease]:
        if timeout is not None and not isfinite(timeout):
            raise ValueError(timeout)
        if not self.room.goes_first or self.closed:
            return self.enter(holder, timeout)
        limit = min(self.limit, self.limit if timeout is None else timeout)
        held = self.room.hold(None, WhyHeld.PAUSED, limit, PoolExhausted("too many wait"))
        return held.addCallback(lambda _: self.enter(holder, timeout))

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        assert isinstance(lease, PooledLease)
        held = lease.give_back({held.number: held for held in self.held})
        if held is None:
            return
        if self.maximum is None or self.closed or not (reusable and ok and held.fit()):
            held.close()
            return
        held.take_back()
        self.idle.append(held)
        self.serve()
        lease.end(self.clock.seconds())

    def execute(self, fn: Callable[[ILease], Any], holder: str = "") -> Deferred[Any]:
        async def acquired() -> Any:
            lease = await self.acquire(holder=holder)
            ok = False
            try:
                result = await maybeDeferred(fn, lease)
                ok = True
                return result
            finally:
                self.release(lease, ok)

        return Deferred.fromCoroutine(acquired())

    def stats(self) -> dict[str, int | float]:
        return {
            "open": len(self.held) + len(self.making),
            "leased": sum(held.lease is not None for held in self.held),
            "waiting": len(self.queue) + len(self.room.queue),
            "created": self.created,
            "failed": self.missed,
            "leases": self.leases,
        }

    def pause(self, limit: float = 30.0) -> None:
        self.limit = limit
        self.room.pause()

    def resume(self, rate: float = 0.0) -> None:
        self.room.resume(rate)

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        self.closed = True
        self.room.close(lambda: Closed("the pool was closed"))
        for number in tuple(self.queue):
            self.reject(number, Closed("the pool was closed"))
        self.attempts.close(Closed("the pool was closed"))
        for held in self.idle:
            held.close()
        if not self.held:
            return succeed(None)
        cut = self.clock.callLater(deadline, self.cut)
        gone: Deferred[None] = Deferred()
        gone.addCallback(lambda _: cut.cancel() if cut.active() else None)
        self.closing.append(gone)
        return gone

    def cut(self) -> None:
        for held in tuple(self.held):
            if held.lease is not None:
                held.cut()
        self.room.close(lambda: Cut("cut"))
        for number in tuple(self.queue):
            self.reject(number, Cut("cut"))

    def enter(self, holder: str, timeout: float | None) -> Deferred[ILease]:
        if self.closed:
            return fail(Closed("the pool is closed"))
        number, taker = self.takers.add(holder, self.clock.seconds())
        self.queue.append(number)
        self.serve()
        if number in self.queue:
            taker.deadline = self.deadlines.after(
                PATIENCE if timeout is None else timeout,
                lambda: self.reject(number, PoolExhausted("no connection in time")),
            )
            if len(self.queue) - len(self.making) > self.waiters:
                self.reject(number, PoolExhausted("too many wait"))
        return taker.answer

    def serve(self) -> None:
        while self.queue and self.idle:
            self.lend(self.idle.pop())
        while len(self.queue) > len(self.making) and self.has_room():
            number = next(self.numbers)
            held = Held(number, self.clock, self.lost)
            held.quiet = self.maximum is not None
            self.making.add(number)
            attempt = self.attempts.begin(held, PATIENCE)
            attempt.addCallbacks(self.made, self.failed, errbackArgs=(number,))

    def has_room(self) -> bool:
        return self.maximum is None or len(self.held) + len(self.making) < self.maximum

    def lend(self, held: Held) -> None:
        now = self.clock.seconds()
        taker = self.takers.settle(self.queue.pop(0))
        held.lease = PooledLease(self.server, held, taker.holder, now)
        self.leases += 1
        taker.answer.callback(held.lease)

    def made(self, held: Held) -> None:
        self.making.discard(held.number)
        self.held.add(held)
        self.created += 1
        if self.queue:
            self.lend(held)
        elif self.maximum is None or self.closed:
            held.close()
        else:
            self.idle.append(held)

    def failed(self, failure: Failure, connection: int) -> None:
        self.making.discard(connection)
        if self.closed:
            return
        self.missed += 1
        if self.queue:
            self.reject(self.queue[0], ConnectFailed(failure.getErrorMessage()))
        self.serve()

    def lost(self, held: Held) -> None:
        if held in self.idle:
            self.idle.remove(held)
        held.close()
        if held.gone:
            self.held.discard(held)
            self.serve()
        if not self.held:
            closing, self.closing = self.closing, []
            for gone in closing:
                gone.callback(None)

    def reject(self, number: int, error: BaseException) -> None:
        self.queue.remove(number)
        self.takers.settle(number).answer.errback(error)

    def forget(self, number: int) -> None:
        self.queue.remove(number)
        self.takers.settle(number)
