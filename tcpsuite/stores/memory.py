"""Sessions in memory: they outlive a connection, and end with the process."""

from __future__ import annotations

from collections import Counter
from heapq import nlargest
from math import inf
from sys import intern
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

from tcpsuite.core.sessions import THERE, Kept, SessionTotals
from tcpsuite.errors import Closed, StoreFailed
from tcpsuite.interfaces import ISessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any, TypeVar

    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.core.sessions import Session

    T = TypeVar("T")

AT_ONCE = 1000
"""Sessions that are looked at before others have their turn: a millisecond's work, if they are forgotten."""


@implementer(ISessionStore)
class MemoryStore:
    """Every answer is there at once; only what looks at all sessions gives others their turn meanwhile.

    :param clock: an ``IReactorTime``, for that; without one all of them are looked at in one go.
    """

    shared = False
    ahead = 0.0
    fault = ""

    def __init__(self, clock: IReactorTime | None = None) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}
        self._users: Counter[str] = Counter()
        self._turns: set[Deferred[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self._sessions)} sessions{' closed' if self._closed else ''}>"

    def open(self) -> None:
        """Nothing can be wrong with it."""

    def create(self, session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if session.digest in self._sessions:
            return fail(StoreFailed(THERE))
        return self._answer(lambda: self._create(session, limit, user_limit))

    def head(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: _head(self._sessions.get(digest)))

    def get(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: _copy(self._sessions.get(digest)))

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[int | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: self._change(digest, changes, version, used, requests))

    def touch(self, digest: bytes, used: float, requests: int) -> None:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        session = self._sessions.get(digest)
        if session is not None:
            session.used = max(session.used, used)
            session.requests += requests

    def delete(self, digest: bytes) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: self._delete(digest))

    def expire(self, used: float, created: float = 0.0) -> Deferred[int]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer_in_time(lambda: self._expire(used, created))

    def totals(self, top: int = 0) -> Deferred[SessionTotals]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer_in_time(lambda: self._totals(top))

    def close(self) -> Deferred[None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        self._closed = True
        for turn in tuple(self._turns):
            turn.cancel()
        self._sessions.clear()
        self._users.clear()
        return succeed(None)

    def _answer(self, work: Callable[[], T]) -> Deferred[T]:
        return fail(_closed()) if self._closed else succeed(work())

    def _answer_in_time(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        return self._answer(lambda: None).addCallback(lambda _: Deferred.fromCoroutine(work()))

    def _create(self, session: Session, limit: int, user_limit: int) -> Kept:
        if len(self._sessions) >= limit:
            return Kept.FULL
        # Names come in many copies, one with each session.
        user = intern(session.user)
        if user_limit and self._users[user] >= user_limit:
            return Kept.USER_FULL
        self._sessions[session.digest] = evolve(session, user=user, data=dict(session.data))
        self._users[user] += 1
        return Kept.YES

    def _change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> int | None:
        session = self._sessions.get(digest)
        if session is None or session.version != version:
            return None
        for key, value in changes.items():
            if value is None:
                session.data.pop(key, None)
            else:
                session.data[key] = value
        session.version += 1
        self.touch(digest, used, requests)
        return session.version

    def _delete(self, digest: bytes) -> bool:
        session = self._sessions.pop(digest, None)
        if session is None:
            return False
        self._users[session.user] -= 1
        if not self._users[session.user]:
            del self._users[session.user]
        return True

    async def _expire(self, used: float, created: float) -> int:
        swept = 0

        def forget(some: Sequence[bytes]) -> None:
            nonlocal swept
            for digest in some:
                session = self._sessions.get(digest)
                if session is not None and (session.used < used or session.created < created):
                    swept += self._delete(digest)

        await self._look_at(list(self._sessions), forget)
        return swept

    async def _totals(self, top: int) -> SessionTotals:
        requests, oldest, idlest = 0, inf, inf
        most: list[str] = []

        def count(some: Sequence[bytes]) -> None:
            nonlocal requests, oldest, idlest
            for digest in some:
                if (session := self._sessions.get(digest)) is not None:
                    requests += session.requests
                    oldest = min(oldest, session.created)
                    idlest = min(idlest, session.used)

        def rank(some: Sequence[str]) -> None:
            nonlocal most
            most = nlargest(top, (*most, *some), key=self._users.__getitem__)

        await self._look_at(list(self._sessions), count)
        if top:
            await self._look_at(list(self._users), rank)
        told = {user: self._users[user] for user in most if user in self._users}
        return SessionTotals(len(self._sessions), len(self._users), told, requests, oldest, idlest)

    async def _look_at(self, things: Sequence[T], look: Callable[[Sequence[T]], None]) -> None:
        """Have ``look`` see all of them, some at a time; what it sees may be gone by then."""
        for start in range(0, len(things), AT_ONCE):
            if start and self._clock is not None:
                await self._turn(self._clock)
            look(things[start : start + AT_ONCE])

    async def _turn(self, clock: IReactorTime) -> None:
        """Others have their turn."""
        turn: Deferred[None] = deferLater(clock, 0)
        self._turns.add(turn)
        try:
            await turn
        except CancelledError:
            if self._closed:
                raise _closed() from None
            raise
        finally:
            self._turns.remove(turn)


def _closed() -> Closed:
    return Closed("the session store is closed")


def _copy(session: Session | None) -> Session | None:
    return None if session is None else evolve(session, data=dict(session.data))


def _head(session: Session | None) -> Session | None:
    return None if session is None else evolve(session, data={})
