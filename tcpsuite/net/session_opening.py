"""Opening sessions: each with an id that is told once, or not at all when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred

from tcpsuite.core.sessions import ID_BYTES, Kept, Session, check_owner, digest_of, new_id
from tcpsuite.errors import Closed, ProtocolError, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.interfaces import ISessionStore

STRAYS = 10_000
"""Sessions that may have been kept for nobody, remembered at once: the oldest are left to their idle time."""


class SessionOpening:
    """Has new sessions kept, within limits.

    One whose keeping failed may be kept all the same, when only the answer was lost.  Nobody knows its id
    then, and it would count against its user until it has expired: so it is deleted, at once and in
    :meth:`clear`.

    :param store: where they are kept.
    :param limit: how many there may be.
    :param user_limit: how many one user may have; 0: no limit.
    :param random_bytes: gives so many bytes that nobody can predict.
    """

    def __init__(
        self, store: ISessionStore, limit: int, user_limit: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._limit = limit
        self._user_limit = user_limit
        self._random_bytes = random_bytes
        self._strays: dict[bytes, None] = {}

    def __repr__(self) -> str:
        return f"<SessionOpening strays={len(self._strays)}>"

    async def open(self, user: str, now: float) -> tuple[str, Session]:
        """A new session of ``user``, and its id.

        :param now: seconds since the epoch.
        :raises ProtocolError: ``full`` or ``user``.
        :raises StoreFailed: when nobody knows whether it is kept.
        """
        check_owner(user)
        session_id = new_id(self._random_bytes(ID_BYTES))
        session = Session(digest_of(session_id), user, created=now, used=now)
        try:
            kept = await self._store.create(session, self._limit, self._user_limit)
        except (CancelledError, StoreFailed):
            self._lose(session.digest)
            raise
        if kept is Kept.FULL:
            raise ProtocolError("full", f"there are {self._limit} sessions already")
        if kept is Kept.USER_FULL:
            raise ProtocolError("full", f"you have {self._user_limit} sessions already")
        return session_id, session

    async def clear(self) -> None:
        """Delete what may have been kept for nobody.

        :raises StoreFailed: when that must be tried again.
        """
        for digest in tuple(self._strays):
            await self._store.delete(digest)
            self._strays.pop(digest, None)

    def _lose(self, digest: bytes) -> None:
        self._strays[digest] = None
        if len(self._strays) > STRAYS:
            del self._strays[next(iter(self._strays))]

        def found(there: bool) -> None:
            # If not, what asked for it may still be under way, over a connection that was given up.
            if there:
                self._strays.pop(digest, None)

        deleted: Deferred[None] = self._store.delete(digest).addCallback(found)
        deleted.addErrback(lambda failure: failure.trap(StoreFailed, Closed) and None)
