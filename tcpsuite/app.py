"""How do the parts meet?  Here, and nowhere else.

:func:`build` turns a configuration into a :class:`Suite`, a Twisted service.  Building opens what is served
(a root directory, a password file) and nothing else; starting opens the store, then the ports, then the
upstreams.
"""

from __future__ import annotations

import os
import random
import secrets
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.admin.access_log import AccessLog
from tcpsuite.admin.http import AdminListener
from tcpsuite.admin.manhole import Manhole
from tcpsuite.config.tuning import descriptors_for, room_for
from tcpsuite.core.connections import Ledger, Reason
from tcpsuite.core.limits import Ceiling
from tcpsuite.errors import StartError
from tcpsuite.interfaces import IServiceContext, IShrinkable
from tcpsuite.net import resolving
from tcpsuite.net.admission import Admission
from tcpsuite.net.assembly import build_upstream
from tcpsuite.net.attaching.attachments import build_attachments
from tcpsuite.net.auth import Authenticator
from tcpsuite.net.bounds import Bounds
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.listener import Listener
from tcpsuite.net.mux.trunks import close_trunks
from tcpsuite.net.notify import Notifier
from tcpsuite.net.overload import Garbage, Overload
from tcpsuite.net.refusing import Refusal
from tcpsuite.net.sessions import SessionManager
from tcpsuite.net.steady import steady_time
from tcpsuite.plugin import service_types
from tcpsuite.stores.affinity import AffinityFile
from tcpsuite.stores.memory import MemoryStore
from tcpsuite.stores.redis.making import InRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from twisted.internet.interfaces import IProtocolFactory
    from twisted.python.failure import Failure

    from tcpsuite.config import Config, ListenerConfig
    from tcpsuite.interfaces import ISessionStore
    from tcpsuite.net.limiting import ServiceLimits
    from tcpsuite.net.session_options import SessionRules
    from tcpsuite.net.upstream import Upstream

CLOSING_TIME = 5.0
"""Seconds, behind the drain, in which stores and the admin listener are surely closed."""


def build(config: Config, reactor: Any, ready: Callable[[Suite], None] = lambda _: None) -> Suite:
    """The service that does what ``config`` asks for.

    :param ready: called with the service, once, when everything is open and the reactor runs.
    :raises StartError: when something that is to be served is not there.
    """
    return Suite(config, reactor, ready)


