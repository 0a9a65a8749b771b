"""TLS: the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, optionsForClientTLS
from zope.interface import implementer

from tcpsuite.interfaces import IHealthCheck
from tcpsuite.net.checks.asking import Endpoints, ask, visit
from tcpsuite.net.endpoints import Parts, lost_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
    from twisted.protocols.tls import TLSMemoryBIOProtocol
    from twisted.python.failure import Failure

    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import Outcome


@implementer(IHealthCheck)
class TLSCheck:
    """Well is who completes a TLS handshake.

    A server whose address says ``tls:`` or ``ssl:`` is connected to as it says, and its certificate verified
    if the address does so.  To any other the handshake is added here.

    :param reactor: an ``IReactorTCP``, ``IReactorUNIX`` and ``IReactorTime``.
    :param timeout: seconds for all of it.
    :param host: gives the name that a server is asked for, and that its certificate must have.
    :param verify: whether the certificate must be good, by the system's authorities.
    """

    def __init__(
        self, reactor: Any, timeout: float, host: Callable[[Server], str], *, verify: bool = False
    ) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._host = host
        self._verify = verify
        self._endpoints = Endpoints(self._endpoint)

    def __repr__(self) -> str:
        return f"<TLSCheck timeout={self._timeout:g}{' verify' if self._verify else ''}>"

    def check(self, server: Server) -> Deferred[Outcome]:
        """Connect to ``server``, shake hands, and leave."""

        def begin() -> Deferred[float | None]:
            visitor = _Visit(self._reactor)
            return visit(self._endpoints.to(server), visitor).addCallback(lambda _: visitor.over)

        return ask(self._reactor, self._timeout, begin)

    def _endpoint(self, server: Server) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = clientFromString(self._reactor, server.address)
        if Parts.of(server.address).type in ("tls", "ssl"):
            return endpoint
        host = self._host(server)
        options = optionsForClientTLS(host) if self._verify else _Unverified(host)
        wrapped: IStreamClientEndpoint = wrapClientTLS(options, endpoint)
        return wrapped


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """TLS with whoever is there, who is asked for a name."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._context = CertificateOptions().getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection that does not look at the certificate."""
        connection = SSL.Connection(self._context, None)
        if not isIPAddress(self._host) and not isIPv6Address(self._host):  # a name is a name
            connection.set_tlsext_host_name(self._host.encode("idna"))
        return connection


@implementer(IHandshakeListener)
class _Visit(Protocol):
    """Closes in order once the handshake is over.

    :ivar over: fires with the seconds of the handshake, or fails, when the connection is gone.  Cancelling it
        resets the connection.
    """

    transport: ITCPTransport

    def __init__(self, reactor: Any) -> None:
        self.over: Deferred[float | None] = Deferred(self._cancelled)
        self._reactor = reactor
        self._took: float | None = None

    def connectionMade(self) -> None:
        """TCP is there, and TLS begins."""
        self._begun = self._reactor.seconds()

    def handshakeCompleted(self) -> None:
        """The server is well."""
        self._took = self._reactor.seconds() - self._begun
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Over; without a handshake the reason says why."""
        if self.over.called:
            return
        if self._took is None:
            self.over.errback(lost_before("the handshake was over", reason))
        else:
            self.over.callback(self._took)

    def _cancelled(self, over: Deferred[float | None]) -> None:
        self.transport.abortConnection()
        if self._took is not None:
            over.callback(self._took)
