"""A few words with a server, by a script of :mod:`tcpsuite.core.scripts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.core.scripts import LIMIT, Unwell, shown
from tcpsuite.interfaces import IHealthCheck
from tcpsuite.net.checks.asking import Endpoints, ask, visit
from tcpsuite.net.endpoints import lost_before

if TYPE_CHECKING:
    from twisted.internet.interfaces import ITCPTransport

    from tcpsuite.core.scripts import Script
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import Outcome


@implementer(IHealthCheck)
class TalkCheck:
    """Well is who answers as the script expects.

    The server is connected to as its address says, TLS included.  The seconds of a good outcome are those of
    the answer: from our last byte, or from the end of the handshakes when the server speaks first, until it
    is complete.  At most 16 KiB of an answer are looked at.

    :param reactor: an ``IReactorTCP``, ``IReactorUNIX`` and ``IReactorTime``.
    :param timeout: seconds for all of it, from the connecting to the end of the connection.
    :param script: what to say, and what to make of the answer.
    """

    def __init__(self, reactor: Any, timeout: float, script: Script) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._script = script
        self._endpoints = Endpoints(lambda server: clientFromString(reactor, server.address))

    def __repr__(self) -> str:
        return f"<TalkCheck {self._script!r} timeout={self._timeout:g}>"

    def check(self, server: Server) -> Deferred[Outcome]:
        """Connect to ``server``, ask, and leave."""

        def begin() -> Deferred[float | None]:
            talk = _Talk(self._reactor, self._script, server)
            connecting = visit(self._endpoints.to(server), talk)
            return connecting.addCallback(lambda _: talk.over)

        return ask(self._reactor, self._timeout, begin)


@implementer(IHandshakeListener)
class _Talk(Protocol):
    """One conversation.

    :ivar over: fires with the seconds of the answer, or fails, when the connection is gone.  Cancelling it
        resets the connection; an answer that was complete by then is one.
    """

    transport: ITCPTransport

    def __init__(self, reactor: Any, script: Script, server: Server) -> None:
        self.over: Deferred[float | None] = Deferred(self._cancelled)
        self._reactor = reactor
        self._script = script
        self._server = server
        self._said = b""
        self._asked = 0.0
        self._verdict: float | Exception | None = None

    def connectionMade(self) -> None:
        """Begin; through TLS, when that is there."""
        if not ISSLTransport.providedBy(self.transport):
            self._begin()

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        self._begin()

    def dataReceived(self, data: bytes) -> None:
        """A part of the answer."""
        if self._verdict is not None:
            return  # a goodbye
        self._said += data[: LIMIT - len(self._said)]
        try:
            if self._script.heard(self._said):
                self._leave(self._reactor.seconds() - self._asked)
            elif len(self._said) == LIMIT:
                self._leave(Unwell(f"no answer in {LIMIT} bytes, which begin with {shown(self._said)}"))
        except Unwell as unwell:
            self._leave(unwell)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Over, by us or by the server."""
        if not self.over.called:
            self._end(reason)

    def _begin(self) -> None:
        self._asked = self._reactor.seconds()
        self.transport.write(self._script.opening(self._server))

    def _leave(self, verdict: float | Exception) -> None:
        self._verdict = verdict
        if self._script.parting and not isinstance(verdict, Exception):
            self.transport.write(self._script.parting)  # the server closes when it has read that
        else:
            self.transport.loseConnection()

    def _cancelled(self, over: Deferred[float | None]) -> None:
        self.transport.abortConnection()
        if isinstance(self._verdict, float):
            over.callback(self._verdict)

    def _end(self, reason: Failure) -> None:
        match self._verdict:
            case Exception() as unwell:
                self.over.errback(unwell)
            case None:
                answer = f"the answer {shown(self._said)} was complete" if self._said else "an answer"
                self.over.errback(lost_before(answer, reason))
            case seconds:
                self.over.callback(seconds)