class Suite(Service):
    """One process's listeners, upstreams and sessions, and what looks at them.

    Starting fails with :class:`~tcpsuite.errors.StartError`, and leaves nothing open.  The Deferred of
    ``stopService`` fires when every connection has ended, soon after the drain time-out at the latest.

    :ivar ledger: the records of all connections.
    :ivar listeners: by name, in the order of the configuration.
    :ivar limiters: by the name of the listener.
    :ivar shared_limits: what asks the others about shared limits, or ``None`` when there are none.
    :ivar upstreams: by name.
    :ivar overload: what watches memory and lag.
    :ivar sessions: the session manager, or ``None`` when no listener serves sessions.
    :ivar attachments: what its sessions are attached to, or ``None`` when they cannot be.
    :ivar started_at: when everything was open, on the reactor's clock; ``None`` before.
    :ivar draining: whether it is being stopped.
    :ivar failure: why the start failed after the reactor had begun to run, and so stopped it.
    """

    log = Logger()

    def __init__(self, config: Config, reactor: Any, ready: Callable[[Suite], None]) -> None:
        self.config = config
        self.reactor = reactor
        self.ledger = Ledger(config.admin.past_connections)
        self.started_at: float | None = None
        self.draining = False
        self.failure: BaseException | None = None
        self._ready = ready
        self.sessions: SessionManager | None = None
        self._opening: Deferred[Any] | None = None
        self._closing = DeferredLock()  # who stops it a second time waits for the first
        _make_folders(config)
        self.authenticator = Authenticator.build(config.auth, reactor) if config.auth.passwords else None
        self._access_log = AccessLog(config.access_log, reactor)
        self._notifier = Notifier.from_environment()
        self._ids = _connection_ids()
        chance = random.SystemRandom()
        self.upstreams: dict[str, Upstream] = {
            name: build_upstream(name, options, reactor, chance) for name, options in config.upstreams.items()
        }
        self.attachments = build_attachments(config.sessions, self.upstreams, reactor)
        self.overload = Overload(config.overload, reactor, self._rest)
        self._affinity = self._affinity_file()
        self._room = room_for(config)
        self._now = steady_time()
        self._redis = InRedis(
            config.redis, reactor, partial(server_endpoint, reactor), failure_text, self._now
        )
        shared = any(table.limits.shared for table in config.listeners.values())
        self.shared_limits = self._redis.limits() if shared else None
        self._bounds = Bounds(self.ledger, reactor, self.shared_limits)
        self.deadlines = Deadlines(reactor)
        self.limiters = self._bounds.limiters
        self.listeners: dict[str, Listener] = {
            name: self._listener(name, table) for name, table in config.listeners.items()
        }
        self.overload.memory.shrinkables += self._shrinkables()
        self.admin = AdminListener(config.admin, self, reactor)
        self.manhole = Manhole(config.manhole, config.state_directory, self, reactor)

    def __repr__(self) -> str:
        state = "draining" if self.draining else "built" if self.started_at is None else "running"
        return f"<Suite {state} listeners={len(self.listeners)} connections={len(self.ledger)}>"

    def privilegedStartService(self) -> None:
        """Open everything, while the process may still open low ports.

        :raises StartError: naming what could not be opened, and why.
        """
        self._start()

    def startService(self) -> None:
        """Open everything, unless it is open already."""
        super().startService()  # type: ignore[no-untyped-call]
        self._start()

    def stopService(self) -> Deferred[None]:
        """Accept nothing more, let connections finish for the drain time-out, cut them, close the rest."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._closing.run(lambda: Deferred.fromCoroutine(self._stop()))

    def cut(self) -> None:
        """End every connection now; a drain under way is over with that."""
        for listener in self.listeners.values():
            listener.cut(Reason.CUT, "the operator was in a hurry")
        for upstream in self.upstreams.values():
            upstream.cut()

    def session_manager(self) -> SessionManager:
        """The one session manager, made when the first service asks for it."""
        if self.sessions is None:
            options = self.config.sessions
            self.sessions = SessionManager(
                self._session_store(options),
                self.reactor,
                options,
                connections=self.attachments,
                now=self._now,
            )
        return self.sessions

    def _affinity_file(self) -> AffinityFile | None:
        tables = {name: each.affinity.table for name, each in self.upstreams.items() if each.affinity}
        return AffinityFile.on(self.reactor, self.config.state_directory, tables) if tables else None

    def _session_store(self, options: SessionRules) -> ISessionStore:
        if options.store == "memory":
            return MemoryStore(self.reactor)
        if options.store == "redis":
            return self._redis.sessions()
        # A database is a megabyte of memory, and most have no sessions.
        from tcpsuite.stores.sqlite import SQLiteStore

        return SQLiteStore.on(self.reactor, os.path.join(self.config.state_directory, options.path))

    def _listener(self, name: str, table: ListenerConfig) -> Listener:
        """One listener: its service, its admission before it, its endpoints before that."""
        listener = Listener(
            name,
            table.service,
            table.endpoint,
            table.idle_timeout,
            self.reactor,
            table.socket,
            table.write_timeout,
            table.mux,
        )
        limits = table.limits
        bound = self._bounds.build(name, limits, table.socket.high_water)
        service = self._service(name, table, bound.service)
        held = Ceiling(limits.tarpit_connections, self._room)
        listener.admission = Admission(
            listener=name,
            service_name=table.service,
            service=service,
            limiter=bound.limiter,
            ceiling=Ceiling(table.limits.connections, self._room, descriptors_for(table, self.config)),
            pause=listener.rest,
            ledger=self.ledger,
            ended=self._access_log.write,
            ids=self._ids,
            clock=self.reactor,
            deadlines=self.deadlines,
            first_byte_timeout=table.first_byte_timeout,
            high_water=table.socket.high_water,
            refusal=Refusal(limits.reject, service, self.reactor, held, limits.tarpit_time),
            throttling=bound.throttling,
        )
        return listener

    def _service(self, name: str, table: ListenerConfig, limits: ServiceLimits) -> IProtocolFactory:
        try:
            return service_types()[table.service].build(table.options, _Context(self, name, limits))
        except StartError as error:
            raise StartError(f"listener {name}: {error}") from error
        except Exception as error:
            # Somebody's service may raise anything, and its own words are all there is to tell.
            raise StartError(f"listener {name}: the service {table.service} is broken: {error!r}") from error

    def _shrinkables(self) -> Iterator[IShrinkable]:
        """What can give memory back; garbage last, for the others make some."""
        for upstream in self.upstreams.values():
            yield upstream.members
        yield self.ledger
        for listener in self.listeners.values():
            if IShrinkable.providedBy(listener.admission.service):
                yield listener.admission.service
        yield Garbage()

    def _rest(self, wanted: bool, cause: str) -> None:
        """Have every listener accept nobody, or go on.  Who looks in comes through one of its own."""
        for listener in self.listeners.values():
            listener.rest(wanted, cause)

    def _start(self) -> None:
        """Open everything.  What fails at once is raised; what fails later stops the reactor."""
        if self._opening is not None:
            return
        self._opening = Deferred.fromCoroutine(self._open())
        failures: list[Failure] = []
        self._opening.addErrback(failures.append)
        if failures:
            failures[0].raiseException()
        self._opening.addCallback(lambda _: self._give_up(failures[0]) if failures else None)

    def _give_up(self, failure: Failure) -> None:
        self.failure = failure.value
        self.log.critical("the start failed: {error}", error=failure.getErrorMessage())
        self.reactor.callWhenRunning(self.reactor.stop)

    async def _open(self) -> None:
        try:
            self._access_log.open()
            resolving.install(self.reactor)
            if self._affinity is not None:
                self._affinity.open()
            if self.shared_limits is not None:
                self.shared_limits.start()
            # Before the ports: it may take seconds, and who came meanwhile would wait for them.
            if self.sessions is not None:
                self.sessions.store.open()
            doors: list[Any] = [*self.listeners.values(), self.admin, self.manhole]
            for door in doors:
                await door.start()
        except BaseException:
            # Not waited for: while the reactor does not run, no port is ever seen closed.
            self.stopService().addErrback(lambda failure: self.log.failure("while closing", failure))
            raise
        if self.sessions is not None:
            self.sessions.start()
        for upstream in self.upstreams.values():
            upstream.start()
        self.overload.start(watched=bool(self.config.admin.endpoint))
        if self._affinity is not None:
            self._affinity.start()
        self._bounds.start()
        self.started_at = self.reactor.seconds()
        self.reactor.callWhenRunning(self._running)

    def _running(self) -> None:
        self._notifier.ready(f"{len(self.listeners)} listeners")
        self._ready(self)

    async def _stop(self) -> None:
        patience = self.config.drain_timeout
        over = self.reactor.seconds() + patience
        self.draining = True
        self._bounds.stop()
        if self.started_at is not None:
            self._notifier.stopping(patience + CLOSING_TIME, f"draining {len(self.ledger)} connections")
        for upstream in self.upstreams.values():
            upstream.drain()
        if self.attachments is not None:
            self.attachments.drain(patience)
        await _all(listener.stop(patience) for listener in self.listeners.values())
        if self.attachments is not None:
            self.attachments.stop()
        # A server may still have to take what a client that has gone has sent.
        left = max(0.0, over - self.reactor.seconds())
        await _all(upstream.stop(left) for upstream in self.upstreams.values())
        await close_trunks(self.reactor)
        if self.shared_limits is not None:
            await self.shared_limits.stop()
        if self._affinity is not None:
            await self._affinity.stop()
        if self.sessions is not None:
            await self.sessions.stop()
        self.overload.stop()
        # Last, so that one can look in to the end.
        await self.admin.stop()
        await self.manhole.stop()
        self._access_log.close()


async def _all(stops: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all of them, side by side."""
    await gatherResults([Deferred.fromCoroutine(stop) for stop in stops], consumeErrors=True)


