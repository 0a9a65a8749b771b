"""Asks servers whether they are well: how (:class:`TCPCheck`), and when (:class:`HealthChecker`).

:mod:`tcpsuite.core.health` says what the answers mean.
"""

from __future__ import annotations

import random
import re
import socket
from typing import TYPE_CHECKING, Any

from attrs import define
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.core.health import RiseFall, Schedule
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.endpoints import failure_text, timed_out
from tcpsuite.net.shortage import Complaints, is_shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, ITCPTransport
    from twisted.python.failure import Failure

    from tcpsuite.core.servers import Server

_PLAIN_TCP = re.compile(r"tcp:(?P<host>(?:[^:\\=]|\\:)+):(?P<port>\d+)")

UNCHECKED: Mapping[str, Any] = {"since": None, "checks": {"ok": 0, "failed": 0}}
"""What :meth:`HealthChecker.status` says of a server before its first check."""


@implementer(IHealthCheck)
class TCPCheck:
    """Well is who lets us connect.

    A plain ``tcp:`` server is only knocked at: on Linux the handshake is left before its last packet, with a
    reset in its place, so that its program never sees a connection, and has nothing to log.  Any other is
    connected to and closed in order: a FIN without a byte before it is quieter than a reset in most logs.

    :param reactor: an ``IReactorTCP`` and ``IReactorTime``.
    :param timeout: seconds until a server that says nothing has failed.
    """

    def __init__(self, reactor: Any, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<TCPCheck timeout={self._timeout:g}>"

    def check(self, server: Server) -> Deferred[Outcome]:
        """Connect to ``server``, and leave."""
        begun = self._reactor.seconds()

        def outcome(failure: Failure | None = None) -> Outcome:
            seconds = self._reactor.seconds() - begun
            if failure is None:
                return Outcome(True, seconds=seconds)
            return Outcome(False, failure_text(failure), seconds, local=is_shortage(failure))

        asking = maybeDeferred(self._ask, server.address)
        asking.addTimeout(self._timeout, self._reactor, onTimeoutCancel=timed_out)
        return asking.addCallbacks(lambda _: outcome(), outcome)

    def _ask(self, address: str) -> Deferred[None]:
        if plain := _PLAIN_TCP.fullmatch(address):
            knock = _Knock()
            host = plain["host"].replace("\\:", ":")
            # The time-out is kept by who asks.
            knock.connector = self._reactor.connectTCP(host, int(plain["port"]), knock, timeout=None)
            return knock.answered
        visit = _Visit()
        connecting: Deferred[_Visit] = connectProtocol(clientFromString(self._reactor, address), visit)
        return connecting.addCallback(lambda _: visit.over)


class _Visit(Protocol):
    """Closes in order once it is connected.

    :ivar over: fires when the connection is gone; cancelling it resets the connection.
    """

    transport: ITCPTransport

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        """The server is well."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whatever it ended with, it was made."""
        if not self.over.called:
            self.over.callback(None)


class _Knock(ClientFactory):
    """One handshake that is left before its end.

    :ivar answered: fires when the server has answered and the connection is gone.
    """

    noisy = False
    connector: IConnector

    def __init__(self) -> None:
        self.answered: Deferred[None] = Deferred(lambda _: self.connector.disconnect())

    def startedConnecting(self, connector: IConnector) -> None:
        """Hold the last packet of the handshake back, as for data that would go with it."""
        handle = getattr(getattr(connector, "transport", None), "socket", None)
        if handle is not None and hasattr(socket, "TCP_QUICKACK"):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    def buildProtocol(self, addr: IAddress | None) -> _Leave:
        return _Leave(self.answered)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """The server refused, or is not there."""
        if not self.answered.called:
            self.answered.errback(reason)


class _Leave(Protocol):
    """Resets the connection in the moment it is made."""

    transport: ITCPTransport

    def __init__(self, answered: Deferred[None]) -> None:
        self._answered = answered

    def connectionMade(self) -> None:
        """The server is well."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone, as it was to be."""
        if not self._answered.called:
            self._answered.callback(None)


@define(eq=False)
class _Watched:
    """One server, what is known of its health, and what is under way."""

    server: Server
    health: RiseFall
    ok: int = 0
    failed: int = 0
    next: IDelayedCall | None = None
    asking: Deferred[None] | None = None


class HealthChecker:
    """Checks servers again and again, and writes down whether they are up.

    :param upstream: its name, for the log.
    :param servers: their ``up`` and ``last_error`` are kept here.
    :param check: asks one server once.
    :param reactor: an ``IReactorTime``.
    :param health: makes the rise and fall counts of one server.
    :param schedule: when to ask next.
    :param chance: drawn from, so that the checks of many servers do not come at once.
    """

    log = Logger()

    def __init__(
        self,
        upstream: str,
        servers: Sequence[Server],
        check: IHealthCheck,
        reactor: Any,
        *,
        health: Callable[[], RiseFall] = RiseFall,
        schedule: Schedule | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._upstream = upstream
        self._watched = {server.name: _Watched(server, health()) for server in servers}
        self._check = check
        self._reactor = reactor
        self._schedule = schedule or Schedule()
        self._chance = chance or random.SystemRandom()
        self._complaints = Complaints(upstream, reactor)
        self._running = False

    def __repr__(self) -> str:
        up = sum(watched.health.up for watched in self._watched.values())
        state = "running" if self._running else "stopped"
        return f"<HealthChecker {self._upstream} {state} up={up} of {len(self._watched)}>"

    def start(self) -> None:
        """Begin to check every server."""
        self._running = True
        for watched in self._watched.values():
            self._wait(watched)

    def stop(self) -> None:
        """Check no more; what is under way is given up."""
        self._running = False
        for watched in self._watched.values():
            if watched.next is not None and watched.next.active():
                watched.next.cancel()
            if watched.asking is not None:
                watched.asking.cancel()

    def status(self, server: Server) -> dict[str, Any]:
        """What is known of a server: ``since`` when it is what it is (on the reactor's clock, ``None`` before
        the first check), and ``checks`` by how they ended.
        """
        watched = self._watched[server.name]
        return {"since": watched.health.since, "checks": {"ok": watched.ok, "failed": watched.failed}}

    def _wait(self, watched: _Watched) -> None:
        delay = self._schedule.wait(watched.health, self._chance.random())
        watched.next = self._reactor.callLater(delay, self._ask, watched)

    def _ask(self, watched: _Watched) -> None:
        asking = maybeDeferred(self._check.check, watched.server)
        watched.asking = asking.addErrback(self._broken).addCallback(self._observe, watched)

    def _broken(self, failure: Failure) -> Outcome:
        """A check gives an outcome whatever happens; one that does not is at fault itself."""
        if self._running:
            self.log.failure("the health check {check!r} is broken", failure, check=self._check)
        return Outcome(False, f"the check is broken: {failure.getErrorMessage()}")

    def _observe(self, outcome: Outcome, watched: _Watched) -> None:
        watched.asking = None
        if not self._running:
            return
        if outcome.local:
            self._complaints.complain(outcome.error)
            watched.next = self._reactor.callLater(self._schedule.fast_interval, self._ask, watched)
        else:
            self._count(outcome, watched)
            self._wait(watched)

    def _count(self, outcome: Outcome, watched: _Watched) -> None:
        server = watched.server
        if outcome.ok:
            watched.ok += 1
        else:
            watched.failed += 1
            server.last_error = outcome.error
        transition = watched.health.observe(outcome, self._reactor.seconds())
        server.up = watched.health.up
        if transition is not None:
            say = self.log.info if transition.up else self.log.warn
            say(
                "server {server} of {upstream} is {state}: {reason}",
                server=server.name,
                upstream=self._upstream,
                state="up" if transition.up else "down",
                reason=transition.reason,
            )
