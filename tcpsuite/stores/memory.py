"""Sessions in memory: they outlive a connection, and end with the process."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

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

    def __init__(self) -> None:
        self._sessions: dict[bytes, Session] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self._sessions)} sessions{' closed' if self._closed else ''}>"

    def open(self) -> None:
        """Nothing can be wrong with it."""

    def create(self, session: Session, limit: int) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: self._create(session, limit))

    def get(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: _copy(self._sessions.get(digest)))

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], used: float, requests: int
    ) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: self._change(digest, changes, used, requests))

    def touch(self, digest: bytes, used: float, requests: int) -> None:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        session = self._sessions.get(digest)
        if session is not None:
            session.used, session.requests = used, requests

    def delete(self, digest: bytes) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: self._sessions.pop(digest, None) is not None)

    def expire(self, before: float) -> Deferred[int]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: self._expire(before))

    def count(self) -> Deferred[dict[str, int]]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._answer(lambda: dict(Counter(session.user for session in self._sessions.values())))

    def close(self) -> Deferred[None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        self._closed = True
        self._sessions.clear()
        return succeed(None)

    def _answer(self, work: Callable[[], T]) -> Deferred[T]:
        return fail(Closed("the session store is closed")) if self._closed else succeed(work())

    def _create(self, session: Session, limit: int) -> bool:
        if len(self._sessions) >= limit:
            return False
        self._sessions[session.digest] = evolve(session, data=dict(session.data))
        return True

    def _change(self, digest: bytes, changes: Mapping[str, str | None], used: float, requests: int) -> bool:
        session = self._sessions.get(digest)
        if session is None:
            return False
        for key, value in changes.items():
            if value is None:
                session.data.pop(key, None)
            else:
                session.data[key] = value
        session.used, session.requests = used, requests
        return True

    def _expire(self, before: float) -> int:
        old = [digest for digest, session in self._sessions.items() if session.used < before]
        for digest in old:
            del self._sessions[digest]
        return len(old)


def _copy(session: Session | None) -> Session | None:
    return None if session is None else evolve(session, data=dict(session.data))
