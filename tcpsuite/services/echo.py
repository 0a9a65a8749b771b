"""Echo: what comes goes back, of any size, half-close honoured.  RFC 862."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory

    from tcpsuite.interfaces import IServiceContext
    from tcpsuite.net.stream import IStreamTransport


@implementer(IHalfCloseableProtocol, IPushProducer)
class Echo(Protocol):
    """One connection.  While the peer does not read, it is not read from either."""

    transport: IStreamTransport

    def connectionMade(self) -> None:
        """Be the producer of what is written, so that a peer that only sends cannot fill memory."""
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Give it back."""
        self.transport.write(data)

    def pauseProducing(self) -> None:
        """The peer reads more slowly than it sends."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The peer has read what was queued."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone."""

    def readConnectionLost(self) -> None:
        """The peer sends no more: close once all of it is back."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Never happens: both halves are closed together."""


class EchoFactory(Factory):
    """Echoes on any endpoint."""

    protocol = Echo
    noisy = False


@frozen
class EchoOptions:
    """Echo has no options of its own."""


def build(options: EchoOptions, context: IServiceContext) -> IProtocolFactory:
    """The factory for a listener."""
    return EchoFactory()


def example(options: EchoOptions, host: str, port: int) -> str:
    """A command line that tries it."""
    return f"echo hello | nc -N {host} {port}"
