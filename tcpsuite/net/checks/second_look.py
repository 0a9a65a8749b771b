"""What tells a server that resets whoever comes from one that some client has made reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.alarm import Alarm
from tcpsuite.net.checks.asking import Endpoints, ask, visit
from tcpsuite.net.endpoints import lost_before
from tcpsuite.net.shield import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import ITCPTransport
    from twisted.python.failure import Failure

    from tcpsuite.core.servers import Server

WHILE = 1.0
"""Seconds: who resets whoever comes does so at once, and who resets the silent gives them longer."""


@implementer(IHealthCheck)
class InTurn:
    """Well is who is well by each of some checks; the first that says otherwise decides.

    :param checks: asked one after the other.
    :param clock: an ``IReactorTime``.
    :param patience: seconds after which a check that has not ended by itself is given up, and has failed.
    """

    def __init__(self, checks: Sequence[IHealthCheck], clock: Any, patience: float) -> None:
        self._checks = checks
        self._clock = clock
        self._patience = patience

    def __repr__(self) -> str:
        return f"<InTurn {', '.join(map(repr, self._checks))}>"

    def check(self, server: Server) -> Deferred[Outcome]:
        """Ask ``server`` as each of them does."""
        return Deferred.fromCoroutine(self._check(server))

    async def _check(self, server: Server) -> Outcome:
        outcome = Outcome(True)
        for check in self._checks:
            asked = maybeDeferred(check.check, server)
            outcome = await within(self._clock, self._patience, asked, self._late)
            if not outcome.ok:
                break
        return outcome

    def _late(self) -> Outcome:
        return Outcome(False, f"the check is broken: it did not end within {self._patience:g} s")


@implementer(IHealthCheck)
class StayCheck:
    """Well is who lets a connection be on which nothing is said.

    For a while only: who says something until then, or does nothing at all, is well.  Who resets it is not,
    nor is who closes it without a word: there is nothing that it could have disliked.

    :param reactor: an ``IReactorTCP``, ``IReactorUNIX`` and ``IReactorTime``.
    :param timeout: seconds for all of it.
    :param seconds: how long it stays, once it is connected, and over TLS has shaken hands.
    """

    def __init__(self, reactor: Any, timeout: float, seconds: float = WHILE) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._seconds = seconds
        self._endpoints = Endpoints(lambda server: clientFromString(reactor, server.address))

    def __repr__(self) -> str:
        return f"<StayCheck seconds={self._seconds:g} timeout={self._timeout:g}>"

    def check(self, server: Server) -> Deferred[Outcome]:
        """Connect to ``server``, say nothing for a while, and leave."""

        def begin() -> Deferred[float | None]:
            stay = _Stay(self._reactor, self._seconds)
            return visit(self._endpoints.to(server), stay).addCallback(lambda _: stay.over)

        return ask(self._reactor, self._timeout, begin)


@implementer(IHandshakeListener)
class _Stay(Protocol):
    """Says nothing.

    :ivar over: fires when the connection is gone; fails when the server has ended it without a word.
        Cancelling it resets the connection.
    """

    transport: ITCPTransport

    def __init__(self, reactor: Any, seconds: float) -> None:
        self.over: Deferred[float | None] = Deferred(self._cancelled)
        self._seconds = seconds
        self._alarm = Alarm(reactor, self._leave)
        self._reactor = reactor
        self._well = False

    def connectionMade(self) -> None:
        """Stay for a while; through TLS, when that is there."""
        if not ISSLTransport.providedBy(self.transport):
            self._stay()

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        self._stay()

    def dataReceived(self, data: bytes) -> None:
        """The server speaks."""
        self._leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Over, by us or by the server."""
        self._alarm.stop()
        if self.over.called:
            return
        if self._well:
            self.over.callback(None)
        else:
            self.over.errback(lost_before("anything was said", reason))

    def _stay(self) -> None:
        self._alarm.set(self._reactor.seconds() + self._seconds)

    def _leave(self) -> None:
        self._well = True
        self.transport.loseConnection()

    def _cancelled(self, over: Deferred[float | None]) -> None:
        self.transport.abortConnection()
        if self._well:  # it says no goodbye, which is none of its faults
            over.callback(None)
