"""Sessions in Redis: several machines share them, and each sees at once what another one does."""

from __future__ import annotations

from math import inf, isfinite
from secrets import randbits
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from tcpsuite.core.sessions import THERE, Kept, Session, SessionTotals
from tcpsuite.errors import Closed, StoreFailed
from tcpsuite.interfaces import ISessionStore
from tcpsuite.stores.noted import NotedUses
from tcpsuite.stores.redis import scripts
from tcpsuite.stores.telling import told

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from tcpsuite.stores.redis.client import RedisClient

T = TypeVar("T")

SWEPT_AT_ONCE = 500
"""Sessions that one script forgets: Redis does nothing else meanwhile, for some milliseconds."""
VERSION_BITS = 63
"""Of chance: no two versions of a session are equal."""
TOUCHED_AT_ONCE = 100
"""Sessions that one script touches: nothing else is done here meanwhile, for a millisecond."""


@implementer(ISessionStore)
class RedisSessionStore:
    """Sessions under the keys of one prefix.

    What is asked of one session goes over one connection, and so is done in order.  Uses that were noted and
    whose storing was not confirmed are sent again: requests may count twice then, and none is lost.

    :param client: started by :meth:`open`, stopped by :meth:`close`.
    :param prefix: what the names of all keys begin with.
    """

    shared = True

    def __init__(self, client: RedisClient, prefix: str = "tcpsuite:") -> None:
        self._client = client
        self._session = f"{prefix}session:"
        self._data = f"{prefix}data:"
        self._shared_keys = [prefix + name for name in scripts.SHARED]
        self._noted = NotedUses()
        self._closed: Deferred[Any] | None = None
        self._refused = ""

    def __repr__(self) -> str:
        return f"<RedisSessionStore {self._client!r}{' closed' if self._closed else ''}>"

    @property
    def ahead(self) -> float:
        """See :class:`~tcpsuite.interfaces.ISessionStore`: it is the clock of Redis."""
        return self._client.ahead

    @property
    def fault(self) -> str:
        """See :class:`~tcpsuite.interfaces.ISessionStore`: why it could not be reached when last tried,
        or took no change when that was last proved, as with each sweep and whenever :meth:`totals` are asked
        for.  What is wrong with one session is no fault of the store.
        """
        return f"redis: {self._client.fault}" if self._client.fault else self._refused

    def open(self) -> None:
        """Begin to connect.  A Redis that is away at the start is no reason not to: it may come."""
        self._client.start()

    def create(self, session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        arguments = [
            session.digest.hex(), str(limit), str(user_limit), session.user, repr(session.created),
            repr(session.used), str(session.requests), str(session.version), *_flat(session.data),
        ]  # fmt: skip
        return self._ask(scripts.CREATE, session.digest, arguments).addCallback(_kept)

    def head(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        head = self._ask(scripts.HEAD, digest, read=lambda head: _read(digest, head, []))
        return head.addCallback(self._noted.lay_over)

    def get(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        got = self._ask(scripts.GET, digest, read=lambda reply: _read(digest, *reply))
        return got.addCallback(self._noted.lay_over)

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[int | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        removed = [key for key, value in changes.items() if value is None]
        # One that is counted would come again where a replica takes over that has not heard of the last.
        following = randbits(VERSION_BITS)
        arguments = [
            digest.hex(), str(version), repr(used), str(requests), str(following), str(len(removed)),
            *removed, *_flat({key: value for key, value in changes.items() if value is not None}),
        ]  # fmt: skip
        changed = self._ask(scripts.CHANGE, digest, arguments)
        return changed.addCallback(lambda done: following if done else None)

    def touch(self, digest: bytes, used: float, requests: int) -> None:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if self._closed is None:
            self._noted.note(digest, used, requests)

    def delete(self, digest: bytes) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._ask(scripts.DELETE, digest, [digest.hex()]).addCallback(bool)

    def expire(self, used: float, created: float = 0.0) -> Deferred[int]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._open_do(self._expire(used, created))

    def totals(self, top: int = 0) -> Deferred[SessionTotals]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._open_do(self._totals(top))

    def close(self) -> Deferred[None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if self._closed is None:
            # What cannot be told any more is lost: when sessions were last used, and how often.
            flushed = Deferred.fromCoroutine(self._flush())
            flushed.addErrback(lambda failure: failure.trap(StoreFailed) and None)
            self._closed = flushed.addCallback(lambda _: self._client.stop())
        return told(self._closed)

    def _ask(
        self,
        script: str,
        digest: bytes,
        arguments: Sequence[str] = (),
        read: Callable[[Any], Any] = lambda reply: reply,
    ) -> Deferred[Any]:
        """Ask about one session, behind what was noted of it."""
        if self._closed is not None:
            return fail(Closed("the session store is closed"))
        if digest in self._noted:
            # When that fails, what follows fails too, or what is noted again then is laid over it.
            self._send_touches([digest]).addErrback(lambda _: None)
        name = digest.hex()
        keys = [self._session + name, self._data + name, *self._shared_keys]
        return self._client.run(script, keys, arguments, lane=_lane(digest), read=read)

    def _open_do(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        if self._closed is not None:
            work.close()
            return fail(Closed("the session store is closed"))
        return Deferred.fromCoroutine(work)

    async def _expire(self, used: float, created: float) -> int:
        await self._flush()
        await self._client.compare_clocks()
        arguments = [self._session, self._data, repr(used), repr(created), str(SWEPT_AT_ONCE)]
        swept = 0
        while True:
            some: int = await self._client.run(scripts.EXPIRE, self._shared_keys, arguments)
            swept += some
            if some < SWEPT_AT_ONCE:
                break
        await self._prove()
        return swept

    async def _totals(self, top: int) -> SessionTotals:
        await self._flush()
        totals: SessionTotals = await self._client.run(
            scripts.TOTALS, self._shared_keys, [str(top)], read=_read_totals
        )
        await self._prove()
        return totals

    async def _prove(self) -> None:
        """Look whether Redis takes changes: one that has no room left, or no replica, answers who reads."""
        try:
            await self._client.run(scripts.PROVE, self._shared_keys, [])
        except StoreFailed as error:
            self._refused = str(error)
        else:
            self._refused = ""

    async def _flush(self) -> None:
        """Send all that was noted, each over the connection of its session, some at a time."""
        lanes: dict[int, list[bytes]] = {}
        for digest in self._noted:
            lanes.setdefault(_lane(digest) % len(self._client.lanes), []).append(digest)
        for digests in lanes.values():
            for start in range(0, len(digests), TOUCHED_AT_ONCE):
                some = [each for each in digests[start : start + TOUCHED_AT_ONCE] if each in self._noted]
                if some:
                    await self._send_touches(some)

    def _send_touches(self, digests: Sequence[bytes]) -> Deferred[Any]:
        """Send what was noted of sessions that share a connection."""
        uses = self._noted.take(digests)
        arguments = [self._session]
        for digest, (used, requests) in uses.items():
            arguments += digest.hex(), repr(used), str(requests)

        def keep(failure: Any) -> Any:
            self._noted.put_back(uses)
            return failure

        sent = self._client.run(scripts.TOUCH, self._shared_keys, arguments, lane=_lane(digests[0]))
        return sent.addErrback(keep)


def _kept(reply: bytes) -> Kept:
    if reply == b"there":
        raise StoreFailed(THERE)
    return Kept(reply.decode())


def _lane(digest: bytes) -> int:
    return digest[0]


def _flat(data: Mapping[str, str]) -> list[str]:
    return [text for pair in data.items() for text in pair]


def _pairs(reply: Sequence[bytes]) -> list[tuple[str, str]]:
    texts = [each.decode() for each in reply]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _read(digest: bytes, head: Sequence[Any], data: Sequence[bytes]) -> Session | None:
    user, created, used, requests, version = head
    if user is None:
        return None
    try:
        opened, last, count, state = _time(created), _time(used), int(requests), int(version)
        return Session(digest, user.decode(), opened, last, count, dict(_pairs(data)), state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"session {digest.hex()}: {error}") from None


def _read_totals(reply: Sequence[Any]) -> SessionTotals:
    sessions, users, most, requests, oldest, idlest = reply
    return SessionTotals(
        int(sessions),
        int(users),
        {user: int(count) for user, count in _pairs(most)},
        int(requests),
        _time(oldest[1]) if oldest else inf,
        _time(idlest[1]) if idlest else inf,
    )


def _time(text: bytes) -> float:
    time = float(text)
    if not isfinite(time):
        raise ValueError(f"no time: {text!r}")
    return time
