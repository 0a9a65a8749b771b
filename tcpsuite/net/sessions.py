"""Sessions: a client's state with an id, that outlives its connection.

A session that a connection has opened or resumed is in use: it is held in memory, read from there, and does
not expire.  Each change is stored before it is answered.  Several connections may use one session at once:
they see each other's changes, which are made one after the other, and for each key the last one stands.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tcpsuite.core.sessions import (
    ID_BYTES,
    IDLE_TIMEOUT,
    MAX_BYTES,
    MAX_KEYS,
    MAX_SESSIONS,
    DataLimits,
    Session,
    check_key,
    digest_of,
    expiry,
    may_resume,
    new_id,
    size_of,
    weight,
)
from tcpsuite.errors import ProtocolError, StoreFailed
from tcpsuite.net.shield import shield
from tcpsuite.options import Duration, Size, at_least, between, option

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.interfaces import ISessionStore

T = TypeVar("T")


@frozen
class SessionsOptions:
    """The ``[sessions]`` table: where sessions are kept, how long, and how large they may be."""

    store: str = option(
        "sqlite",
        "Where they are kept: sqlite (they survive a restart) or memory.",
        choices=("sqlite", "memory"),
    )
    path: str = option("sessions.db", "The SQLite file.  A relative path is taken from the state directory.")
    idle_timeout: Duration = option(
        Duration(IDLE_TIMEOUT),
        "A session that nobody used for so long is forgotten.",
        check=at_least(1, "seconds"),
    )
    sweep_interval: Duration = option(
        Duration(60.0), "How often forgotten sessions are swept out.", check=at_least(1, "seconds")
    )
    max_sessions: int = option(
        MAX_SESSIONS,
        "Sessions at most; past it none is opened until others end.",
        check=between(1, 10_000_000),
    )
    max_keys: int = option(MAX_KEYS, "Keys that one session may hold.", check=between(1, 100_000))
    max_bytes: Size = option(
        Size(MAX_BYTES),
        "Bytes that one session's keys and values may have.",
        check=between(1, 2**28, "bytes"),
    )


@define(eq=False)
class LiveSession:
    """A session in use.  Whoever got it from the manager gives it back by ``release`` or ``close``."""

    session: Session
    uses: int = 0
    """Connections that have it, and changes of it that are under way."""
    gone: bool = False
    """Whether it was closed, here or elsewhere."""
    size: int = field(init=False)
    """Bytes of its data."""
    changes: DeferredLock = field(factory=DeferredLock, init=False, repr=False)
    """Held while a change is stored: memory and store see the changes in one order."""

    def __attrs_post_init__(self) -> None:
        self.size = size_of(self.session.data)


class SessionManager:
    """Opens, resumes and closes sessions, and keeps their data.

    It refuses with :class:`~tcpsuite.errors.ProtocolError` and a code: ``no-session``, ``full``, ``key``; a
    store that fails gives :class:`~tcpsuite.errors.StoreFailed`.  A change whose Deferred is cancelled is
    made all the same.

    :param store: open already; closed by :meth:`stop`.
    :param clock: an ``IReactorTime``, for the sweep.
    :param random_bytes: gives so many bytes that nobody can predict.
    :param now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        store: ISessionStore,
        clock: IReactorTime,
        options: SessionsOptions = SessionsOptions(),
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.options = options
        self._limits = DataLimits(options.max_keys, options.max_bytes)
        self._random_bytes = random_bytes
        self._now = now
        self._live: dict[bytes, LiveSession] = {}
        self._sweeping = LoopingCall(self.sweep)
        self._sweeping.clock = clock

    def __repr__(self) -> str:
        return f"<SessionManager in use={len(self._live)} {self.store!r}>"

    def start(self) -> None:
        """Sweep out what has expired, now and at each interval."""
        self._sweeping.start(self.options.sweep_interval)

    def stop(self) -> Deferred[None]:
        """End the sweep, close the store.  Fires when all is stored; call it when no connection is left."""
        if self._sweeping.running:
            self._sweeping.stop()
        self._touch_all()
        return self.store.close()

    def create(self, user: str) -> Deferred[tuple[str, LiveSession]]:
        """Open a session for ``user``.

        :return: fires with its id, which is told only here, and the session, in use, when it is stored; fails
            with ``full`` when there are too many.
        """
        return Deferred.fromCoroutine(self._create(user))

    def resume(self, session_id: str, user: str) -> Deferred[LiveSession]:
        """Go on with a session.

        :return: fires with the session, in use; fails with ``no-session`` when there is none of that id, when
            it has expired, or when another user opened it: which of these is not told.
        """
        return Deferred.fromCoroutine(self._resume(session_id, user))

    def get(self, live: LiveSession, key: str) -> str | None:
        """The value of a key."""
        return self._use(live).data.get(key)

    def keys(self, live: LiveSession) -> list[str]:
        """All keys, sorted."""
        return sorted(self._use(live).data)

    def info(self, live: LiveSession) -> dict[str, str | int]:
        """What can be told of a session.  Times are seconds."""
        session = self._use(live)
        return {
            "user": session.user,
            "age": int(self._now() - session.created),
            "idle_timeout": int(self.options.idle_timeout),
            "requests": session.requests,
            "keys": len(session.data),
            "bytes": live.size,
        }

    def set(self, live: LiveSession, key: str, value: str) -> Deferred[None]:
        """Give a key a value.  Fires when it is stored; fails with ``key`` or ``full``, see the limits."""
        return self._finish(live, self._set(live, key, value))

    def delete(self, live: LiveSession, key: str) -> Deferred[bool]:
        """Remove a key.  Fires, when that is stored, with whether there was one."""
        return self._finish(live, self._delete(live, key))

    def release(self, live: LiveSession) -> None:
        """One connection less uses it.  Its idle time begins when it is the last."""
        live.uses -= 1
        if not live.uses and not live.gone:
            self._touch(live)
            del self._live[live.session.digest]

    def close(self, live: LiveSession) -> Deferred[None]:
        """End a session, for every connection that uses it.  Fires when it is forgotten."""
        return self._finish(live, self._close(live))

    async def sweep(self) -> None:
        """Forget what nobody used for the idle time-out."""
        self._touch_all()
        try:
            swept = await self.store.expire(expiry(self._now(), self.options.idle_timeout))
        except StoreFailed as error:
            self.log.warn("expired sessions were not swept out: {error}", error=error)
        except Exception:
            self.log.failure("expired sessions were not swept out, by our own fault")
        else:
            if swept:
                self.log.info("{swept} expired sessions were swept out", swept=swept)

    def stats(self) -> Deferred[dict[str, Any]]:
        """Fires with ``count`` (of all), ``in_use`` (by connections now) and ``users`` (how many of each)."""
        return Deferred.fromCoroutine(self._stats())

    async def _stats(self) -> dict[str, Any]:
        users = await self.store.count()
        return {"count": sum(users.values()), "in_use": len(self._live), "users": users}

    async def _create(self, user: str) -> tuple[str, LiveSession]:
        session_id, now = new_id(self._random_bytes(ID_BYTES)), self._now()
        session = Session(digest_of(session_id), user, created=now, used=now)
        try:
            kept = await self.store.create(session, self.options.max_sessions)
        except CancelledError:
            # Nobody will ever know its id.
            self.store.delete(session.digest).addErrback(lambda _: None)
            raise
        if not kept:
            raise ProtocolError("full", f"there are {self.options.max_sessions} sessions already")
        return session_id, self._hold(session)

    async def _resume(self, session_id: str, user: str) -> LiveSession:
        digest = digest_of(session_id)
        live = self._live.get(digest)
        session = live.session if live else await self.store.get(digest)
        if session is None:
            raise _no_session()
        now = self._now()
        if digest in self._live:
            session.used = now  # what is in use does not expire
        if not may_resume(session, session_id, user, now, self.options.idle_timeout):
            raise _no_session()
        return self._hold(session)

    async def _set(self, live: LiveSession, key: str, value: str) -> None:
        check_key(key)
        async with live.changes:
            session = self._use(live)
            size = self._limits.check(session.data, live.size, key, value)
            await self._store(live, {key: value})
            session.data[key] = value
            live.size = size

    async def _delete(self, live: LiveSession, key: str) -> bool:
        async with live.changes:
            session = self._use(live)
            if key not in session.data:
                return False
            await self._store(live, {key: None})
            live.size -= weight(key, session.data.pop(key))
            return True

    async def _close(self, live: LiveSession) -> None:
        async with live.changes:
            session = self._use(live)
            await self.store.delete(session.digest)
            self._forget(live)

    async def _store(self, live: LiveSession, changes: dict[str, str | None]) -> None:
        session = live.session
        if not await self.store.change(session.digest, changes, session.used, session.requests):
            self._forget(live)
            raise _no_session()

    def _finish(self, live: LiveSession, change: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Make a change to its end, and hold the session meanwhile, whether or not its connection stays."""
        live.uses += 1
        done = Deferred.fromCoroutine(change)

        def release(result: Any) -> Any:
            self.release(live)
            return result

        return shield(done.addBoth(release))

    def _use(self, live: LiveSession) -> Session:
        """Count one more request of a session that is still there."""
        if live.gone:
            raise _no_session()
        live.session.requests += 1
        live.session.used = self._now()
        return live.session

    def _hold(self, session: Session) -> LiveSession:
        """One connection more uses it.  Two may have fetched it at the same time: the first one's counts."""
        live = self._live.setdefault(session.digest, LiveSession(session))
        live.uses += 1
        return live

    def _forget(self, live: LiveSession) -> None:
        live.gone = True
        del self._live[live.session.digest]

    def _touch(self, live: LiveSession) -> None:
        session = live.session
        session.used = self._now()
        self.store.touch(session.digest, session.used, session.requests)

    def _touch_all(self) -> None:
        for live in self._live.values():
            self._touch(live)


def _no_session() -> ProtocolError:
    return ProtocolError("no-session", "there is no such session, or no longer, or it is another user's")
