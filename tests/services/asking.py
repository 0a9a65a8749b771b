"""A client of the message service that says what it is told to, and a service for it, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from zope.interface import alsoProvides

from tcpsuite.core.connections import Connection
from tcpsuite.core.messages import wire
from tcpsuite.core.messages.framing import MessageReader
from tcpsuite.core.messages.wire import Kind
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.services.message import MessageFactory, MessageOptions
from tcpsuite.services.methods import Method
from tcpsuite.testing.endpoints import ScriptedTransport

KEY = "192.0.2.1"


class Slow:
    """A method that answers when the test says so."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: list[Deferred[Any]] = []
        self.cancelled = 0

    def __call__(self, body: bytes) -> Deferred[Any]:
        self.bodies.append(body)
        answer: Deferred[Any] = Deferred(self._cancel)
        self.answers.append(answer)
        return answer

    def _cancel(self, answer: Deferred[Any]) -> None:
        self.cancelled += 1


def failing(body: bytes) -> bytes:
    """A method with a fault."""
    raise ValueError(body)


class Service:
    """The service with two methods more, and its clock."""

    def __init__(self, limits: Any = None, **options: Any) -> None:
        self.clock = Clock()
        self.factory = MessageFactory(MessageOptions(**options), Deadlines(self.clock), limits)
        self.slow = Slow()
        for name, function in {"slow": self.slow, "failing": failing}.items():
            self.factory.methods._methods[name.encode()] = Method.of(function)

    def connect(self) -> Asking:
        """One client more."""
        return Asking(self)


class Asking:
    """One stream.

    :ivar transport: the service's end.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.protocol: Any = service.factory.buildProtocol(None)
        self.record = self.protocol.connection = Connection(
            "1", "", KEY, "m", "message", 0.0, 0.0, limited_as=KEY
        )
        self.transport = ScriptedTransport()
        alsoProvides(self.transport, ITCPTransport)  # it can close its half
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)
        self._reader = MessageReader()

    def ask(
        self, number: int, method: str, body: bytes = b"", timeout: int = 0, client: bytes = b""
    ) -> list[Any]:
        """Ask, and tell what is answered at once."""
        self.transport.say(request(number, method, body, timeout, client))
        return self.heard()

    def heard(self) -> list[Any]:
        """What was said since: replies and errors by their numbers, and notes."""
        told: list[Any] = []
        for message in self._reader.feed(self.transport.value()):
            match message[0]:
                case Kind.REPLY:
                    told.append((wire.read_number(message), message[5:]))
                case Kind.ERROR:
                    told.append((wire.read_number(message), wire.read_error(message).code))
                case Kind.NOTE:
                    told.append(wire.read_note(message))
                case other:
                    told.append(Kind(other))
        self.transport.clear()
        return told


def request(number: int, method: str, body: bytes = b"", timeout: int = 0, client: bytes = b"") -> bytes:
    """The bytes of a request."""
    return wire.request_head(number, timeout, client, method.encode(), len(body)) + body


def note(method: str, body: bytes = b"") -> bytes:
    """The bytes of a note."""
    return wire.note_head(method.encode(), len(body)) + body
