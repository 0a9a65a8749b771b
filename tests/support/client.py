"""A client on a real socket, for tests that talk to and fro."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


class Client(Protocol):
    """Collects what comes, and says when enough did and when it is over.

    :ivar received: what came since the last question.
    :ivar lost: fires with the type of the reason when the connection is gone.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.lost: Deferred[Any] = Deferred()
        self._wanted = 0
        self._enough: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if len(self.received) >= self._wanted and not self._enough.called:
            self._enough.callback(self.received)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(reason.type)

    def ask(self, request: bytes, wanted: int) -> Deferred[bytes]:
        """Send; fires with what came since when it is ``wanted`` bytes."""
        self.received, self._wanted, self._enough = b"", wanted, Deferred()
        self.transport.write(request)
        return self._enough

    async def leave(self) -> None:
        """Close, and wait until it is closed."""
        self.transport.loseConnection()
        await self.lost


async def connect(address: str) -> Client:
    """A client of ``host:port`` or ``unix:path``."""
    from twisted.internet import reactor

    if not address.startswith("unix:"):
        host, _, port = address.rpartition(":")
        address = f"tcp:{host}:{port}"
    client: Client = await connectProtocol(clientFromString(reactor, address), Client())
    return client
