"""A fence around a pool of somebody's own: what goes wrong in it touches neither our counts nor our end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.errors import PoolExhausted, StartError
from tcpsuite.interfaces import IConnectionPool, ILease, IShrinkable
from tcpsuite.net.seldom import Seldom
from tcpsuite.net.shield import within

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

GRACE = 1.0
"""Seconds behind its time after which a pool is given up that has not answered."""


@implementer(IConnectionPool, IShrinkable)
class FencedPool:
    """Another pool, of which everything may be broken.

    What it raises where an answer is wanted, whoever asked hears; all else is logged, once a minute.  An
    answer that does not come in time comes from here.

    :param pool: somebody's own.
    :param name: whose pool it is, for people: its upstream and server.
    :param clock: an ``IReactorTime``.
    """

    log = Logger()

    def __init__(self, pool: IConnectionPool, name: str, clock: Any) -> None:
        self._pool = pool
        self._name = name
        self._clock = clock
        self._seldom = Seldom(clock)

    def __repr__(self) -> str:
        return f"<FencedPool {type(self._pool).__name__} of {self._name}>"

    def start(self) -> None:
        """See :class:`~tcpsuite.interfaces.IConnectionPool`.

        :raises StartError: when it cannot start.
        """
        try:
            self._pool.start()
        except Exception as error:
            raise StartError(f"the pool of {self._name} cannot start: {error!r}") from error

    def acquire(self, timeout: float | None = None, holder: str = "") -> Deferred[ILease]:
        """A lease, or why there is none; in time, if there is one to keep."""
        given: Any = self._pool.acquire(timeout, holder)
        asked = (given if isinstance(given, Deferred) else succeed(given)).addCallback(self._lease)
        if timeout is None:
            return asked

        def late() -> ILease:
            raise PoolExhausted(f"its pool did not answer within {timeout:g} s")

        return within(self._clock, timeout + GRACE, asked, late)

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        """Give a lease back."""
        self._pool.release(lease, reusable, ok)

    def execute(self, fn: Callable[[ILease], Any], holder: str = "") -> Deferred[Any]:
        """Acquire, call, release."""
        return self._pool.execute(fn, holder)

    def stats(self) -> dict[str, int | float]:
        """Its figures by their names; what is none is left out."""
        found = self._safely(self._pool.stats)
        if not isinstance(found, dict):
            return {}
        return {str(name): value for name, value in found.items() if isinstance(value, int | float)}

    def pause(self, limit: float = 30.0) -> None:
        """Hold who asks from now on."""
        self._pool.pause(limit)

    def resume(self, rate: float = 0.0) -> None:
        """Serve those who were held."""
        self._pool.resume(rate)

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        """Fires when it is empty, or should be.  Never fails."""
        closing = maybeDeferred(self._pool.close, deadline)
        closed = within(self._clock, deadline + GRACE, closing, lambda: self._late(deadline))
        return closed.addCallbacks(lambda _: None, self._broken)

    def cut(self) -> None:
        """Reset every lease."""
        self._safely(self._pool.cut)

    def shrink(self) -> None:
        """Give memory back, if it knows how to."""
        if IShrinkable.providedBy(self._pool):
            self._safely(self._pool.shrink)

    def _lease(self, given: Any) -> ILease:
        if not ILease.providedBy(given):
            raise TypeError(f"the pool of {self._name} gave {given!r}, which is no lease")
        return given

    def _safely(self, what: Callable[[], Any]) -> Any:
        try:
            return what()
        except Exception:
            if self._seldom.says(what.__name__):
                self.log.failure("the pool of {name} is broken", name=self._name)

    def _broken(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the pool of {name} is broken", failure, name=self._name)

    def _late(self, deadline: float) -> None:
        self.log.error(
            "the pool of {name} is broken: it was not closed within {seconds:g} s",
            name=self._name,
            seconds=deadline + GRACE,
        )
