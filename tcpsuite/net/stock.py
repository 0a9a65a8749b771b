"""The connections of one pool: carries out what :mod:`tcpsuite.core.pooling` decides."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from tcpsuite.core.pooling import (
    EVICTIONS,
    Close,
    Connect,
    Lease,
    Refusal,
    Reject,
    Reset,
    Reuse,
    SingleUse,
    Validate,
    Warn,
)
from tcpsuite.core.pooling.events import Created, Destroyed, Evicted, Refilled
from tcpsuite.core.pooling.settings import SESSION
from tcpsuite.errors import Closed, ConnectFailed, Cut, LeaseError, OutOfResources, PoolExhausted
from tcpsuite.net.alarm import Alarm
from tcpsuite.net.attempts import Attempts
from tcpsuite.net.held import Held
from tcpsuite.net.hooks import NotPrepared, Questions
from tcpsuite.net.leases import PooledLease
from tcpsuite.net.takers import Takers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random

    from twisted.internet.interfaces import IStreamClientEndpoint

    from tcpsuite.core.pooling import Decision, End, PoolSettings
    from tcpsuite.core.servers import Server
    from tcpsuite.errors import TcpsuiteError
    from tcpsuite.interfaces import ILease
    from tcpsuite.net.deadlines import Deadlines
    from tcpsuite.net.hooks import Hooks
    from tcpsuite.net.witness import Witness

LINGER = 10.0
"""Seconds that a connection which is closed may take to send what was left on it: it takes another's room."""

AT_ONCE = "it was lost as soon as it was made"

ERRORS: Mapping[Refusal, type[TcpsuiteError]] = {
    Refusal.FAILED: ConnectFailed,
    Refusal.SHORTAGE: OutOfResources,
    Refusal.EXHAUSTED: PoolExhausted,
    Refusal.CLOSED: Closed,
}
"""What a taker's Deferred fails with."""


