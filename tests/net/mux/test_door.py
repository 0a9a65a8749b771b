"""The door of a listener that serves streams: who carries them is admitted once, for all of them."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from tcpsuite.core.connections import Ledger, Reason
from tcpsuite.core.limits import Ceiling, Limits, ResourceLimiter, Room
from tcpsuite.net.admission import Admission
from tcpsuite.net.mux.door import MuxDoor
from tcpsuite.net.mux.options import MuxOptions
from tcpsuite.net.refusing import Refusal
from tcpsuite.net.socket_options import BACKLOG
from tcpsuite.net.stream import Counting
from tests.core.mux.wire import DATA, FIN, GO_AWAY, RST, SYN, WINDOW, frames, wire
from tests.net.mux.ends import HalfHeard, Wire

WHERE = IPv4Address("TCP", "192.0.2.1", 4711)


class CountingWire(Counting, Wire):
    """One that counts what came."""

    def __init__(self) -> None:
        super().__init__(peerAddress=WHERE)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As over TLS."""


class Speaking(Factory):
    """A service that keeps its protocols, and has words for whom a limit refuses."""

    noisy = False

    def __init__(self) -> None:
        self.protocols: list[HalfHeard] = []

    def buildProtocol(self, addr: Any) -> HalfHeard:
        self.protocols.append(HalfHeard())
        return self.protocols[-1]


