"""Servers of which a test decides every move, without a socket."""

from __future__ import annotations

from errno import ECONNREFUSED
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionAborted, ConnectionDone
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IHalfCloseableProtocol, IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IProtocolFactory


class ScriptedTransport(StringTransport):
    """The near end of a connection whose far end is the test.

    As with real transports, nothing is lost inside ``loseConnection`` or ``abortConnection``: the test says
    when that time has come, by :meth:`settle`.

    :ivar finished: whether the near end has closed its half.
    """

    protocol: IProtocol

    def __init__(self) -> None:
        super().__init__(lenient=True)
        self.finished = False

    def loseWriteConnection(self) -> None:
        """The near end closes its half."""
        self.finished = True

    def unregisterProducer(self) -> None:
        """No more from the producer, if there is one: real transports do not mind that there is none."""
        self.producer = self.streaming = None

    def say(self, data: bytes) -> None:
        """The far end sends bytes."""
        self.protocol.dataReceived(data)

    def finish(self) -> None:
        """The far end closes its half."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self.lose()

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone; in order, unless ``error`` says otherwise."""
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(error or ConnectionDone()))

    def settle(self) -> None:
        """What the near end asked for is done."""
        if self.disconnected:
            self.lose(ConnectionAborted())
        elif self.disconnecting:
            self.lose()


@implementer(IStreamClientEndpoint)
class ScriptedEndpoint:
    """An endpoint that connects, or fails to, when the test says so.

    :ivar asked: how often a connection was asked for.
    :ivar cancelled: how many attempts were given up.
    :ivar transports: of the connections that were made, in order.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self.transports: list[ScriptedTransport] = []
        self._attempts: list[tuple[IProtocolFactory, Deferred[Any]]] = []

    def __repr__(self) -> str:
        return f"<ScriptedEndpoint connecting={len(self._attempts)} made={len(self.transports)}>"

    @property
    def connecting(self) -> int:
        """How many attempts are under way."""
        return len(self._attempts)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return sum(transport.connected for transport in self.transports)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Begin an attempt."""
        self.asked += 1
        attempt: Deferred[Any] = Deferred(self._cancel)
        self._attempts.append((protocolFactory, attempt))
        return attempt

    def accept(self) -> ScriptedTransport:
        """The oldest attempt succeeds."""
        factory, attempt = self._attempts.pop(0)
        transport = ScriptedTransport()
        self.transports.append(transport)
        protocol: Any = factory.buildProtocol(transport.getPeer())
        transport.protocol = protocol
        protocol.makeConnection(transport)
        attempt.callback(protocol)
        return transport

    def refuse(self, error: Exception | None = None) -> None:
        """The oldest attempt fails."""
        _factory, attempt = self._attempts.pop(0)
        attempt.errback(Failure(error or Refused(ECONNREFUSED)))

    def settle(self) -> None:
        """What was asked of the transports is done."""
        for transport in self.transports:
            transport.settle()

    def _cancel(self, attempt: Deferred[Any]) -> None:
        self.cancelled += 1
        self._attempts = [pair for pair in self._attempts if pair[1] is not attempt]
        attempt.errback(ConnectingCancelledError(None))
