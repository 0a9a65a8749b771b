"""Two mux connections and what is between them, without a socket."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.net.mux.connection import MuxConnection
from tcpsuite.net.mux.options import MuxOptions


class Wire(StringTransport):
    """A transport that remembers how it ended."""

    aborted = False
    closed = False

    def abortConnection(self) -> None:
        self.aborted = True

    def loseConnection(self) -> None:
        self.closed = True


class Heard(Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.told: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append(f"lost {type(reason.value).__name__}")


@implementer(IHalfCloseableProtocol)
class HalfHeard(Heard):
    """One that honours half-close."""

    def readConnectionLost(self) -> None:
        self.told.append("their end")

    def writeConnectionLost(self) -> None:
        self.told.append("our end")


class Echo(Protocol):
    """Says what it hears."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Made(Factory):
    """Makes protocols, and keeps them."""

    noisy = False

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.protocols: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        made = self.kind()
        self.protocols.append(made)
        return made


class Ends:
    """A client's end and a server's.

    :param served: makes the protocols of the server's streams.
    """

    def __init__(
        self, served: Any = HalfHeard, options: MuxOptions | None = None, chance: Random | None = None
    ) -> None:
        self.clock = Clock()
        self.served = Made(served)
        self._chance = chance or Random(1)
        self.lost: list[tuple[str, str]] = []
        self.client: Any = self._end(True, options)
        self.server: Any = self._end(False, options)

    def _end(self, client: bool, options: MuxOptions | None) -> MuxConnection:
        end = MuxConnection(
            client,
            None if client else self.served,
            self.clock,
            options,
            lambda _, reason: self.lost.append(("client" if client else "server", reason.getErrorMessage())),
            self._chance,
        )
        end.makeConnection(Wire())
        return end

    def carry(self) -> None:
        """Let turns pass, and carry bytes, until both have said all."""
        for _ in range(1000):
            self.clock.advance(0)
            moved = False
            for one, other in ((self.client, self.server), (self.server, self.client)):
                if data := one.transport.value():
                    one.transport.clear()
                    other.dataReceived(data)
                    moved = True
            if not moved:
                return
        raise AssertionError("they never stop talking")

    def open(self, kind: Any = HalfHeard) -> tuple[Any, Any]:
        """A stream: the client's protocol, and the server's."""
        ours = self.client.open(Made(kind))
        self.carry()
        return ours, self.served.protocols[-1]

    def lose(self, end: MuxConnection) -> None:
        """The connection is lost at this end."""
        end.connectionLost(Failure(ConnectionDone()))
