"""Connections to one server: carries out what :mod:`tcpsuite.core.pooling` decides."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.protocol import Factory
from zope.interface import implementer

from tcpsuite.core.pooling import Close, Connect, Lease, PoolSettings, Reject, SingleUse
from tcpsuite.errors import Closed, ConnectFailed, OutOfResources, TcpsuiteError
from tcpsuite.interfaces import IConnectionPool, ILease, Outcome
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.held import Held
from tcpsuite.net.shortage import is_shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IStreamClientEndpoint
    from twisted.python.failure import Failure

    from tcpsuite.core.pooling import Decision
    from tcpsuite.core.servers import Server
    from tcpsuite.net.deadlines import Deadline


@implementer(ILease)
class PooledLease:
    """One connection of a :class:`ConnectionPool`, handed out for good."""

    def __init__(self, server: Server, held: Held) -> None:
        self.server = server
        self._held = held

    def __repr__(self) -> str:
        return f"<PooledLease {self.server.name} {self._held!r}>"

    def attach(self, protocol: IProtocol) -> None:
        """Give the connection to ``protocol``, and what has happened on it meanwhile.  Once only."""
        self._held.attach(protocol)

    def ended(self) -> Deferred[Outcome]:
        """Fires when the connection is gone."""
        return self._held.ended()

    def close(self) -> None:
        """Close the connection behind what is queued on it, if it is still open."""
        self._held.close()


@implementer(IConnectionPool)
class ConnectionPool:
    """Connections to one server, made on demand, or ahead of it from a warm supply, each used once.

    :param server: where the connections lead.
    :param endpoint: makes them, and sets their sockets up, as those of
        :func:`~tcpsuite.net.connecting.server_endpoint` do; around any other one
        :class:`~tcpsuite.net.connecting.SetUpEndpoint` does.  The pool sets no option, TCP_NODELAY included.
    :param reactor: an ``IReactorTime``.
    :param settings: say how they are supplied; by default on demand.
    :param connect_timeout: seconds until an attempt is given up, at most
        :data:`~tcpsuite.core.deadlines.GRAIN` later.
    :param chance: drawn from for the back-off of the warm supply.
    :param deadlines: those of several pools may be kept together.
    :raises ValueError: when no pool can follow the settings; ``str`` says everything that is impossible.
    """

    def __init__(
        self,
        server: Server,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        *,
        settings: PoolSettings | None = None,
        connect_timeout: float = 5.0,
        chance: random.Random | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.server = server
        self._endpoint = endpoint
        self._reactor = reactor
        self._state = SingleUse((settings or PoolSettings()).verify())
        self._connect_timeout = connect_timeout
        self._chance = chance or random.SystemRandom()
        self._deadlines = Deadlines(reactor) if deadlines is None else deadlines
        self._takers: dict[int, Deferred[ILease]] = {}
        self._numbers = count(1)
        self._attempts: dict[int, tuple[Deferred[Any], Deadline | None]] = {}
        self._held: dict[int, Held] = {}
        self._timer: IDelayedCall | None = None
        self._timer_due: float | None = None
        self._closing: list[Deferred[None]] = []

    def __repr__(self) -> str:
        counts = " ".join(f"{name}={number}" for name, number in list(self._state.stats().items())[:4])
        return f"<ConnectionPool {self.server.name} {'closed ' if self._state.closed else ''}{counts}>"

    def start(self) -> None:
        """Begin to make warm connections, if there are to be any."""
        self._carry_out(self._state.tick(self._reactor.seconds()))

    def acquire(self, timeout: float | None = None) -> Deferred[ILease]:
        """A connection to the server: a warm one if there is one, else a new one.

        :param timeout: seconds it may take at most, if that is less than the connect time-out.
        """
        self._drop_dead()
        taker = next(self._numbers)
        answer: Deferred[ILease] = Deferred(lambda _: self._give_up(taker))
        self._takers[taker] = answer
        limit = self._connect_timeout if timeout is None else min(timeout, self._connect_timeout)
        self._carry_out(self._state.acquire(taker, self._reactor.seconds()), limit)
        return answer

    def release(self, lease: ILease, reusable: bool = True) -> None:
        """The taker is done: close the connection, if it is still open."""
        assert isinstance(lease, PooledLease)
        lease.close()

    def execute(self, fn: Callable[[ILease], Any]) -> Deferred[Any]:
        """Acquire, call ``fn`` with the lease, wait for its Deferred or coroutine, release."""

        async def acquired() -> Any:
            lease = await self.acquire()
            try:
                return await maybeDeferred(fn, lease)
            finally:
                self.release(lease)

        return Deferred.fromCoroutine(acquired())

    def stats(self) -> dict[str, int | float]:
        """Now: ``connecting``, ``refilling``, ``warm``, ``leased``.  Since the beginning: ``created``,
        ``failed``, and of the warm ones ``warm_used``, ``warm_aged``, ``warm_lost``.
        """
        return dict(self._state.stats())

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        """Take no new work; leases have ``deadline`` seconds to end.  Fires when nothing is left."""
        self._carry_out(self._state.close())
        if not self._held and not self._attempts:
            return succeed(None)
        cut = self._reactor.callLater(deadline, self.cut)
        gone: Deferred[None] = Deferred()
        gone.addCallback(lambda _: cut.cancel() if cut.active() else None)
        self._closing.append(gone)
        return gone

    def cut(self) -> None:
        """Reset every lease now."""
        for held in tuple(self._held.values()):
            if held.leased:
                held.cut()

    def _carry_out(
        self,
        decisions: Iterable[Decision],
        limit: float | None = None,
        rejection: type[TcpsuiteError] = ConnectFailed,
    ) -> None:
        for decision in decisions:
            match decision:
                case Connect(connection):
                    self._connect(connection, self._connect_timeout if limit is None else limit)
                    # Only the first is the taker's own; those behind it fill up the warm supply.
                    limit = None
                case Lease(taker, connection):
                    self._takers.pop(taker).callback(self._lease(connection))
                case Close(connection):
                    self._close(connection)
                case Reject(taker, why):
                    error = Closed if self._state.closed else rejection
                    self._takers.pop(taker).errback(error(why))
        self._set_timer()

    def _connect(self, connection: int, timeout: float) -> None:
        held = Held(connection, self._reactor, self._lost)
        # An endpoint of somebody else's may raise what it should give as a failure.
        attempt = maybeDeferred(self._endpoint.connect, _Only(held))
        deadline = None
        if not attempt.called:
            deadline = self._deadlines.after(timeout, lambda: self._time_out(connection, timeout))
        self._attempts[connection] = attempt, deadline
        attempt.addCallbacks(self._connected, self._failed, callbackArgs=(held,), errbackArgs=(connection,))

    def _settle(self, connection: int) -> Deferred[Any] | None:
        """An attempt is over, or is to be: whoever was given up is not listened to any more."""
        attempt, deadline = self._attempts.pop(connection, (None, None))
        if deadline is not None:
            deadline.cancel()
        return attempt

    def _connected(self, _protocol: Any, held: Held) -> None:
        self._settle(held.number)
        self._held[held.number] = held
        self._carry_out(self._state.connected(held.number, self._reactor.seconds()))

    def _failed(self, failure: Failure, connection: int) -> None:
        if self._settle(connection) is not None:
            rejection = OutOfResources if is_shortage(failure) else ConnectFailed
            self._fail(connection, failure_text(failure), rejection)

    def _time_out(self, connection: int, timeout: float) -> None:
        attempt = self._settle(connection)
        assert attempt is not None
        attempt.cancel()
        self._fail(connection, f"no answer within {timeout:g} s", ConnectFailed)

    def _fail(self, connection: int, why: str, rejection: type[TcpsuiteError]) -> None:
        now, chance = self._reactor.seconds(), self._chance.random()
        self._carry_out(self._state.failed(connection, why, now, chance), rejection=rejection)
        self._tell_closing()

    def _lease(self, connection: int) -> PooledLease:
        held = self._held[connection]
        held.lease()
        return PooledLease(self.server, held)

    def _close(self, connection: int) -> None:
        if attempt := self._settle(connection):
            attempt.cancel()
            self._tell_closing()
        elif held := self._held.get(connection):
            held.close()

    def _lost(self, held: Held) -> None:
        """A held connection ended; or, unless it is leased, its server's half of it did."""
        if held.gone:
            self._held.pop(held.number, None)
        # The end of a lease sets nothing back.
        chance = 0.0 if held.leased else self._chance.random()
        self._carry_out(self._state.lost(held.number, self._reactor.seconds(), chance))
        self._tell_closing()

    def _drop_dead(self) -> None:
        """Drop warm connections whose end lies in the kernel, where the reactor has not seen it yet."""
        while (connection := self._state.next_warm) is not None and self._held[connection].hung_up():
            now, chance = self._reactor.seconds(), self._chance.random()
            self._carry_out(self._state.lost(connection, now, chance))

    def _give_up(self, taker: int) -> None:
        self._takers.pop(taker, None)
        self._carry_out(self._state.give_up(taker))

    def _set_timer(self) -> None:
        due = self._state.due()
        if due == self._timer_due:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer_due = due
        if due is not None:
            self._timer = self._reactor.callLater(max(0.0, due - self._reactor.seconds()), self._tick)

    def _tick(self) -> None:
        self._timer_due = None
        self.start()

    def _tell_closing(self) -> None:
        if not self._held and not self._attempts:
            closing, self._closing = self._closing, []
            for gone in closing:
                gone.callback(None)


class _Only(Factory):
    """Gives its one protocol."""

    noisy = False

    def __init__(self, held: Held) -> None:
        self._held = held

    def buildProtocol(self, addr: IAddress | None) -> Held:
        return self._held