class DoorCase(SynchronousTestCase):
    """A listener of one service, `limit` streams at once, two connections of each address."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.ledger = Ledger()
        self.ended: list[Any] = []
        self.pauses: list[bool] = []
        self.service = Speaking()

    def door(self, limit: int = 10, room: Room | None = None, size: int = 0, **more: Any) -> MuxDoor:
        """Before an admission, at which it is not rested."""
        service: Any = self.service
        self.limiter = ResourceLimiter(Limits(2), exempt_loopback=False)
        self.admission = Admission(
            listener="front",
            service_name="test",
            service=service,
            limiter=self.limiter,
            ceiling=Ceiling(limit, *(() if room is None else (room, size))),
            pause=self.pauses.append,
            ledger=self.ledger,
            ended=self.ended.append,
            ids=map(str, count(1)),
            clock=self.clock,
            **more,
        )
        return MuxDoor(self.admission, MuxOptions())

    def carrier(self, door: MuxDoor, transport: Wire | None = None) -> Any:
        """One that was accepted, with its transport; ``None`` when it was closed."""
        carrier: Any = door.buildProtocol(WHERE)
        if carrier is not None:
            carrier.makeConnection(transport or CountingWire())
        return carrier

    def open(self, carrier: Any, *numbers: int) -> None:
        """The other side opens streams."""
        carrier.dataReceived(b"".join(wire(WINDOW, SYN, number) for number in numbers))
        self.clock.advance(0)

    def told(self, carrier: Any) -> list[tuple[int, int, int]]:
        """Kind, flags and stream of the frames that it was sent since the last time."""
        told = [(kind, flags, number) for kind, flags, number, *_ in frames(carrier.transport.value())]
        carrier.transport.clear()
        return told


class AdmittedTests(DoorCase):
    """Who carries streams, and what they are."""

    def test_counts_once(self) -> None:
        """A connection counts once for its address, whatever it carries, until it is gone; its streams are
        connections, under the name of the peer that carries them.
        """
        door = self.door()
        carrier = self.carrier(door)
        self.open(carrier, 1, 3, 5)
        self.assertEqual(len(self.limiter._clients), 1)
        self.assertEqual({(each.peer, each.host, each.limited_as) for each in self.ledger},
                         {("192.0.2.1:4711", "192.0.2.1", "192.0.2.1")})  # fmt: skip
        self.assertEqual((self.ledger.totals("front").accepted, len(self.service.protocols)), (3, 3))
        carrier.dataReceived(wire(WINDOW, RST, 1))
        self.assertEqual(len(self.limiter._clients), 1)
        carrier.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((len(self.limiter._clients), len(self.ledger), len(door.carriers)), (0, 0, 0))

    def test_refused(self) -> None:
        """Who has as many as it may is refused before its first stream, which is counted and told."""
        door = self.door()
        self.carrier(door), self.carrier(door)
        self.assertIsNone(self.carrier(door))
        self.assertEqual(self.ledger.totals("front").refused, {"connections_per_ip": 1})
        (record,) = self.ended
        self.assertEqual((record.reason, record.peer), (Reason.LIMITED, "192.0.2.1:4711"))

    def test_no_words(self) -> None:
        """The words of a service are not for whoever expects frames: it is closed."""
        way = Refusal("reset", self.service, self.clock, Ceiling(5), 10)
        way.way = "answer"
        door = self.door(refusal=way)
        self.carrier(door), self.carrier(door)
        self.assertIsNone(self.carrier(door))

    def test_descriptors(self) -> None:
        """Each takes a descriptor, of which there are so many; its streams take what their service says."""
        room = Room(3)
        door = self.door(room=room, size=1)
        carrier = self.carrier(door)
        self.open(carrier, 1)
        self.assertEqual(room.taken, 2)
        self.carrier(door)
        self.assertIsNone(door.buildProtocol(IPv4Address("TCP", "192.0.2.9", 1)))
        self.assertEqual(self.ledger.totals("front").refused, {"connections": 1})
        self.assertEqual(len(self.limiter._clients), 2)
        carrier.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(room.taken, 1)


class CeilingTests(DoorCase):
    """How many streams are served at once."""

    def test_wait(self) -> None:
        """Past the ceiling streams wait, unread, and are served when there is a place."""
        carrier = self.carrier(self.door(limit=1))
        self.open(carrier, 1, 3)
        carrier.dataReceived(wire(DATA, 0, 3, payload=b"early"))
        self.assertEqual(len(self.service.protocols), 1)
        self.assertEqual(self.pauses[-1], True)
        carrier.dataReceived(wire(WINDOW, RST, 1))
        self.assertEqual([each.data for each in self.service.protocols], [b"", b"early"])

    def test_too_many_wait(self) -> None:
        """Where as many wait as a backlog holds, the next one is reset, and counted."""
        carrier = self.carrier(self.door(limit=1))
        numbers = range(1, 2 * BACKLOG + 2, 2)
        self.open(carrier, *numbers)
        self.assertNotIn(RST, {flags for _, flags, _ in self.told(carrier)})
        self.open(carrier, numbers[-1] + 2)
        self.assertIn((WINDOW, RST, numbers[-1] + 2), [(k, f & RST, n) for k, f, n in self.told(carrier)])
        self.assertEqual(self.ledger.totals("front").refused, {"connections": 1})

    def test_rests(self) -> None:
        """While accepting rests for another reason they wait too, on connections that there are."""
        carrier = self.carrier(self.door())
        self.admission.resting = True
        self.open(carrier, 1)
        self.assertEqual(self.service.protocols, [])
        self.admission.resting = False
        self.admission.look()
        self.assertEqual(len(self.service.protocols), 1)


class TimeTests(DoorCase):
    """How long one may say nothing."""

    def test_first_byte(self) -> None:
        """Who says nothing in its time is cut, who says something is not."""
        door = self.door(first_byte_timeout=5.0)
        silent, speaking = self.carrier(door), self.carrier(door)
        speaking.transport.bytes_in = 12
        self.clock.advance(6)
        self.assertEqual((silent.transport.aborted, speaking.transport.aborted), (True, False))
        self.assertEqual((silent.why, silent.cause), ("no byte within 5 s", "deadline"))

    def test_handshake(self) -> None:
        """Over TLS its handshake has ten seconds, and a stream need not come."""
        door = self.door()
        late, shaken = (directed(CountingWire()) for _ in range(2))
        one, other = self.carrier(door, late), self.carrier(door, shaken)
        other.handshakeCompleted()
        self.clock.advance(11)
        self.assertEqual((late.aborted, shaken.aborted), (True, False))
        one.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(door.carriers.status()["lost"], {"deadline": 1})


def directed(transport: Wire) -> Wire:
    """One that says it is of TLS."""
    directlyProvides(transport, ISSLTransport)
    return transport


class StopTests(DoorCase):
    """How those who carry streams are seen off."""

    def test_away(self) -> None:
        """When the port is closed they are told to go away, and closed with the last stream."""
        door = self.door()
        door.doStart()
        carrier = self.carrier(door)
        idle = self.carrier(door)
        self.open(carrier, 1)
        self.told(carrier)
        door.doStop()
        self.assertEqual(self.told(carrier), [(GO_AWAY, 0, 0)])
        self.assertEqual((carrier.transport.closed, idle.transport.closed), (False, True))
        self.open(carrier, 3)
        self.assertEqual(self.told(carrier), [(WINDOW, RST, 3)])
        carrier.dataReceived(wire(WINDOW, FIN, 1))
        transport: Any = self.service.protocols[0].transport
        transport.loseConnection()
        self.clock.advance(0)
        self.assertEqual(self.told(carrier), [(WINDOW, FIN, 1)])
        self.assertTrue(carrier.transport.closed)

    def test_end(self) -> None:
        """They are closed whatever is open on them, and cut when that takes too long."""
        door = self.door()
        carrier = self.carrier(door)
        self.open(carrier, 1)
        gone = door.end(3)
        self.assertTrue(carrier.transport.closed)
        self.clock.advance(2.9)
        self.assertFalse(carrier.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(carrier.transport.aborted)
        self.assertNoResult(gone)
        carrier.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(gone)
        self.assertEqual(door.carriers.status()["lost"], {"cut": 1})
        self.successResultOf(door.end(3))


class StatusTests(DoorCase):
    """What is told of them."""

    def test_status(self) -> None:
        """Sums of those that there are and of those that were, and the oldest one by one."""
        door = self.door()
        first, second = self.carrier(door), self.carrier(door)
        self.open(first, 1, 3)
        first.dataReceived(wire(WINDOW, 0, 99, 5) + wire(DATA, 0, 3, payload=b"held"))
        second.dataReceived(wire(9, 0, 0))
        second.connectionLost(Failure(ConnectionDone()))
        first.mux.round_trip = 0.25
        self.clock.advance(2)
        told = door.carriers.status()
        (each,) = told.pop("connections")
        self.assertEqual(
            told,
            {
                "open": 1, "made": 2, "streams": 2, "unread": 0, "round_trip": 0.25,
                "events": {"skipped": 1, "refused": 0, "reset": 0}, "lost": {"protocol_error": 1},
            },
        )  # fmt: skip
        self.assertEqual((each["seconds"], each["streams"], each["skipped"], each["going"]), (2, 2, 1, False))
        self.assertEqual(repr(door.carriers), "<Carriers open=1 made=2>")
        self.assertIn("<MuxDoor <Carriers", repr(door))
