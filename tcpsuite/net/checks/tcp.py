"""Well is who lets us connect."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.interfaces import IHealthCheck
from tcpsuite.net.checks.asking import Endpoints, ask, visit

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IConnector, ITCPTransport
    from twisted.python.failure import Failure

    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import Outcome

_PLAIN_TCP = re.compile(r"tcp:(?P<host>(?:[^:\\=]|\\:)+):(?P<port>\d+)")


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
        self._endpoints = Endpoints(lambda server: clientFromString(reactor, server.address))

    def __repr__(self) -> str:
        return f"<TCPCheck timeout={self._timeout:g}>"

    def check(self, server: Server) -> Deferred[Outcome]:
        """Connect to ``server``, and leave."""
        return ask(self._reactor, self._timeout, lambda: self._ask(server))

    def _ask(self, server: Server) -> Deferred[float | None]:
        if plain := _PLAIN_TCP.fullmatch(server.address):
            knock = _Knock()
            host = plain["host"].replace("\\:", ":")
            # The time-out is kept by who asks.
            knock.connector = self._reactor.connectTCP(host, int(plain["port"]), knock, timeout=None)
            return knock.answered
        visitor = _Visit()
        return visit(self._endpoints.to(server), visitor).addCallback(lambda _: visitor.over)


class _Visit(Protocol):
    """Closes in order once it is connected.

    :ivar over: fires when the connection is gone; cancelling it resets the connection.
    """

    transport: ITCPTransport

    def __init__(self) -> None:
        self.over: Deferred[float | None] = Deferred(lambda _: self.transport.abortConnection())

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
        self.answered: Deferred[float | None] = Deferred(lambda _: self.connector.disconnect())

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

    def __init__(self, answered: Deferred[float | None]) -> None:
        self._answered = answered

    def connectionMade(self) -> None:
        """The server is well."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone, as it was to be."""
        if not self._answered.called:
            self._answered.callback(None)
