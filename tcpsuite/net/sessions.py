"""Sessions: a client's state with an id, that outlives its connection.

A session that a connection has opened or resumed is in use: it is held in memory, read from there, and not
idle.  Each change is stored before it is answered.  Several connections may use one session at once: they
see each other's changes, which are made one after the other, and for each key the last one stands.

Where other processes share the store, what is held is looked at again before each answer, and a change that
was made in ignorance of another one is thought over.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from tcpsuite.core.session_events import Destroyed, Expired, Left, Opened, Resumed
from tcpsuite.core.sessions import ANONYMOUS, DataLimits, Lifetime, Session, digest_of, may_resume
from tcpsuite.core.sweeping import SWEEPS, Settling
from tcpsuite.errors import Closed, StoreFailed
from tcpsuite.net.session_connections import SessionConnection
from tcpsuite.net.session_data import LiveSession, SessionData, no_session
from tcpsuite.net.session_journal import SessionJournal
from tcpsuite.net.session_opening import SessionOpening
from tcpsuite.net.session_options import SessionRules
from tcpsuite.net.shield import shield
from tcpsuite.net.steady import steady_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.core.session_events import Event
    from tcpsuite.interfaces import ISessionStore
    from tcpsuite.net.session_connections import Owned, Owning

T = TypeVar("T")

DEFAULTS = SessionRules()
AT_ONCE = 1000
"""Sessions that a sweep looks at before it lets others have their turn: a millisecond's work."""


