"""Sessions in memory: they outlive a connection, and end with the process."""

from __future__ import annotations

from collections import Counter
from math import inf
from sys import intern
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from tcpsuite.core.sessions import Kept, Totals
from tcpsuite.errors import Closed
from tcpsuite.interfaces import ISessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from tcpsuite.core.sessions import Session

    T = TypeVar("T")


@implementer(ISessionStore)
class MemoryStore:
    """Every answer is there at once."""

    shared = False

    def __init__(self) -> None:
        self._sessions: dict[bytes, Session] = {}
        self._users: Counter[str] = Counter()
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self._sessions)} sessions{' closed' if self._closed else ''}>"

    def open(self) -> None:
        """Nothing can be wrong with it."""

    def create(self, session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: self._create(session, limit, user_limit))

    def head(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: _head(self._sessions.get(digest)))

    def get(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: _copy(self._sessions.get(digest)))

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[bool]:
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
        return self._answer(lambda: self._expire(used, created))

    def totals(self) -> Deferred[Totals]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(self._totals)

    def close(self) -> Deferred[None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        self._closed = True
        self._sessions.clear()
        self._users.clear()
        return succeed(None)

    def _answer(self, work: Callable[[], T]) -> Deferred[T]:
        return fail(Closed("the session store is closed")) if self._closed else succeed(work())

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
    ) -> bool:
        session = self._sessions.get(digest)
        if session is None or session.version != version:
            return False
        for key, value in changes.items():
            if value is None:
                session.data.pop(key, None)
            else:
                session.data[key] = value
        session.version += 1
        self.touch(digest, used, requests)
        return True

    def _delete(self, digest: bytes) -> bool:
        session = self._sessions.pop(digest, None)
        if session is None:
            return False
        self._users[session.user] -= 1
        if not self._users[session.user]:
            del self._users[session.user]
        return True

    def _expire(self, used: float, created: float) -> int:
        old = [
            digest
            for digest, session in self._sessions.items()
            if session.used < used or session.created < created
        ]
        for digest in old:
            self._delete(digest)
        return len(old)

    def _totals(self) -> Totals:
        sessions = self._sessions.values()
        return Totals(
            dict(self._users),
            sum(session.requests for session in sessions),
            min((session.created for session in sessions), default=inf),
            min((session.used for session in sessions), default=inf),
        )


def _copy(session: Session | None) -> Session | None:
    return None if session is None else evolve(session, data=dict(session.data))


def _head(session: Session | None) -> Session | None:
    return None if session is None else evolve(session, data={})
