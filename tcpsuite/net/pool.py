"""Connections to one server, for whoever asks."""

from __future__ import annotations

import random
from math import isfinite
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.pooling.events import Waiting
from tcpsuite.core.queueing import Queue, WhyHeld
from tcpsuite.errors import Closed, Cut, PoolExhausted
from tcpsuite.interfaces import IConnectionPool, ILease, IShrinkable
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.hooks import Hooks
from tcpsuite.net.leases import lend
from tcpsuite.net.stock import Stock
from tcpsuite.net.takers import Waits
from tcpsuite.net.waiting import WaitingRoom
from tcpsuite.net.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamClientEndpoint

    from tcpsuite.core.pooling.events import Event
    from tcpsuite.core.servers import Server
    from tcpsuite.net.hooks import Hook


@implementer(IConnectionPool, IShrinkable)
class ConnectionPool:
    """Connections to one server: made on demand, ahead of it, or kept and lent again.

    :param server: where the connections lead.
    :param endpoint: makes them, and sets their sockets up, as those of
        :func:`~tcpsuite.net.connecting.server_endpoint` do; around any other one
        :class:`~tcpsuite.net.connecting.SetUpEndpoint` does.  The pool sets no option, TCP_NODELAY included.
    :param reactor: an ``IReactorTime``.
    :param settings: say how they are supplied; by default on demand.
    :param connect_timeout: seconds until an attempt is given up, ``prepare`` included, at most
        :data:`~tcpsuite.core.deadlines.GRAIN` later.
    :param chance: drawn from for back-off and lifetimes.
    :param deadlines: those of several pools may be kept together.
    :param prepare: makes a new connection ready for its takers, in the modes that lend it again (a greeting,
        a login): called with a lease of its own, and done when its Deferred or coroutine fires.  When it
        fails, gives ``False``, or ``connect_timeout`` is over, there is no connection.
    :param reset: cleans a connection for its next taker, in the same way, in the mode ``session``, which has
        to have one.  When it fails, gives ``False``, or takes longer than the settings'
        ``validation_timeout``, the connection is closed.
    :param validate: asks a connection whether it works, as ``reset`` does, in the modes that lend it again.
        By default it does while it is open and the server has said nothing on it unasked; a connection of
        which the kernel knows better is never lent, whatever is given here.
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
        prepare: Hook | None = None,
        reset: Hook | None = None,
        validate: Hook | None = None,
        observer: Callable[[Event], object] | None = None,
    ) -> None:
        self.server = server
        self.settings = (settings or PoolSettings()).verify()
        self._reactor = reactor
        self._witness = Witness(server.name, reactor, observer)
        self._stock = Stock(
            server,
            endpoint,
            reactor,
            settings=self.settings,
            connect_timeout=connect_timeout,
            chance=chance or random.SystemRandom(),
            deadlines=Deadlines(reactor) if deadlines is None else deadlines,
            hooks=Hooks(prepare, reset, validate),
            witness=self._witness,
        )
        self._room: WaitingRoom[None] = WaitingRoom(
            reactor,
            lambda _, waiting: True,
            lambda waiting: PoolExhausted("paused for too long"),
            Queue(self.settings.max_waiters),
        )
        self._pause_limit = 0.0
        self._waits = Waits()

    def __repr__(self) -> str:
        state = "closed " if self._stock.state.closed else "paused " if self._room.queue.paused else ""
        counts = " ".join(f"{name}={number}" for name, number in list(self._stock.state.stats().items())[:4])
        return f"<ConnectionPool {self.server.name} {state}{counts}>"

    def start(self) -> None:
        """Begin to make the connections that are to be there before they are asked for, if there are any."""
        self._stock.tick()

    def acquire(self, timeout: float | None = None, holder: str = "") -> Deferred[ILease]:
        """A connection to the server: one that is there, else a new one, or one that somebody gives back.

        :param timeout: seconds it may take at most, a pause included; the settings' ``acquire_timeout``,
            behind a pause, if ``None``.  Where each has a connection of its own made, the connect time-out
            bounds it too.
        :param holder: who asks, for the warning of a lease that is held for long.
        :raises TypeError: when ``timeout`` is no number; as a ``ValueError`` when it is endless, or none.
        """
        if timeout is not None:
            _check_seconds(timeout)
        now = self._reactor.seconds()
        if self._room.goes_first and not self._stock.state.closed:
            answer = self._hold(timeout, holder, now)
        else:
            answer = self._stock.lend(timeout, holder, now)
        if not answer.called or answer.paused:
            wait = self._waits.begin(now)
            answer.addBoth(self._waited, wait)
            self._witness.tell(Waiting, holder, len(self._waits))
        return answer

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        """The taker is done, and hears no more of the connection if the pool keeps it.

        The pool keeps one that is ``reusable`` in the modes that do; but not one on which something is left:
        bytes unsent or unread, a producer, a half that is closed.  Any other is closed behind what is queued
        on it.

        :param ok: whether it did what it was wanted for: a connection that fails again and again is retired.
        :raises LeaseError: when it is a lease of another pool that is not over yet.
        """
        self._stock.release(lease, reusable, ok)

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
        return {**self._stock.state.stats(), **self._waits.stats(self._reactor.seconds())}

    def pause(self, limit: float = 30.0) -> None:
        """Hold who asks from now on, for ``limit`` seconds at most: who is held for longer is refused.  Who
        comes while the settings' ``max_waiters`` are held is refused at once.

        Who had asked before is served, and leases go on.

        :raises TypeError: when ``limit`` is no number; as a ``ValueError`` when it is endless, or none.
        """
        _check_seconds(limit)
        self._pause_limit = limit
        self._room.pause()

    def resume(self, rate: float = 0.0) -> None:
        """Serve those who were held in their order, ``rate`` in a second; all at once if it is 0."""
        self._room.resume(rate)

    def shrink(self) -> None:
        """Close the connections that are idle, down to the minimum."""
        self._stock.shrink()

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        """Take no new work; leases have ``deadline`` seconds to end.  Fires when nothing is left."""
        self._stock.close()
        self._room.close(lambda: Closed("the pool was closed"))
        gone = self._stock.when_empty()
        if not gone.called:
            cut = self._reactor.callLater(deadline, self.cut)
            gone.addCallback(lambda _: cut.cancel() if cut.active() else None)
        return gone

    def cut(self) -> None:
        """Reset every lease now, and refuse who waits for one; when the pool is closed, reset all that is
        left.
        """
        self._stock.cut()
        self._room.close(lambda: Cut("its connections were cut"))

    def _hold(self, timeout: float | None, holder: str, since: float) -> Deferred[ILease]:
        """Have a taker wait for the end of a pause, and for those who came before it."""
        limit = self._pause_limit if timeout is None else min(timeout, self._pause_limit)
        full = PoolExhausted(f"{len(self._room.queue)} clients are held by a pause already")

        def go_on(_: None) -> Deferred[ILease]:
            now = self._reactor.seconds()
            return self._stock.lend(timeout and max(0.0, timeout - (now - since)), holder, now)

        return self._room.hold(None, WhyHeld.PAUSED, limit, full).addCallback(go_on)

    def _waited(self, result: Any, wait: int) -> Any:
        self._waits.end(wait, self._reactor.seconds())
        return result


def _check_seconds(number: float) -> None:
    if not isfinite(number):
        raise ValueError(f"expected a number of seconds, got {number!r}")
