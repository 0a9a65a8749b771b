"""What a pool hands out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from zope.interface import implementer

from tcpsuite.errors import LeaseError
from tcpsuite.interfaces import ILease, Outcome
from tcpsuite.net.endpoints import failure_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import IConnectionPool
    from tcpsuite.net.held import Held


@implementer(ILease)
class PooledLease:
    """One connection of a :class:`~tcpsuite.net.pool.ConnectionPool`, and for how long somebody has it.

    :ivar server: where it leads.
    :ivar holder: who has it, in their own words.
    """

    __slots__ = ("_ended", "_held", "_outcome", "_returned", "_since", "holder", "server")

    def __init__(self, server: Server, held: Held, holder: str, now: float) -> None:
        self.server = server
        self.holder = holder
        self._held = held
        self._since = now
        self._returned = False
        self._outcome: Outcome | None = None
        self._ended: list[Deferred[Outcome]] | None = None

    def __repr__(self) -> str:
        return f"<PooledLease {self.server.name} {'over' if self._outcome else repr(self._held)}>"

    def attach(self, protocol: IProtocol) -> None:
        """Give the connection to ``protocol``, and what has happened on it meanwhile.  Once only.

        :raises LeaseError: when it was attached before, or given back.
        """
        if self._returned:
            raise LeaseError("the lease was given back")
        self._held.attach(protocol)

    def ended(self) -> Deferred[Outcome]:
        """Fires when the lease is over: the connection is gone, or the pool has taken it back."""
        if self._outcome is not None:
            return succeed(self._outcome)
        deferred: Deferred[Outcome] = Deferred()
        self._ended = [*(self._ended or ()), deferred]
        return deferred

    def give_back(self, among: Mapping[int, Held]) -> Held | None:
        """Its holder is done.

        :param among: the connections of the pool to which it is given back, by number.
        :return: the connection, but not twice, and not when it is gone.
        :raises LeaseError: when it is none of these.
        """
        if self._returned or self._outcome is not None:
            return None
        if among.get(self._held.number) is not self._held:
            raise LeaseError("the lease is another pool's")
        self.revoke()
        return self._held

    def revoke(self) -> None:
        """From now on nobody can be attached."""
        self._returned = True

    def end(self, now: float, reason: Failure | None = None) -> None:
        """It is over.

        :param reason: why the connection is gone, if it is.
        """
        error = ""
        if reason is not None and not isinstance(reason.value, ConnectionDone | ConnectionAborted):
            lost = isinstance(reason.value, ConnectionLost)
            error = "reset by the server" if lost else failure_text(reason)
        self._outcome = Outcome(not error, error, now - self._since)
        waiting, self._ended = self._ended, None
        for deferred in waiting or ():
            deferred.callback(self._outcome)


async def lend(
    acquire: Callable[[str], Deferred[ILease]],
    pool_of: Callable[[ILease], IConnectionPool],
    fn: Callable[[ILease], Any],
    holder: str = "",
) -> Any:
    """Acquire, call ``fn`` with the lease, wait for its Deferred or coroutine, release.

    When ``fn`` fails, nobody knows what it has left on the connection, which is not to be lent again.

    :param acquire: called with the name of who is to hold the lease.
    :param pool_of: gives the pool that a lease goes back to.
    :param holder: that name; the name of ``fn`` if it is empty.
    """
    lease = await acquire(holder or getattr(fn, "__qualname__", repr(fn)))
    pool = pool_of(lease)  # its server may be removed before it is over
    ok = False
    try:
        result = await maybeDeferred(fn, lease)
        ok = True
        return result
    finally:
        pool.release(lease, reusable=ok, ok=ok)
