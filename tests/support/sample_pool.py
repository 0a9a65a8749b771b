"""A pool of somebody's own: a stack of connections, a queue of takers, and nothing more.

It decides by itself, and takes from tcpsuite what carries decisions out.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from zope.interface import implementer

from tcpsuite.core.pooling.gate import Gate, Pass
from tcpsuite.errors import Closed, ConnectFailed, PoolExhausted, TcpsuiteError
from tcpsuite.interfaces import IConnectionPool, ILease
from tcpsuite.net.alarm import Alarm
from tcpsuite.net.attempts import Attempts
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.held import Held
from tcpsuite.net.leases import PooledLease
from tcpsuite.net.takers import Takers

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamClientEndpoint

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
        self.attempts = Attempts(endpoint, self.deadlines, self.made, self.failed)
        self.making: set[int] = set()
        self.takers = Takers(self.forget)
        self.gate = Gate(waiters)
        self.alarm = Alarm(clock, self.tick)
        self.numbers = count(1)
        self.queue: list[int] = []
        self.idle: list[Held] = []
        self.held: set[Held] = set()
        self.closed = False
        self.closing: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<StackPool open={len(self.held)} idle={len(self.idle)} waiting={len(self.queue)}>"

    def start(self) -> None:
        """Nothing is made ahead."""

    def acquire(self, timeout: float | None = None, holder: str = "") -> Deferred[ILease]:
        now = self.clock.seconds()
        number, taker = self.takers.add(holder, now, timeout)
        if self.closed:
            self.reject(number, Closed("the pool is closed"))
        elif self.gate.shut:
            if not self.gate.hold(number, now, timeout):
                self.reject(number, PoolExhausted("too many wait"))
            self.alarm.set(self.gate.due())
        else:
            self.enter(number)
        return taker.answer

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
        leased = sum(held.lease is not None for held in self.held)
        return {"leased": leased, "idle": len(self.idle), "waiting": len(self.takers)}

    def pause(self, limit: float = 30.0) -> None:
        self.gate.pause(limit)

    def resume(self, rate: float = 0.0) -> None:
        self.gate.resume(self.clock.seconds(), rate)
        self.tick()

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        self.closed = True
        self.alarm.stop()
        for number in [*self.gate.close(), *self.queue]:
            self.reject(number, Closed("the pool was closed"))
        for number in tuple(self.making):
            self.attempts.give_up(number)
        self.making.clear()
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

    def tick(self) -> None:
        for decision in self.gate.tick(self.clock.seconds()):
            if decision.taker not in self.takers:
                continue
            if isinstance(decision, Pass):
                self.enter(decision.taker)
            else:
                self.reject(decision.taker, PoolExhausted("paused for too long"))
        self.alarm.set(self.gate.due())

    def enter(self, number: int) -> None:
        taker = self.takers[number]
        self.queue.append(number)
        taker.deadline = self.deadlines.after(
            taker.left(self.clock.seconds(), PATIENCE),
            lambda: self.reject(number, PoolExhausted("no connection in time")),
        )
        self.serve()
        if number in self.queue and len(self.queue) - len(self.making) > self.waiters:
            self.reject(number, PoolExhausted("too many wait"))

    def serve(self) -> None:
        while self.queue and self.idle:
            self.lend(self.idle.pop())
        while len(self.queue) > len(self.making) and self.room():
            number = next(self.numbers)
            held = Held(number, self.clock, self.lost)
            held.quiet = self.maximum is not None
            self.making.add(number)
            self.attempts.begin(held, PATIENCE)

    def room(self) -> bool:
        return self.maximum is None or len(self.held) + len(self.making) < self.maximum

    def lend(self, held: Held) -> None:
        now = self.clock.seconds()
        taker = self.takers.settle(self.queue.pop(0), now)
        held.lease = PooledLease(self.server, held, taker.holder, now)
        taker.answer.callback(held.lease)

    def made(self, held: Held) -> None:
        self.making.discard(held.number)
        self.held.add(held)
        if self.queue:
            self.lend(held)
        elif self.maximum is None or self.closed:
            held.close()
        else:
            self.idle.append(held)

    def failed(self, connection: int, why: str, *, shortage: bool) -> None:
        self.making.discard(connection)
        if self.queue:
            self.reject(self.queue[0], ConnectFailed(why))
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

    def reject(self, number: int, error: TcpsuiteError) -> None:
        if number in self.queue:
            self.queue.remove(number)
        self.takers.settle(number, self.clock.seconds()).answer.errback(error)

    def forget(self, number: int) -> None:
        if number in self.takers:
            self.takers.settle(number, self.clock.seconds())
            self.gate.give_up(number)
            if number in self.queue:
                self.queue.remove(number)