@implementer(IServiceContext)
@frozen
class _Context:
    """What the service of one listener may use."""

    suite: Suite
    listener: str
    limits: ServiceLimits

    @property
    def reactor(self) -> Any:
        return self.suite.reactor

    @property
    def deadlines(self) -> Deadlines:
        return self.suite.deadlines

    @property
    def allow_plaintext(self) -> bool:
        return self.suite.config.auth.allow_plaintext

    def upstream(self, name: str) -> Upstream:
        return self.suite.upstreams[name]

    def sessions(self) -> SessionManager:
        return self.suite.session_manager()

    def authenticator(self) -> Authenticator | None:
        return self.suite.authenticator


def _connection_ids() -> Iterator[str]:
    """Ids that are short to say, and that no other run of the process gives."""
    run = secrets.token_hex(3)
    return (f"{run}-{number:x}" for number in count(1))


def _make_folders(config: Config) -> None:
    """Make the state directory, and the sample that the demonstration serves, when they are wanted."""
    serves = {table.service for table in config.listeners.values()}
    sample = any(
        getattr(table.options, "root", "") == config.sample_directory for table in config.listeners.values()
    )
    manhole = config.manhole.enabled or config.manhole.ssh
    sticks = any(upstream.affinity != "off" for upstream in config.upstreams.values())
    if not (sample or manhole or sticks or ("session" in serves and config.sessions.store == "sqlite")):
        return
    try:
        os.makedirs(config.state_directory, mode=0o700, exist_ok=True)
        if sample:
            from tcpsuite.services.files.sample import make_sample

            make_sample(config.sample_directory)
    except OSError as error:
        raise StartError(f"state_directory: {error.filename}: {error.strerror}") from None
