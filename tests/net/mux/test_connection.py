"""A mux connection notices what is wrong with it, and ends in order."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.mux.events import MuxLimits
from tcpsuite.errors import Closed
from tcpsuite.net.mux.options import MuxOptions
from tests.core.mux.wire import ACK, DATA, GO_AWAY, PING, SYN, WINDOW, frames, wire
from tests.net.mux.ends import Echo, Ends, Heard, Made


class PingTests(SynchronousTestCase):
    """Signs of life."""

    def pings(self, ends: Ends, seconds: float) -> list[int]:
        """What the client asks in the next seconds, while nobody answers."""
        ends.client.transport.clear()
        ends.clock.pump([0.5] * int(seconds * 2))
        return [length for kind, _, _, length, _ in frames(ends.client.transport.value()) if kind == PING]

    def test_round_trip(self) -> None:
        """A ping at once, and every 15 s, more or less, tells the least round trip."""
        ends = Ends()
        ends.clock.advance(0.25)
        ends.client.dataReceived(wire(PING, ACK, 0, 1))
        self.assertEqual(ends.client.mux.round_trip, 0.25)
        self.assertEqual(self.pings(ends, 18.5), [2])
        ends.clock.advance(0.25)
        ends.client.dataReceived(wire(PING, ACK, 0, 2))
        first = ends.client.mux.round_trip
        self.assertEqual(first, 0.25)
        ends.client.dataReceived(wire(PING, ACK, 0, 1) + wire(PING, ACK, 0, 77))
        self.assertEqual(ends.client.mux.round_trip, first)

    def test_jitter(self) -> None:
        """Intervals are up to 20 % shorter or longer, by chance."""
        whens = [
            min(
                call.getTime() for call in Ends(chance=Random(seed)).clock.getDelayedCalls() if call.getTime()
            )
            for seed in range(50)
        ]
        self.assertTrue(all(12 <= when <= 18 for when in whens), whens)
        self.assertGreater(max(whens) - min(whens), 3)

    def test_dead(self) -> None:
        """Three that are not answered, without any other traffic, end it."""
        ends = Ends()
        ours, _ = ends.open()
        self.assertEqual(len(self.pings(ends, 54)), 3)
        self.pings(ends, 18)
        self.assertTrue(ends.client.transport.aborted)
        ends.lose(ends.client)
        self.assertEqual(ours.told, ["lost ConnectionLost"])
        self.assertEqual(ends.client.why, "3 pings were not answered, and nothing else came")

    def test_traffic_counts(self) -> None:
        """Whatever comes is a sign of life."""
        ends = Ends()
        for _ in range(20):
            self.pings(ends, 14)
            ends.client.dataReceived(wire(WINDOW, 0, 99, 1))
        self.assertFalse(ends.client.transport.aborted)


class WriteTests(SynchronousTestCase):
    """Connections that take nothing."""

    def test_stuck(self) -> None:
        """When bytes wait and none leave for 10 s it is given up, and all streams on it."""
        ends = Ends()
        ours, _ = ends.open()
        ends.client.pauseProducing()
        ends.client.pauseProducing()
        ours.transport.write(b"waits")
        ends.clock.advance(9.9)
        self.assertFalse(ends.client.transport.aborted)
        ends.clock.advance(0.2)
        self.assertTrue(ends.client.transport.aborted)
        self.assertEqual(ends.client.why, "nothing left for 10 s, and bytes wait")

    def test_slow(self) -> None:
        """While some leave it stays."""
        ends = Ends()
        ends.client.transport.bytes_out = 0
        ends.client.pauseProducing()
        for _ in range(5):
            ends.clock.advance(9)
            ends.client.transport.bytes_out += 1
        self.assertFalse(ends.client.transport.aborted)
        ends.client.resumeProducing()
        ends.clock.advance(11)
        self.assertFalse(ends.client.transport.aborted)

    def test_back_pressure(self) -> None:
        """While the connection is full nothing is written; small messages go first among what waited."""
        ends = Ends()
        large, their_large = ends.open()
        small, their_small = ends.open()
        ends.client.pauseProducing()
        large.transport.write(bytes(200_000))
        small.transport.write(b"quick")
        ends.clock.advance(0)
        self.assertEqual(ends.client.transport.value(), b"")
        ends.client.resumeProducing()
        order = [number for kind, _, number, _, _ in frames(ends.client.transport.value()) if kind == DATA]
        self.assertEqual(order[:2], [1, 3])
        ends.carry()
        self.assertEqual((len(their_large.data), their_small.data), (200_000, b"quick"))


class EndTests(SynchronousTestCase):
    """How it ends."""

    def test_fault(self) -> None:
        """A side that breaks the protocol is told so, and cut."""
        ends = Ends()
        ours, _ = ends.open()
        ends.client.transport.clear()
        ends.client.dataReceived(wire(9, 0, 0))
        self.assertEqual(frames(ends.client.transport.value()), [(GO_AWAY, 0, 0, 1, b"")])
        self.assertTrue(ends.client.transport.closed)
        ours.transport.write(b"nobody's")
        ends.clock.advance(9.9)
        self.assertFalse(ends.client.transport.aborted)
        ends.clock.advance(0.2)
        self.assertTrue(ends.client.transport.aborted)
        self.assertEqual(len(ends.client.transport.value()), 12)
        ends.lose(ends.client)
        self.assertEqual(ends.client.why, "expected type 0 to 3, got 9")
        self.assertEqual(ours.told, ["lost ConnectionLost"])
        self.assertEqual(len(ends.lost), 1)
        self.assertRaises(Closed, ends.client.open, Made(Heard))

    def test_close(self) -> None:
        """Closing waits for the last stream, takes no new ones, and tells the other side."""
        ends = Ends(served=Echo)
        ours, _ = ends.open()
        ends.server.close()
        ends.carry()
        self.assertRaises(Closed, ends.client.open, Made(Heard))
        ours.transport.write(b"still")
        ends.carry()
        self.assertEqual(ours.data, b"still")
        self.assertFalse(ends.server.transport.closed)
        ours.transport.loseConnection()
        ends.carry()
        self.assertTrue(ends.server.transport.closed)

    def test_close_idle(self) -> None:
        """With no stream it closes at once."""
        ends = Ends()
        ends.server.close()
        self.assertTrue(ends.server.transport.closed)
        ends.carry()
        self.assertTrue(ends.client.transport.closed)

    def test_close_timeout(self) -> None:
        """A stream that was closed here, and that the other side never ends, is reset."""
        ends = Ends(options=MuxOptions(close_timeout=100.0, pings_missed=100))
        ours, theirs = ends.open()
        ours.transport.loseConnection()
        ends.carry()
        self.assertEqual(len(ends.client.mux.streams), 1)
        for _ in range(8):
            ends.clock.advance(16)
        ends.carry()
        self.assertEqual((ends.client.mux.streams, theirs.told), ({}, ["their end", "lost ConnectionLost"]))

    def test_open_timeout(self) -> None:
        """A stream that the other side never accepts is lost; one that it accepts is not."""
        ends = Ends(options=MuxOptions(open_timeout=50.0, pings_missed=100))
        ours, _ = ends.open()
        late = ends.client.open(Made(Heard))
        for _ in range(8):
            ends.clock.advance(10)
        self.assertEqual((ours.told, late.told), ([], ["lost ConnectionLost"]))

    def test_nobody_reads(self) -> None:
        """The stream that holds too much is reset; its protocol hears why."""
        ends = Ends(options=MuxOptions(limits=MuxLimits(max_unread=1000)))
        ours, theirs = ends.open()
        theirs.transport.pauseProducing()
        ours.transport.write(bytes(1001))
        ends.carry()
        self.assertEqual((ours.told, theirs.told), (["lost ConnectionLost"], ["lost ConnectionLost"]))
        self.assertEqual(ends.server.mux.unread, 0)

    def test_frames_in_one_read(self) -> None:
        """What many frames of one read have for an answer leaves together."""
        ends = Ends(served=Echo)
        ends.clock.advance(0)
        ends.server.transport.clear()
        ends.server.dataReceived(b"".join(wire(DATA, SYN, number, payload=b"x") for number in (1, 3, 5)))
        self.assertEqual([number for _, _, number, _, _ in frames(ends.server.transport.value())], [1, 3, 5])
        self.assertEqual(repr(ends.server), "<MuxConnection <Mux server streams=3 unread=0 ready=0>>")
