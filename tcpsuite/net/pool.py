"""Connections to one server: carries out what :mod:`tcpsuite.core.pooling` decides."""

from __future__ import annotations

import random
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from tcpsuite.core.pooling import (
    EVICTIONS,
    Close,
    Connect,
    Gate,
    Lease,
    PoolSettings,
    Refusal,
    Reject,
    Reset,
    Reuse,
    SingleUse,
    Validate,
    Warn,
)
from tcpsuite.core.pooling.events import Created, Destroyed, Evicted, Refilled, Waiting
from tcpsuite.core.pooling.gate import Pass
from tcpsuite.core.pooling.settings import SESSION
from tcpsuite.errors import Closed, ConnectFailed, LeaseError, OutOfResources, PoolExhausted
from tcpsuite.interfaces import IConnectionPool, ILease
from tcpsuite.net.alarm import Alarm
from tcpsuite.net.asking import Questions
from tcpsuite.net.attempts import Attempts
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.held import Held
from tcpsuite.net.leases import PooledLease, lend
from tcpsuite.net.takers import Takers
from tcpsuite.net.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twisted.internet.interfaces import IStreamClientEndpoint

    from tcpsuite.core.pooling import Decision, End
    from tcpsuite.core.pooling.events import Event
    from tcpsuite.core.servers import Server
    from tcpsuite.errors import TcpsuiteError
    from tcpsuite.net.asking import Hook
    from tcpsuite.net.takers import Taker

LINGER = 10.0
"""Seconds that a connection which is closed may take to send what was left on it: it takes another's room."""

ERRORS: Mapping[Refusal, type[TcpsuiteError]] = {
    Refusal.FAILED: ConnectFailed,
    Refusal.SHORTAGE: OutOfResources,
    Refusal.EXHAUSTED: PoolExhausted,
    Refusal.CLOSED: Closed,
}
"""What a taker's Deferred fails with."""


