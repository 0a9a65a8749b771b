"""A small line service with a command of each kind, and connections to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.errors import NoServer, ProtocolError, StoreFailed
from tcpsuite.services.lines import Command, LineProtocol

if TYPE_CHECKING:
    from collections.abc import Generator

    from tcpsuite.services.patience import Patience


class Toy(LineProtocol):
    """A service with a command of each kind."""

    def __init__(self, clock: Clock, patience: Patience | None = None) -> None:
        super().__init__(clock, patience=patience)
        self.clock = clock
        self.waiting: list[Deferred[str]] = []
        self.cancelled = 0
        self.taken: list[bytes] = []
        self.blocks = 3

    async def say(self, text: str) -> str:
        """Give back what was said."""
        return text

    async def pair(self, first: str, second: str = "-") -> str:
        """Give back both."""
        return f"{second} {first}"

    async def nothing(self) -> str:
        """Say OK."""
        return ""

    async def wait(self) -> str:
        """Answer when told to."""
        self.waiting.append(Deferred())
        try:
            return await self.waiting[-1]
        except CancelledError:
            self.cancelled += 1
            raise

    async def work(self, seconds: str) -> str:
        """Keep the reactor busy."""
        self.clock.rightNow += float(seconds)
        return seconds

    async def fail(self, how: str) -> str:
        """Fail in one way or another."""
        faults: dict[str, Exception] = {
            "remote": NoServer("no answer"),
            "store": StoreFailed("disk full"),
            "own": ZeroDivisionError("oops"),
        }
        raise faults[how]

    async def count(self) -> None:
        """Answer at length."""
        self.answer("OK")
        await self.stream(self._numbers())

    async def take(self, length: str) -> str:
        """Take what follows."""
        if not length.isdigit():
            raise ProtocolError("length", "a number")
        body = self.receive(int(length))
        got = b""
        while data := await body.read():
            got += data
        self.taken.append(got)
        if got == b"bad":
            raise ProtocolError("bad", "this is bad")
        return str(len(got))

    async def leave(self) -> None:
        """Say goodbye."""
        self.answer("OK")
        self.close(Reason.SERVICE_CLOSED, "QUIT")

    def _numbers(self) -> Generator[bytes, None, None]:
        for number in range(self.blocks):
            yield b"%d\n" % number

    commands: ClassVar[Mapping[str, Command]] = {
        "SAY": Command(say, "SAY text", rest=True),
        "PAIR": Command(pair, "PAIR first [second]"),
        "NOTHING": Command(nothing, "NOTHING"),
        "WAIT": Command(wait, "WAIT"),
        "WORK": Command(work, "WORK seconds"),
        "FAIL": Command(fail, "FAIL how"),
        "COUNT": Command(count, "COUNT"),
        "TAKE": Command(take, "TAKE length", body=True),
        "QUIT": Command(leave, "QUIT"),
    }


@implementer(ITCPTransport)
class TCPTransport(StringTransport):
    """A transport of strings whose writing half can be closed alone."""

    half_closed = False

    def loseWriteConnection(self) -> None:
        """Close the writing half."""
        self.half_closed = True

    def abortConnection(self) -> None:
        """Close at once."""
        super().abortConnection()

    def _nothing(self, *_: Any) -> Any:
        raise NotImplementedError

    getTcpNoDelay = setTcpNoDelay = getTcpKeepAlive = setTcpKeepAlive = _nothing


class LineCase(SynchronousTestCase):
    """One connection to a :class:`Toy`."""

    patience: Patience | None = None

    def setUp(self) -> None:
        """A connection, and a clock that stands still."""
        self.clock = Clock()
        self.connect(StringTransport())

    def tearDown(self) -> None:
        """No timer outlives its connection."""
        self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def connect(self, transport: StringTransport) -> None:
        """A new connection."""
        self.transport = transport
        self.record = Connection("1", "192.0.2.1:4711", "192.0.2.1", "toy", "toy", 0.0, 0.0)
        self.toy = Toy(self.clock, self.patience)
        self.toy.connection = self.record
        self.toy.makeConnection(transport)
        self.lost = False

    def lose(self, fault: Exception | None = None) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            self.toy.connectionLost(Failure(fault or ConnectionDone()))

    def say(self, data: bytes) -> str:
        """What is answered to ``data``."""
        self.toy.dataReceived(data)
        return self.answer()

    def answer(self) -> str:
        """What was answered since this was last asked."""
        self.clock.advance(0)
        answer: str = self.transport.value().decode()
        self.transport.clear()
        return answer
