"""The data of sessions in use: held in memory, and changed there when the change is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import DeferredLock

from tcpsuite.core.sessions import Session, check_key, size_of, weight
from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tcpsuite.core.sessions import DataLimits
    from tcpsuite.interfaces import ISessionStore


@define(eq=False)
class LiveSession:
    """A session in use.  Whoever got it from the manager gives it back by ``release``, destroyed or not."""

    session: Session
    uses: int = 0
    """Connections that have it, and changes of it that are under way."""
    gone: bool = False
    """Whether it has ended, here or elsewhere."""
    unsaved: int = 0
    """Requests that the store does not know of."""
    size: int = field(init=False)
    """Bytes of its data."""
    changes: DeferredLock = field(factory=DeferredLock, init=False, repr=False)
    """Held while a change is stored: memory and store see the changes in one order."""

    def __attrs_post_init__(self) -> None:
        self.size = size_of(self.session.data)

    def renew(self, stored: Session) -> None:
        """Take over what another process has made of it."""
        mine, self.session = self.session, stored
        stored.used = max(stored.used, mine.used)
        stored.requests += self.unsaved
        self.size = size_of(stored.data)


class SessionData:
    """Reads and changes what sessions in use hold.

    Each of its methods raises :class:`~tcpsuite.errors.ProtocolError` with ``no-session`` when another
    process has ended the session.

    :param store: where it is kept.  When others share it, what is held is looked at again each time.
    :param limits: how much a session may hold.
    :param forget: called with a session that another process has ended.
    """

    def __init__(
        self, store: ISessionStore, limits: DataLimits, forget: Callable[[LiveSession], None]
    ) -> None:
        self._store = store
        self._limits = limits
        self._forget = forget

    async def look(self, live: LiveSession) -> Mapping[str, str]:
        """All keys and their values, as they are now."""
        if self._store.shared:
            async with live.changes:
                await self._renew(live)
        return live.session.data

    async def set(self, live: LiveSession, key: str, value: str) -> None:
        """Give a key a value.  Done when it is stored.

        :raises ProtocolError: ``key`` or ``full``, see the limits.
        """
        check_key(key)
        async with live.changes:
            await self._renew(live)
            while True:
                size = self._limits.check(live.session.data, live.size, key, value)
                if await self._change(live, {key: value}):
                    break
            live.session.data[key] = value
            live.size = size

    async def delete(self, live: LiveSession, key: str) -> bool:
        """Remove a key.  Done, when that is stored, with whether there was one."""
        async with live.changes:
            await self._renew(live)
            while key in live.session.data:
                if await self._change(live, {key: None}):
                    live.size -= weight(key, live.session.data.pop(key))
                    return True
            return False

    async def _change(self, live: LiveSession, changes: Mapping[str, str | None]) -> bool:
        """Store it.  ``False``: another process had changed it since; it is now as that has left it."""
        session = live.session
        requests, live.unsaved = live.unsaved, 0
        version = None
        try:
            version = await self._store.change(
                session.digest, changes, session.version, session.used, requests
            )
        finally:
            if version is None:
                live.unsaved += requests
        if version is None:
            await self._reload(live)
            return False
        session.version = version
        return True

    async def _renew(self, live: LiveSession) -> None:
        if live.gone:  # while it waited for its turn
            raise no_session()
        if self._store.shared:
            head = await self._store.head(live.session.digest)
            if head is None or head.version != live.session.version:
                await self._reload(live)

    async def _reload(self, live: LiveSession) -> None:
        stored = await self._store.get(live.session.digest)
        if stored is None:
            self._forget(live)
            raise no_session()
        live.renew(stored)


def no_session() -> ProtocolError:
    """The one answer to whoever has no session, whatever the reason is."""
    return ProtocolError("no-session", "there is no such session, or no longer, or it is another user's")
