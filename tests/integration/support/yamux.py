"""Streams to the implementations of others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

if TYPE_CHECKING:
    pass


ECHO = """
[listener.echo]
endpoint = "mux:tcp:<echo>:interface=127.0.0.1"
service = "echo"
"""


@implementer(IHalfCloseableProtocol)
class Asking(Protocol):
    """Sends what it is told to, and sums up what comes back."""

    transport: Any

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.length = 0
        self.end: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.left = 0
        self.block = b""

    def send(self, block: bytes, times: int) -> str:
        """Send ``block`` so many times, as fast as it leaves, and then a FIN; gives the digest of all."""
        self.block, self.left = block, times
        self.transport.registerProducer(self, False)
        digest = hashlib.sha256()
        for _ in range(times):
            digest.update(block)
        return digest.hexdigest()

    def resumeProducing(self) -> None:
        if self.left:
            self.left -= 1
            self.transport.write(self.block)
        else:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def stopProducing(self) -> None:
        pass

    def dataReceived(self, data: bytes) -> None:
        self.length += len(data)
        self.digest.update(data)

    def readConnectionLost(self) -> None:
        self.end.callback(None)

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason=connectionDone) -> None:
        self.gone.callback(None)


def turn() -> Deferred[None]:
    """The reactor's next turn."""
    passed: Deferred[None] = Deferred()
    reactor.callLater(0, passed.callback, None)
    return passed
