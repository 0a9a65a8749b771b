"""A protocol that takes a connection and only notes what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.python.failure import Failure


@implementer(IHalfCloseableProtocol)
class Taker(Protocol):
    """Notes what happens, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def connectionMade(self) -> None:
        """Note it."""
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        """Note it."""
        self.events.append(data)

    def readConnectionLost(self) -> None:
        """Note it."""
        self.events.append("finished")

    def writeConnectionLost(self) -> None:
        """Note it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.events.append(reason.type)