@implementer(IConnectionPool)
class ConnectionPool:
    """Connections to one server: made on demand, ahead of it, or kept and lent again.

    :param server: where the connections lead.
    :param endpoint: makes them, and sets their sockets up, as those of
        :func:`~tcpsuite.net.connecting.server_endpoint` do; around any other one
        :class:`~tcpsuite.net.connecting.SetUpEndpoint` does.  The pool sets no option, TCP_NODELAY included.
    :param reactor: an ``IReactorTime``.
    :param settings: say how they are supplied; by default on demand.
    :param connect_timeout: seconds until an attempt is given up, at most
        :data:`~tcpsuite.core.deadlines.GRAIN` later.
    :param chance: drawn from for back-off and lifetimes.
    :param deadlines: those of several pools may be kept together.
    :param reset: cleans a connection for its next taker, in the mode ``session``: called with a lease of its
        own, and clean when its Deferred or coroutine fires.  When it fails, or takes longer than the
        settings' ``validation_timeout``, the connection is closed.  That mode has to have one.
    :param validate: asks a connection whether it works, in the same way, in the modes that lend it again.  By
        default it does while it is open and the server has said nothing on it unasked; a connection of which
        the kernel knows better is never lent, whatever is given here.
    :param observer: called with each of :mod:`tcpsuite.core.pooling.events`.
    :raises ValueError: when the settings are such as no pool can follow, or their mode and the hooks do not
        go together.
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
        reset: Hook | None = None,
        validate: Hook | None = None,
        observer: Callable[[Event], object] | None = None,
    ) -> None:
        self.server = server
        self.settings = (settings or PoolSettings()).verify()
        self._reactor = reactor
        self._reuses = self.settings.reuses
        self._state: SingleUse | Reuse
        if self._reuses:
            self._state = Reuse(self.settings, self.settings.mode == SESSION)
        else:
            self._state = SingleUse(self.settings)
        self._questions = Questions(server, self.settings, reactor, reset, validate, self._answered)
        self._gate = Gate(self.settings.max_waiters)
        self._connect_timeout = connect_timeout
        self._chance = chance or random.SystemRandom()
        self._deadlines = Deadlines(reactor) if deadlines is None else deadlines
        self._witness = Witness(server.name, observer)
        self._attempts = Attempts(endpoint, self._deadlines, self._made, self._failed)
        self._takers = Takers(self._give_up)
        self._held: dict[int, Held] = {}
        self._to_do: deque[Decision] = deque()
        self._doing = False
        self._alarm = Alarm(reactor, self._tick)
        self._closing: list[Deferred[None]] = []

    def __repr__(self) -> str:
        state = "closed " if self._state.closed else "paused " if self._gate.paused else ""
        counts = " ".join(f"{name}={number}" for name, number in list(self._state.stats().items())[:4])
        return f"<ConnectionPool {self.server.name} {state}{counts}>"

    def start(self) -> None:
        """Begin to make the connections that are to be there before they are asked for, if there are any."""
        self._carry_out(self._state.tick(self._reactor.seconds()))

    def acquire(self, timeout: float | None = None, holder: str = "") -> Deferred[ILease]:
        """A connection to the server: one that is there, else a new one, or one that somebody gives back.

        :param timeout: seconds it may take at most, a pause included; the settings' ``acquire_timeout``,
            behind a pause, if ``None``.  Where each has a connection of its own made, the connect time-out
            bounds it too.
        :param holder: who asks, for the warning of a lease that is held for long.
        """
        now = self._reactor.seconds()
        number, taker = self._takers.add(holder, now, timeout)
        if not self._gate.shut or self._state.closed:
            self._enter(number, taker, now)
        elif self._gate.hold(number, now, timeout):
            self._waits(taker)
            self._alarm.set(self._gate.due())
        else:
            why = f"{self._gate.held} clients are held by a pause already"
            self._carry_out([Reject(number, why, Refusal.EXHAUSTED)])
        return taker.answer

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        """The taker is done, and hears no more of the connection if the pool keeps it.

        The pool keeps one that is ``reusable`` in the modes that do; but not one on which something is left:
        bytes unsent or unread, a producer, a half that is closed.  Any other is closed behind what is queued
        on it.

        :param ok: whether it did what it was wanted for: a connection that fails again and again is retired.
        :raises LeaseError: when it is a lease of another pool that is not over yet.
        """
        if not isinstance(lease, PooledLease):
            raise LeaseError("the lease is another pool's")
        if (held := lease.give_back(self._held)) is None:
            return
        now = self._reactor.seconds()
        decisions = self._state.release(held.number, now, self._reuses and reusable and held.fit(), ok)
        kept = not (decisions and isinstance(decisions[0], Close))
        if kept:
            held.take_back()
        self._carry_out(decisions)
        if kept:
            lease.end(now)

    def execute(self, fn: Callable[[ILease], Any], holder: str = "") -> Deferred[Any]:
        """Acquire, call ``fn`` with the lease, wait for its Deferred or coroutine, release.

        When ``fn`` fails, nobody knows what it has left on the connection, which is not lent again.

        :param holder: who it is; the name of ``fn`` if it is empty.
        """
        return Deferred.fromCoroutine(
            lend(lambda name: self.acquire(holder=name), lambda _: self, fn, holder)
        )

    def stats(self) -> dict[str, int | float]:
        """What there is now: connections by what they are doing, ``open`` in all, of ``max_open`` (0: no
        limit); who is ``waiting``.

        Since the beginning: ``leases``, connections ``created`` and ``failed``, and ``closed_`` by why;
        ``wait_count`` of those who were not answered at once, ``wait_seconds`` of those who wait no more, and
        the ``longest_wait`` of all; one that goes on counts for what it has lasted so far.
        """
        return {**self._state.stats(), **self._takers.stats(self._reactor.seconds())}

    def pause(self, limit: float = 30.0) -> None:
        """Hold who asks from now on, for ``limit`` seconds at most: who is held for longer is refused.  Who
        comes while the settings' ``max_waiters`` are held is refused at once.

        Who had asked before is served, and leases go on.
        """
        self._gate.pause(limit)

    def resume(self, rate: float = 0.0) -> None:
        """Serve those who were held in their order, ``rate`` in a second; all at once if it is 0."""
        self._gate.resume(self._reactor.seconds(), rate)
        self._tick()

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        """Take no new work; leases have ``deadline`` seconds to end.  Fires when nothing is left."""
        decisions = self._state.close()
        held_back = [Reject(taker, "the pool was closed", Refusal.CLOSED) for taker in self._gate.close()]
        self._carry_out([*decisions, *held_back])
        self._alarm.stop()
        if not self._held and not self._attempts:
            return succeed(None)
        cut = self._reactor.callLater(deadline, self.cut)
        gone: Deferred[None] = Deferred()
        gone.addCallback(lambda _: cut.cancel() if cut.active() else None)
        self._closing.append(gone)
        return gone

    def cut(self) -> None:
        """Reset every lease now; when the pool is closed, all that is left."""
        for held in tuple(self._held.values()):
            if held.lease is not None or self._state.closed:
                held.cut()

    def _enter(self, number: int, taker: Taker, now: float) -> None:
        """A taker whom nothing holds back wants its connection."""
        if isinstance(self._state, SingleUse):
            self._drop_dead(self._state)
        self._carry_out(self._state.acquire(number, now))
        if number in self._takers:
            self._waits(taker)
            if isinstance(self._state, Reuse):
                left = taker.left(now, self.settings.acquire_timeout)
                taker.deadline = self._deadlines.after(left, partial(self._expire, self._state, number))

    def _waits(self, taker: Taker) -> None:
        if self._takers.keep_waiting(taker):
            self._witness.tell(Waiting, taker.holder, len(self._takers))

    def _expire(self, state: Reuse, number: int) -> None:
        waited = self._reactor.seconds() - self._takers[number].since
        self._carry_out(state.expire(number, waited))

    def _give_up(self, number: int) -> None:
        self._takers.settle(number, self._reactor.seconds())
        self._gate.give_up(number)
        self._carry_out(self._state.give_up(number))

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        """Do what was decided, in order; what is decided meanwhile is done behind it, and not within.

        So whoever is called may find a taker gone, or a connection, that was there when it was decided.
        """
        self._to_do.extend(decisions)
        if self._doing:
            return
        self._doing = True
        try:
            while self._to_do:
                self._do(self._to_do.popleft())
        finally:
            self._doing = False
        self._alarm.set(self._state.due())

    def _do(self, decision: Decision) -> None:
        match decision:
            case Lease(number, connection):
                self._lease(number, connection)
            case Connect(connection, number):
                self._connect(connection, number)
            case Close(connection, why):
                self._close(connection, why)
            case Reject(number, why, refusal):
                if number in self._takers:
                    taker = self._takers.settle(number, self._reactor.seconds())
                    taker.answer.errback(ERRORS[refusal](why))
            case Validate(connection):
                if held := self._held.get(connection):
                    self._questions.validate(held)
            case Reset(connection):
                if held := self._held.get(connection):
                    self._questions.reset(held)
            case Warn(connection, seconds):
                self._warn(connection, seconds)

    def _lease(self, number: int, connection: int) -> None:
        now = self._reactor.seconds()
        held = self._held.get(connection)
        if number not in self._takers:
            self._carry_out(self._state.release(connection, now))
        elif held is None:
            self._carry_out(self._state.acquire(number, now))
        else:
            taker = self._takers.settle(number, now)
            held.lease = lease = PooledLease(self.server, held, taker.holder, now)
            taker.answer.callback(lease)

    def _connect(self, connection: int, number: int | None) -> None:
        timeout = self._connect_timeout
        if number is not None:
            if number not in self._takers:
                return
            left = self._takers[number].left(self._reactor.seconds(), self.settings.acquire_timeout)
            timeout = min(timeout, left)
        held = Held(connection, self._reactor, self._lost)
        held.quiet = self._reuses
        self._attempts.begin(held, timeout)

    def _made(self, held: Held) -> None:
        if held.gone:
            self._failed(held.number, "it was lost as soon as it was made", shortage=False)
            return
        self._held[held.number] = held
        chance = self._chance.random() if self._reuses else 0.0
        decisions = self._state.connected(held.number, self._reactor.seconds(), chance)
        self._witness.tell(Created, held.number)
        if not decisions:
            self._witness.tell(Refilled, held.number)
        self._carry_out(decisions)

    def _failed(self, connection: int, why: str, *, shortage: bool) -> None:
        refusal = Refusal.SHORTAGE if shortage else Refusal.FAILED
        now, chance = self._reactor.seconds(), self._chance.random()
        self._carry_out(self._state.failed(connection, why, now, chance, refusal))
        self._tell_closing()

    def _close(self, connection: int, why: End) -> None:
        if self._attempts.give_up(connection):
            self._tell_closing()
        elif held := self._held.get(connection):
            held.end = why
            if why in EVICTIONS:
                self._witness.tell(Evicted, connection, why)
            if held.asked is not None:
                held.asked.cancel()
            held.close()
            if self._reuses:
                held.deadline = self._deadlines.after(LINGER, held.cut)

    def _lost(self, held: Held) -> None:
        """A held connection ended; or its server ended its half, or spoke, while nobody had it."""
        # The end of a lease sets nothing back.
        now, chance = self._reactor.seconds(), 0.0 if held.lease is not None else self._chance.random()
        if not held.gone:
            self._carry_out(self._state.unfit(held.number, now, chance))
            return
        if self._held.pop(held.number, None) is not None:
            self._witness.tell(Destroyed, held.number, held.end)
        self._carry_out(self._state.lost(held.number, now, chance))
        for waiting in (held.deadline, held.asked):
            if waiting is not None:
                waiting.cancel()
        self._tell_closing()

    def _answered(self, held: Held, fine: bool) -> None:
        """A validation or reset is over."""
        lease, now = held.lease, self._reactor.seconds()
        if fine:
            held.take_back()
        assert isinstance(self._state, Reuse)
        self._carry_out(self._state.answered(held.number, fine, now))
        if fine and lease is not None:
            lease.end(now)

    def _warn(self, connection: int, seconds: float) -> None:
        held = self._held.get(connection)
        if held is not None and held.lease is not None:
            self._witness.leaked(connection, held.lease.holder, seconds)

    def _drop_dead(self, state: SingleUse) -> None:
        """Drop warm connections whose end lies in the kernel, where the reactor has not seen it yet."""
        while (connection := state.next_warm) is not None and self._held[connection].hung_up():
            now, chance = self._reactor.seconds(), self._chance.random()
            self._carry_out(state.unfit(connection, now, chance))

    def _tick(self) -> None:
        now = self._reactor.seconds()
        for decision in self._gate.tick(now):
            if not isinstance(decision, Pass):
                self._carry_out([Reject(decision.taker, "paused for too long", Refusal.EXHAUSTED)])
            elif decision.taker in self._takers:  # one who went on before may have cancelled it
                self._enter(decision.taker, self._takers[decision.taker], now)
        self._alarm.set(self._gate.due())
        self._carry_out(self._state.tick(now))

    def _tell_closing(self) -> None:
        if not self._held and not self._attempts:
            closing, self._closing = self._closing, []
            for gone in closing:
                gone.callback(None)
