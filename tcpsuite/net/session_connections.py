"""Connections that belong to a session: made at its first use, and its own until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred

from tcpsuite.errors import Closed

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IProtocol

    from tcpsuite.interfaces import IConnectionPool, ILease
    from tcpsuite.net.upstream import Upstream


class Owned(Protocol):
    """What belongs to one session as long as that lasts."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""

    def give_back(self) -> Deferred[None]:
        """The session has ended."""


class Owning(Protocol):
    """Makes what belongs to sessions."""

    def new(self, user: str) -> Owned:
        """What will be a session's of ``user``."""

    def figures(self) -> dict[str, Any]:
        """What there is to tell of all of them, beside what the sessions know."""


class SessionConnections:
    """Gives each session a connection of its own.

    :param acquire: called with the name of who is to hold it; its Deferred fires with a lease.
    :param pool_of: gives the pool that a lease goes back to.
    :param build: makes the protocol that a new connection is given to.
    """

    def __init__(
        self,
        acquire: Callable[[str], Deferred[ILease]],
        pool_of: Callable[[ILease], IConnectionPool],
        build: Callable[[], IProtocol],
    ) -> None:
        self._acquire = acquire
        self._pool_of = pool_of
        self._build = build

    @classmethod
    def of_pool(cls, pool: IConnectionPool, build: Callable[[], IProtocol]) -> SessionConnections:
        """Connections of one pool."""
        return cls(lambda holder: pool.acquire(holder=holder), lambda _: pool, build)

    @classmethod
    def of_upstream(cls, upstream: Upstream, build: Callable[[], IProtocol]) -> SessionConnections:
        """Connections to the servers of an upstream, as its balancer picks them."""
        return cls(
            lambda holder: upstream.acquire(holder=holder),
            lambda lease: upstream.pools[lease.server.name],
            build,
        )

    def figures(self) -> dict[str, Any]:
        """Nothing beside what the sessions know."""
        return {}

    def new(self, user: str) -> SessionConnection:
        """What will be the connection of a session of ``user``; nothing is connected yet."""
        return SessionConnection(f"a session of {user}", self._acquire, self._pool_of, self._build)


class SessionConnection:
    """One session's connection.  One at a time uses it, in the order in which they asked.

    Its parameters are those of :class:`SessionConnections`, and ``holder``, who has it, for people.
    """

    def __init__(
        self,
        holder: str,
        acquire: Callable[[str], Deferred[ILease]],
        pool_of: Callable[[ILease], IConnectionPool],
        build: Callable[[], IProtocol],
    ) -> None:
        self._holder = holder
        self._acquire = acquire
        self._pool_of = pool_of
        self._build = build
        self._lock = DeferredLock()
        self._closed = False
        self._lease: ILease | None = None
        self._pool: IConnectionPool | None = None
        self._protocol: IProtocol | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "unconnected" if self._lease is None else repr(self._lease)
        return f"<SessionConnection of {self._holder}: {state}>"

    @property
    def connected(self) -> bool:
        """Whether it has a connection now."""
        return self._lease is not None

    def execute(self, fn: Callable[[Any], Any]) -> Deferred[Any]:
        """Call ``fn`` with the protocol of the connection, and wait for its Deferred or coroutine.

        The next one finds the same protocol, in whatever state ``fn`` left it; a new one if the connection
        was lost.  When ``fn`` fails, nobody knows what it has left there: the connection is closed.

        :return: fires with what ``fn`` gave, or fails as it failed; with :class:`~tcpsuite.errors.Closed`
            when the session has ended; or as the acquiring failed.
        """
        return self._lock.run(lambda: Deferred.fromCoroutine(self._execute(fn)))

    def give_back(self) -> Deferred[None]:
        """The session has ended: whoever has begun comes to an end, then the pool has the connection back.

        :return: fires when the pool has it.
        """
        self._closed = True
        return self._lock.run(self._release, True)

    async def _execute(self, fn: Callable[[Any], Any]) -> Any:
        if self._closed:
            raise Closed("the session has ended")
        if self._lease is None:
            await self._connect()
        try:
            return await maybeDeferred(fn, self._protocol)
        except BaseException:
            self._release(False)
            raise

    async def _connect(self) -> None:
        lease = await self._acquire(self._holder)
        pool = self._pool_of(lease)  # its server may be removed before it is over
        protocol = self._build()
        try:
            lease.attach(protocol)
        except BaseException:
            pool.release(lease, reusable=False, ok=False)
            raise
        self._lease, self._pool, self._protocol = lease, pool, protocol
        lease.ended().addBoth(lambda _: self._lost(lease))

    def _lost(self, lease: ILease) -> None:
        if self._lease is lease:
            self._lease = self._pool = self._protocol = None

    def _release(self, reusable: bool) -> None:
        lease, pool = self._lease, self._pool
        if lease is not None and pool is not None:
            self._lost(lease)
            pool.release(lease, reusable=reusable, ok=reusable)