class SessionManager:
    """Opens, resumes and ends sessions, keeps their data, and has their connections.

    It refuses with :class:`~tcpsuite.errors.ProtocolError` and a code: ``no-session``, ``full``, ``key``,
    ``user``; a store that fails gives :class:`~tcpsuite.errors.StoreFailed`.  A change whose Deferred is
    cancelled is made all the same.

    :param store: open already; closed by :meth:`stop`.
    :param clock: an ``IReactorTime``, for the sweep.
    :param connections: where each session gets a connection of its own: ``SessionConnections``, for
        :meth:`execute`, or ``Attachments``.
    :param observer: called with each of :mod:`tcpsuite.core.session_events`.
    :param random_bytes: gives so many bytes that nobody can predict.
    :param now: seconds since the epoch, by a clock of this machine that does not jump.
    """

    log = Logger()

    def __init__(
        self,
        store: ISessionStore,
        clock: IReactorTime,
        options: SessionRules = DEFAULTS,
        *,
        connections: Owning | None = None,
        observer: Callable[[Event], object] | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.store = store
        self.options = options
        self.connections = connections
        self._data = SessionData(store, DataLimits(options.max_keys, options.max_bytes), self._forget)
        self._lifetime = Lifetime(options.idle_timeout, options.max_age)
        limits = options.max_sessions, options.max_per_user
        self._opening = SessionOpening(store, *limits, random_bytes)
        self._here = now or steady_time()
        self._live: dict[bytes, LiveSession] = {}
        self._own: dict[bytes, Owned] = {}
        self._journal = SessionJournal(observer)
        self._uses = 0
        self._interval = min(options.sweep_interval, options.idle_timeout / SWEEPS)
        self._settling = Settling(self._interval)
        self._sweeping = LoopingCall(self.sweep)
        self._sweeping.clock = clock

    def __repr__(self) -> str:
        return f"<SessionManager in use={len(self._live)} {self.store!r}>"

    @property
    def fault(self) -> str:
        """Why the store is of no use, as far as is known; empty while it works."""
        return self.store.fault

    def start(self) -> None:
        """Sweep out what has expired, now and at each interval."""
        self._sweeping.start(self._interval)

    def stop(self) -> Deferred[None]:
        """End the sweep, give the sessions' connections back, close the store.

        Fires when all is stored; call it when no connection is left.
        """
        if self._sweeping.running:
            self._sweeping.stop()
        for digest in tuple(self._own):
            self._give_back(digest)
        for live in self._live.values():
            self._touch(live)
        return self.store.close()

    def create(self, user: str) -> Deferred[tuple[str, LiveSession]]:
        """Open a session for ``user``.

        :return: fires with its id, which is told only here, and the session, in use, when it is stored; fails
            with ``full`` when there are too many, in all or of that user, and with ``user`` when nobody can
            be called so.
        """
        return self._journal.tell_refusal(user, Deferred.fromCoroutine(self._create(user)))

    def resume(self, session_id: str, user: str) -> Deferred[LiveSession]:
        """Go on with a session.

        :return: fires with the session, in use; fails with ``no-session`` when there is none of that id, when
            it has expired, or when another user opened it: which of these is not told, and takes no time of
            its own.
        """
        return self._journal.tell_refusal(user, Deferred.fromCoroutine(self._resume(session_id, user)))

    def get(self, live: LiveSession, key: str) -> Deferred[str | None]:
        """Fires with the value of a key."""
        return Deferred.fromCoroutine(self._get(live, key))

    def keys(self, live: LiveSession) -> Deferred[list[str]]:
        """Fires with all keys, sorted."""
        return Deferred.fromCoroutine(self._keys(live))

    def info(self, live: LiveSession) -> Deferred[dict[str, str | int]]:
        """Fires with what can be told of a session.  Times are seconds."""
        return Deferred.fromCoroutine(self._info(live))

    def set(self, live: LiveSession, key: str, value: str) -> Deferred[None]:
        """Give a key a value.  Fires when it is stored; fails with ``key`` or ``full``, see the limits."""
        return self._finish(live, self._set(live, key, value))

    def delete(self, live: LiveSession, key: str) -> Deferred[bool]:
        """Remove a key.  Fires, when that is stored, with whether there was one."""
        return self._finish(live, self._delete(live, key))

    def touch(self, live: LiveSession) -> None:
        """Note that it is used: its idle time begins anew, in the store too.

        :raises ProtocolError: ``no-session``, at once, when it has ended.
        """
        self._touch(self._use(live))

    def release(self, live: LiveSession) -> None:
        """One connection less uses it.  Its idle time begins when it is the last."""
        live.uses -= 1
        if not live.uses and not live.gone:
            self._touch(live)
            del self._live[live.session.digest]
            self._journal.tell(Left(live.session.digest, live.session.user))

    def destroy(self, live: LiveSession) -> Deferred[None]:
        """End a session, for every connection that uses it.  Fires when it is forgotten."""
        return self._finish(live, self._destroy(live))

    def execute(self, session_id: str, fn: Callable[[Any], Any], user: str = ANONYMOUS) -> Deferred[Any]:
        """Go on with a session, call ``fn`` with the protocol of its own connection, wait for its Deferred or
        coroutine, and leave the session.

        The connection is made when it is first wanted, and stays the session's until that ends, in this
        process: what was said on it before (a transaction, a subscription) holds.

        :return: fires with what ``fn`` gave, or fails as it, :meth:`resume` or the acquiring failed.
        """
        return Deferred.fromCoroutine(self._execute(session_id, fn, user))

    def connection(self, live: LiveSession) -> Owned:
        """A session's own connection, for whoever has the session.

        :raises ValueError: when the manager was given none to have.
        """
        session = self._use(live).session
        if session.digest not in self._own:
            if self.connections is None:
                raise ValueError("these sessions have no connections")
            self._own[session.digest] = self.connections.new(session.user)
        return self._own[session.digest]

    async def sweep(self) -> None:
        """Forget what nobody used for the idle time-out, and what is older than any session may be.

        Where others share the store, nothing is idle before they have had time to say what they use.
        """
        try:
            swept = await self._sweep()
        except Closed:
            pass  # it was stopped meanwhile
        except StoreFailed as error:
            self._settling.failed()
            self.log.warn("expired sessions were not swept out: {error}", error=error)
        except Exception:
            self.log.failure("expired sessions were not swept out, by our own fault")
        else:
            if swept:
                self.log.info("{swept} expired sessions were swept out", swept=swept)
                self._journal.tell(Expired(swept))

    def stats(self, top: int = 0) -> Deferred[dict[str, Any]]:
        """Fires with what the store holds: ``count`` (of all sessions), ``users`` (who have one),
        ``requests`` (to those that there are), and, in seconds, ``longest_age`` and ``longest_idle``; of
        those in use, as the last sweep saw them.  And with all that :meth:`figures` tells.

        :param top: so many users, of those who have most sessions, are told of under ``top``, with how many.
        """
        return Deferred.fromCoroutine(self._stats(top))

    def figures(self) -> dict[str, Any]:
        """What is known without the store: how many sessions are ``in_use`` by connections, and ``connected``
        (with a connection of their own).  Since the start of this process: ``uses``, and what
        :meth:`EventCounts.figures <tcpsuite.core.session_events.EventCounts.figures>` tells.
        """
        connected = sum(connection.connected for connection in self._own.values())
        counts = self._journal.counts.figures()
        own = {} if self.connections is None else self.connections.figures()
        return {"in_use": len(self._live), "connected": connected, "uses": self._uses, **counts, **own}

    def _now(self) -> float:
        return self._here() + self.store.ahead

    async def _sweep(self) -> int:
        await self._look_at_live()
        await self._opening.clear()
        now = self._now()
        certain = not self.store.shared or self._settling.is_over(self._sweeping.clock.seconds())
        used = self._lifetime.used_since(now) if certain else 0.0
        swept = await self.store.expire(used, self._lifetime.created_since(now))
        self._settling.answered(self._sweeping.clock.seconds())
        for digest, own in tuple(self._own.items()):
            in_use = digest in self._live
            if not (in_use or own.connected):
                self._give_back(digest)  # there will be another when it is wanted
            # Of those in use another process may have ended one.
            elif (self.store.shared or not in_use) and await self.store.head(digest) is None:
                if digest in self._live:
                    self._forget(self._live[digest])
                self._give_back(digest)
        return swept

    async def _look_at_live(self) -> None:
        """End what is too old, and note that the others are used; some at a time, for there may be many."""
        for number, live in enumerate(tuple(self._live.values()), 1):
            if self._is_over(live.session):
                self._forget(live)
            elif self._live.get(live.session.digest) is live:
                self._touch(live)
            if number % AT_ONCE == 0:
                await deferLater(self._sweeping.clock, 0)

    async def _stats(self, top: int) -> dict[str, Any]:
        totals, now = await self.store.totals(top), self._now()
        return {
            "count": totals.sessions,
            "users": totals.users,
            "top": dict(totals.top),
            "requests": totals.requests,
            "longest_age": max(0.0, now - totals.oldest),
            "longest_idle": max(0.0, now - totals.idlest),
            **self.figures(),
        }

    async def _create(self, user: str) -> tuple[str, LiveSession]:
        session_id, session = await self._opening.open(user, self._now())
        self._journal.tell(Opened(session.digest, user))
        return session_id, self._hold(session)

    async def _resume(self, session_id: str, user: str) -> LiveSession:
        digest = digest_of(session_id)
        live = self._live.get(digest)
        if live is not None and not self.store.shared and self._may(live.session, session_id, user):
            return self._resumed(self._hold(live.session))
        # Whatever speaks against it, the store is asked once, and for nothing that would take its time.
        if not self._may(await self.store.head(digest), session_id, user):
            raise no_session()
        session = await self.store.get(digest)
        if session is None:
            raise no_session()
        return self._resumed(self._hold(session))

    def _may(self, session: Session | None, session_id: str, user: str) -> bool:
        mine = may_resume(session, session_id, user)
        return mine and session is not None and not self._is_over(session)

    def _is_over(self, session: Session) -> bool:
        return self._lifetime.is_over(session, self._now(), session.digest in self._live)

    def _resumed(self, live: LiveSession) -> LiveSession:
        self._journal.tell(Resumed(live.session.digest, live.session.user))
        return live

    async def _get(self, live: LiveSession, key: str) -> str | None:
        return (await self._data.look(self._use(live))).get(key)

    async def _keys(self, live: LiveSession) -> list[str]:
        return sorted(await self._data.look(self._use(live)))

    async def _info(self, live: LiveSession) -> dict[str, str | int]:
        await self._data.look(self._use(live))
        session = live.session
        return {
            "user": session.user,
            "age": int(self._now() - session.created),
            "idle_timeout": int(self.options.idle_timeout),
            "requests": session.requests,
            "keys": len(session.data),
            "bytes": live.size,
        }

    async def _set(self, live: LiveSession, key: str, value: str) -> None:
        await self._data.set(self._use(live), key, value)

    async def _delete(self, live: LiveSession, key: str) -> bool:
        return await self._data.delete(self._use(live), key)

    async def _destroy(self, live: LiveSession) -> None:
        async with live.changes:
            session = self._use(live).session
            await self.store.delete(session.digest)
            if not live.gone:
                self._forget(live)
                self._journal.tell(Destroyed(session.digest, session.user))

    async def _execute(self, session_id: str, fn: Callable[[Any], Any], user: str) -> Any:
        live = await self.resume(session_id, user)
        try:
            connection = self.connection(live)
            if not isinstance(connection, SessionConnection):
                raise TypeError("the connections of these sessions are there to be attached to")
            return await connection.execute(fn)
        finally:
            self.release(live)

    def _finish(self, live: LiveSession, change: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Make a change to its end, and hold the session meanwhile, whether or not its connection stays."""
        live.uses += 1
        done = Deferred.fromCoroutine(change)

        def release(result: Any) -> Any:
            self.release(live)
            return result

        return shield(done.addBoth(release))

    def _use(self, live: LiveSession) -> LiveSession:
        """Count one more request of a session that is still there."""
        if self._is_over(live.session):
            self._forget(live)
        if live.gone:
            raise no_session()
        live.session.requests += 1
        live.unsaved += 1
        self._uses += 1
        live.session.used = self._now()
        return live

    def _hold(self, session: Session) -> LiveSession:
        """One connection more uses it.  Two may have fetched it at the same time: the first one's counts."""
        live = self._live.setdefault(session.digest, LiveSession(session))
        live.uses += 1
        return live

    def _forget(self, live: LiveSession) -> None:
        if not live.gone:
            live.gone = True
            del self._live[live.session.digest]
            self._give_back(live.session.digest)

    def _give_back(self, digest: bytes) -> None:
        connection = self._own.pop(digest, None)
        if connection is not None:
            connection.give_back()

    def _touch(self, live: LiveSession) -> None:
        session = live.session
        session.used = self._now()
        requests, live.unsaved = live.unsaved, 0
        self.store.touch(session.digest, session.used, requests)
