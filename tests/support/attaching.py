"""A suite's half of attached connections, in memory: what tests of the client's half speak with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from tcpsuite.core.lines import LineSplitter
from tcpsuite.net.attaching.attached import Attached
from tcpsuite.net.attaching.carriers import FramedCarrier
from tcpsuite.testing.endpoints import ScriptedTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory
    from twisted.internet.task import Clock

ID = "EKqHNtDDRFoUCV4vXYUGUM18p-4OBEdvuW4JxLrGLsk"


def connected(protocol: Any) -> ScriptedTransport:
    """The transport of a protocol that was just connected."""
    transport = ScriptedTransport()
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return transport


def taken(transport: ScriptedTransport) -> bytes:
    """What was written since."""
    data: bytes = transport.value()
    transport.clear()
    return data


class Visit:
    """One connection to the session service.

    :ivar near: the client's end; ``far`` is the suite's.
    :ivar silent: nothing arrives any more, at either.
    """

    def __init__(self, suite: FakeSuite, client: Any) -> None:
        self.silent = False
        self.carrier: FramedCarrier | None = None
        self.far = ScriptedTransport()
        self._suite = suite
        self._splitter = LineSplitter()
        self.near = connected(client)

    def run(self) -> bool:
        """Carry what was said; whether there was anything."""
        if self.silent or not self.near.connected:
            return False
        there, back = taken(self.near), b""
        if there:
            self._hear(there)
        back = taken(self.far)
        if back:
            self.near.say(back)
        if self.far.disconnecting or self.far.disconnected:
            self.lose()
        elif self.near.disconnecting or self.near.disconnected:
            self._suite_loses()
            self.near.settle()
        return bool(there or back)

    def lose(self) -> None:
        """It is lost, at both ends."""
        self.near.lose(ConnectionLost())
        self._suite_loses()

    def _suite_loses(self) -> None:
        if self.carrier is not None:
            self.carrier.connection_lost()

    def _hear(self, data: bytes) -> None:
        if self.carrier is not None:
            self.carrier.data_received(data)
            return
        self._splitter.feed(data)
        while (line := self._splitter.next()) is not None:
            self._suite.said.append(line)
            self._answer(line)

    def _answer(self, line: str) -> None:
        suite = self._suite
        match line.split(" "):
            case [verb, *_] if verb in suite.answers:
                self.far.write(suite.answers[verb].encode())
            case ["ATTACH", mark, _, _] if mark not in ("new", suite.mark):
                self.far.write(b"ERR lost there is no such connection any more\n")
            case ["ATTACH", mark, received, window]:
                if mark == "new":
                    suite.begin()
                incoming = suite.attached.incoming
                self.carrier = FramedCarrier(suite.attached, self.far, suite.clock)
                answer = f"OK {suite.mark} {incoming.received} {received} {incoming.window}\n"
                self.far.write(answer.encode())
                self.carrier.start(int(received), int(window))
            case [verb, *_]:
                self.far.write(f"OK {ID}\n".encode() if verb == "OPEN" else b"OK\n")


@implementer(IStreamClientEndpoint)
class FakeSuite:
    """Leads to a session service with one upstream connection.

    :ivar away: whether it refuses connections.
    :ivar answers: to verbs, in place of the right ones.
    :ivar said: the lines that it was told.
    :ivar attached: its half of the upstream connection.
    :ivar server: the transport of that, whose far end is the test.
    """

    attached: Attached
    server: ScriptedTransport

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.away = False
        self.answers: dict[str, str] = {}
        self.said: list[str] = []
        self.visits: list[Visit] = []
        self.mark = ""
        self._made = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """A connection, at once."""
        if self.away:
            return fail(Refused())
        protocol: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        self.visits.append(Visit(self, protocol))
        return succeed(protocol)

    def begin(self) -> None:
        """Make an upstream connection."""
        self._made += 1
        self.mark = f"{self._made:016x}"
        self.attached = Attached(self.clock, lambda: None, lambda: None)
        self.server = connected(self.attached)

    def run(self) -> None:
        """Carry to and fro what was said, until nobody says more."""
        while any(visit.run() for visit in self.visits):
            self.clock.advance(0)

    def lose(self) -> None:
        """Its connections are lost, with all that is under way on them."""
        for visit in self.visits:
            visit.lose()