class Stock:
    """Makes connections, keeps them, lends them and loses them.

    Its parameters are those of :class:`~tcpsuite.net.pool.ConnectionPool`, but for:

    :param hooks: what asks its connections.
    :param witness: is told of what happens.
    :ivar state: decides.
    """

    def __init__(
        self,
        server: Server,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        *,
        settings: PoolSettings,
        connect_timeout: float,
        chance: Random,
        deadlines: Deadlines,
        hooks: Hooks,
        witness: Witness,
    ) -> None:
        self.state: SingleUse | Reuse
        if settings.reuses:
            self.state = Reuse(settings, settings.mode == SESSION)
        else:
            self.state = SingleUse(settings)
        self._server = server
        self._settings = settings
        self._reactor = reactor
        self._reuses = settings.reuses
        self._questions = Questions(server, settings, reactor, hooks, self._answered)
        self._connect_timeout = connect_timeout
        self._chance = chance
        self._deadlines = deadlines
        self._witness = witness
        self._attempts = Attempts(endpoint, deadlines, self._questions.prepare if hooks.prepare else None)
        self._takers = Takers(self._give_up)
        self._held: dict[int, Held] = {}
        self._to_do: deque[Decision] = deque()
        self._doing = False
        self._alarm = Alarm(reactor, self.tick)
        self._closing: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<Stock {self.state!r}>"

    def tick(self) -> None:
        """Time has passed, or is to begin."""
        self._carry_out(self.state.tick(self._reactor.seconds()))

    def lend(self, timeout: float | None, holder: str, now: float) -> Deferred[ILease]:
        """A connection for a taker whom nothing holds back.

        :param timeout: seconds; see :meth:`~tcpsuite.net.pool.ConnectionPool.acquire`.
        :return: fires with the lease.  Cancelling it loses no connection.
        """
        state = self.state
        if state.closed:
            return fail(Closed("the pool is closed"))
        if isinstance(state, SingleUse):
            return self._lend_once(state, timeout, holder, now)
        while (idle := state.next_idle(now)) is not None and not self._held[idle].fit():
            # Its end, or a word that nobody asked for, lies in the kernel: the reactor has not seen it yet.
            self._carry_out(state.unfit(idle, now, self._chance.random()))
        number, taker = self._takers.add(holder, now)
        self._carry_out(state.acquire(number, now))
        if number in self._takers:
            left = self._settings.acquire_timeout if timeout is None else timeout
            taker.deadline = self._deadlines.after(left, partial(self._expire, state, number))
        return taker.answer

    def release(self, lease: ILease, reusable: bool, ok: bool) -> None:
        """A taker is done; see :meth:`~tcpsuite.net.pool.ConnectionPool.release`."""
        if not isinstance(lease, PooledLease):
            raise LeaseError("the lease is another pool's")
        held = lease.give_back(self._held)
        if held is None or held.gone:
            return  # that it is lost, which a taker may hear first, is decided where it is heard here
        now = self._reactor.seconds()
        decisions = self.state.release(held.number, now, self._reuses and reusable and held.fit(), ok)
        kept = not (decisions and isinstance(decisions[0], Close))
        if kept:
            held.take_back()
        self._carry_out(decisions)
        if kept:
            lease.end(now)

    def shrink(self) -> None:
        """Close what is idle above the minimum; what is made ahead for a single use is no more than that."""
        if isinstance(self.state, Reuse):
            self._carry_out(self.state.shed())

    def close(self) -> None:
        """Take no new work, and answer who waits; leases go on."""
        self._carry_out(self.state.close())
        self._attempts.close(Closed("the pool was closed"))
        self._alarm.stop()

    def when_empty(self) -> Deferred[None]:
        """Fires when nothing is left of it, behind a :meth:`close`; at once if that is so."""
        if not self._held and not self._attempts:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._closing.append(gone)
        return gone

    def cut(self) -> None:
        """Reset every lease now, and refuse who waits for one; when it is closed, reset all that is left."""
        for held in tuple(self._held.values()):
            if held.lease is not None or self.state.closed:
                held.cut()
        error = Cut("its connections were cut")
        if isinstance(self.state, SingleUse):
            self._attempts.close(error)
            return
        for number in tuple(self._takers):
            if number in self._takers:  # whoever was refused before it may have taken it along
                self._carry_out(self.state.give_up(number))
                self._takers.settle(number).answer.errback(error)

    def _lend_once(
        self, supply: SingleUse, timeout: float | None, holder: str, now: float
    ) -> Deferred[ILease]:
        """A warm connection, or one that is made for this taker alone."""
        if supply.next_warm is not None:
            self._carry_out(supply.tick(now))  # whose time is over is not looked at
        while (warm := supply.next_warm) is not None and self._held[warm].hung_up():
            # Its end lies in the kernel, where the reactor has not seen it yet.
            self._carry_out(supply.unfit(warm, now, self._chance.random()))
        connection, decisions = supply.take(now)
        answer: Deferred[ILease]
        if connection is not None:
            answer = succeed(self._lease(self._held[connection], holder, now))
        else:
            limit = self._connect_timeout if timeout is None else min(timeout, self._connect_timeout)
            attempt = self._attempts.begin(self._new(supply.begin()), limit)
            answer = attempt.addCallbacks(
                self._own_made, self._own_failed, callbackArgs=(supply, holder), errbackArgs=(supply,)
            )
        if decisions or connection is not None:
            self._carry_out(decisions)
        return answer

    def _own_made(self, held: Held, supply: SingleUse, holder: str) -> ILease:
        if held.gone:
            supply.not_made(failed=True)
            raise ConnectFailed(AT_ONCE)
        supply.made(held.number)
        self._held[held.number] = held
        lease = self._lease(held, holder, self._reactor.seconds())
        self._witness.tell(Created, held.number)  # it may cut all leases
        return lease

    def _own_failed(self, failure: Failure, supply: SingleUse) -> Failure:
        supply.not_made(failed=not failure.check(CancelledError, Closed))
        self._tell_closing()
        return failure

    def _lease(self, held: Held, holder: str, now: float) -> PooledLease:
        lease = held.lease = PooledLease(self._server, held, holder, now)
        return lease

    def _new(self, number: int) -> Held:
        held = Held(number, self._reactor, self._lost)
        held.quiet = self._reuses
        return held

    def _expire(self, state: Reuse, number: int) -> None:
        waited = self._reactor.seconds() - self._takers[number].since
        self._carry_out(state.expire(number, waited))

    def _give_up(self, number: int) -> None:
        self._takers.settle(number)
        assert isinstance(self.state, Reuse)
        self._carry_out(self.state.give_up(number))

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
        self._alarm.set(self.state.due())

    def _do(self, decision: Decision) -> None:
        match decision:
            case Lease(number, connection):
                self._hand_over(number, connection)
            case Connect(connection):
                self._connect(connection)
            case Close(connection, why):
                self._close(connection, why)
            case Reject(number, why, refusal):
                if number in self._takers:
                    self._takers.settle(number).answer.errback(ERRORS[refusal](why))
            case Validate(connection):
                if held := self._held.get(connection):
                    self._questions.validate(held)
            case Reset(connection):
                if held := self._held.get(connection):
                    self._questions.reset(held)
            case Warn(connection, seconds):
                self._warn(connection, seconds)

    def _hand_over(self, number: int, connection: int) -> None:
        now = self._reactor.seconds()
        held = self._held.get(connection)
        assert isinstance(self.state, Reuse)
        if number not in self._takers:
            self._carry_out(self.state.release(connection, now))
        elif held is None:
            self._carry_out(self.state.acquire(number, now))
        else:
            taker = self._takers.settle(number)
            taker.answer.callback(self._lease(held, taker.holder, now))

    def _connect(self, connection: int) -> None:
        attempt = self._attempts.begin(self._new(connection), self._connect_timeout)
        attempt.addCallbacks(self._made, self._failed, errbackArgs=(connection,))

    def _made(self, held: Held) -> None:
        if held.gone:
            self._failed(Failure(ConnectFailed(AT_ONCE)), held.number)
            return
        self._held[held.number] = held
        chance = self._chance.random() if self._reuses else 0.0
        decisions = self.state.connected(held.number, self._reactor.seconds(), chance)
        self._witness.tell(Created, held.number)
        if not decisions:
            self._witness.tell(Refilled, held.number)
        self._carry_out(decisions)

    def _failed(self, failure: Failure, connection: int) -> None:
        if failure.check(Cut) or not failure.check(Closed):
            refusal = Refusal.SHORTAGE if failure.check(OutOfResources) else Refusal.FAILED
            now, chance, why = self._reactor.seconds(), self._chance.random(), failure.getErrorMessage()
            if failure.check(NotPrepared):
                self._witness.not_prepared(why)
            self._carry_out(self.state.failed(connection, why, now, chance, refusal))
        self._tell_closing()

    def _close(self, connection: int, why: End) -> None:
        if self._attempts.give_up(connection, Closed("it is not wanted any more")):
            return
        if (held := self._held.get(connection)) is None:
            return
        held.end = why
        if why in EVICTIONS:
            self._witness.tell(Evicted, connection, why)
        if held.asked is not None:
            held.asked.cancel()
        held.close()
        if self._reuses or held.lease is None:
            # Over TLS even one on which nothing is left waits for the server's goodbye.
            held.deadline = self._deadlines.after(LINGER, held.cut)

    def _lost(self, held: Held) -> None:
        """A held connection ended; or its server ended its half, or spoke, while nobody had it."""
        # The end of a lease sets nothing back.
        now, chance = self._reactor.seconds(), 0.0 if held.lease is not None else self._chance.random()
        if not held.gone:
            self._carry_out(self.state.unfit(held.number, now, chance))
            return
        known = self._held.pop(held.number, None) is not None
        decisions = self.state.lost(held.number, now, chance)
        if known:
            self._witness.tell(Destroyed, held.number, held.end)
        if decisions or held.lease is None or self._reuses:  # else it left the pool long ago
            self._carry_out(decisions)
        for waiting in (held.deadline, held.asked):
            if waiting is not None:
                waiting.cancel()
        self._tell_closing()

    def _answered(self, held: Held, fine: bool) -> None:
        """A validation or reset is over."""
        lease, now = held.lease, self._reactor.seconds()
        if fine:
            held.take_back()
        assert isinstance(self.state, Reuse)
        self._carry_out(self.state.answered(held.number, fine, now))
        if fine and lease is not None:
            lease.end(now)

    def _warn(self, connection: int, seconds: float) -> None:
        held = self._held.get(connection)
        if held is not None and held.lease is not None:
            self._witness.leaked(connection, held.lease.holder, seconds)

    def _tell_closing(self) -> None:
        if not self._held and not self._attempts:
            closing, self._closing = self._closing, []
            for gone in closing:
                gone.callback(None)
