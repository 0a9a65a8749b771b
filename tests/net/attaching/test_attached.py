"""A connection that lasts, and the carriers that come and go, without a socket."""

from __future__ import annotations

from twisted.internet.interfaces import ISSLTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from tcpsuite.core.attaching.frames import END, Frame, FrameReader, Kind, broken, passed
from tcpsuite.errors import ProtocolError
from tcpsuite.net.attaching.carriers import BEAT, BEATS_MISSED
from tests.support.carrying import End, Line, Pair


class JoinedTests(SynchronousTestCase):
    """Two halves, joined by a carrier that is never lost."""

    def setUp(self) -> None:
        self.pair = Pair()
        self.near, self.far = self.pair.ends
        line = self.pair.join()
        assert line is not None
        self.line = line
        self.pair.run()

    def finish(self) -> None:
        """Both far ends have closed, and nothing is left."""
        self.near.finish()
        self.far.finish()
        self.pair.run()
        self.assertEqual((self.near.over, self.far.over), (1, 1))
        self.assertEqual((self.near.left, self.far.left), (0, 0))
        self.assertFalse(self.near.transport.connected or self.far.transport.connected)
        self.assertEqual(self.pair.timers(), [])

    def test_both_ways(self) -> None:
        """What one end says the other one hears, in order."""
        for data in (b"one", b"two"):
            self.near.say(data)
            self.far.say(data.upper())
        self.pair.run()
        self.assertEqual((self.far.heard, self.near.heard), (b"onetwo", b"ONETWO"))
        self.finish()

    def test_fin(self) -> None:
        """A FIN becomes a FIN behind the last byte; the other way goes on."""
        self.near.say(b"question")
        self.near.finish()
        self.pair.run()
        self.assertEqual((self.far.heard, self.far.transport.finished), (b"question", True))
        self.far.say(b"answer")
        self.pair.run()
        self.assertEqual((self.near.heard, self.near.transport.finished), (b"answer", False))
        self.finish()

    def test_reset(self) -> None:
        """A reset becomes a reset, behind what was said before it and comes with it, and all is over."""
        self.near.say(b"last words")
        self.near.reset()
        self.pair.run()
        self.assertEqual((self.far.heard, self.far.transport.connected), (b"last words", False))
        self.assertTrue(self.far.transport.disconnected)
        self.assertEqual((self.near.over, self.far.over), (1, 1))
        self.assertEqual(self.pair.timers(), [])

    def test_closed_as_a_whole(self) -> None:
        """An end that closes both its halves at once is a FIN to the other one, who may close as well."""
        self.near.say(b"bye")
        self.near.transport.lose()
        self.pair.run()
        self.assertEqual((self.far.heard, self.far.transport.finished), (b"bye", True))
        self.far.finish()
        self.pair.run()
        self.assertEqual((self.near.over, self.far.over, self.pair.timers()), (1, 1, []))
        self.assertFalse(self.far.transport.disconnected)

    def test_too_late(self) -> None:
        """Who speaks on to an end that has closed both its halves is reset."""
        self.near.say(b"bye")
        self.near.transport.lose()
        self.pair.run()
        self.assertTrue(self.far.transport.connected)
        self.far.say(b"too late")
        self.pair.run()
        self.assertEqual((self.far.heard, self.far.transport.disconnected), (b"bye", True))
        self.assertEqual((self.near.over, self.far.over, self.pair.timers()), (1, 1, []))

    def test_reset_behind_a_fin(self) -> None:
        """An end that has finished, and is reset when it is spoken to, resets whoever speaks."""
        self.near.say(b"bye")
        self.near.finish()
        self.pair.run()
        self.near.reset()
        self.pair.run()
        self.assertEqual((self.far.heard, self.far.transport.disconnected), (b"bye", True))
        self.assertEqual((self.near.over, self.far.over, self.pair.timers()), (1, 1, []))

    def test_reset_behind_all(self) -> None:
        """A reset that comes when both have said their last word spoils nothing."""
        self.near.finish()
        self.far.finish()
        self.line.deliver(0, 1_000_000)
        self.near.reset()
        self.assertTrue(self.near.was_reset)
        self.pair.run()
        self.assertEqual((self.near.over, self.far.over, self.pair.timers()), (1, 1, []))
        self.assertEqual((self.far.attached.incoming.last, self.far.transport.disconnected), (END, False))

    def test_tls(self) -> None:
        """TLS has no half-close: a FIN closes the whole."""
        alsoProvides(self.far.transport, ISSLTransport)
        self.near.finish()
        self.pair.run()
        self.assertEqual((self.far.transport.finished, self.far.transport.connected), (False, False))
        self.assertEqual((self.near.over, self.far.over, self.pair.timers()), (1, 1, []))

    def test_window(self) -> None:
        """While an end takes nothing, no more than its window is sent to it; then all of it."""
        self.far.fill(True)
        self.near.say(bytes(300))
        self.pair.run()
        self.assertEqual(len(self.far.heard), 100)
        self.far.fill(False)
        self.pair.run()
        self.assertEqual(len(self.far.heard), 300)
        self.finish()

    def test_bound(self) -> None:
        """An end of which as much is kept as may be is not read, until some of it has arrived."""
        self.far.fill(True)
        self.near.say(bytes(999))
        self.assertTrue(self.near.reads)
        self.near.say(b"x")
        self.assertFalse(self.near.reads)
        self.pair.run()
        self.assertFalse(self.near.reads)
        self.far.fill(False)
        self.pair.run()
        self.assertTrue(self.near.reads)
        self.assertEqual(len(self.far.heard), 1000)
        self.finish()

    def test_full_carrier(self) -> None:
        """While a carrier takes nothing, nothing more is put on it; what was not goes when it has room."""
        carrier, transport = self.line.carriers[0], self.line.transports[0]
        carrier.pauseProducing()
        self.near.say(b"later")
        self.assertEqual(transport.value(), b"")
        carrier.resumeProducing()
        self.pair.run()
        self.assertEqual(self.far.heard, b"later")
        carrier.stopProducing()
        self.finish()

    def test_beats(self) -> None:
        """Each side gives a sign of life every so often, however silent the ends are."""
        for _ in range(2 * BEATS_MISSED):
            self.pair.clock.advance(BEAT)
            self.assertEqual(len(self.line.transports[0].value()), len(passed(0).encode()))
            self.pair.run()
        self.assertEqual(self.line.carriers[0].fault, "")
        self.assertTrue(self.line.carriers[0].lasts)
        self.finish()

    def test_silence(self) -> None:
        """A carrier on which nothing is heard for some beats is given up."""
        carrier, transport = self.line.carriers[0], self.line.transports[0]
        for _ in range(BEATS_MISSED):
            self.pair.clock.advance(BEAT)
        self.assertFalse(transport.disconnected)
        self.pair.clock.advance(BEAT)
        self.assertTrue(transport.disconnected and carrier.was_silent)
        self.assertEqual(carrier.fault, "nothing was heard of the other half for 45 s")
        self.assertFalse(carrier.lasts)
        self.pair.run()
        self.assertEqual((self.near.left, self.near.over), (1, 0))
        self.near.attached.cut()
        self.far.attached.cut()
        self.assertEqual(self.pair.timers(), [])

    def test_frames_that_mean_nothing(self) -> None:
        """Whoever breaks the rules loses the carrier, and nothing else."""
        for number, data in enumerate((b"GET / HTTP/1.1\r\n", passed(1).encode(), bytes(5)), 1):
            line = self.pair.join()
            assert line is not None
            line.carriers[0].data_received(data)
            self.assertTrue(line.transports[0].disconnected)
            self.assertNotEqual(line.carriers[0].fault, "")
            line.carriers[0].data_received(b"more of it")
            self.pair.run()
            self.assertEqual(self.near.left, number)
        self.pair.join()
        self.finish_after_loss()

    def finish_after_loss(self) -> None:
        """As :meth:`finish`, where carriers were lost before."""
        self.near.left = self.far.left = 0
        self.finish()

    def test_more_than_its_window(self) -> None:
        """What goes beyond the window is against the rules."""
        self.far.fill(True)
        with self.assertRaises(ProtocolError):
            self.far.attached.take(Frame(Kind.DATA, bytes(101)))
        self.finish()

    def test_half_closed_carrier(self) -> None:
        """A carrier whose other side says nothing more is none: it is reset."""
        self.line.carriers[0].read_connection_lost()
        self.assertTrue(self.line.transports[0].disconnected)
        self.pair.run()
        self.assertEqual((self.near.left, self.far.left), (1, 1))
        self.pair.join()
        self.finish_after_loss()

    def test_cut(self) -> None:
        """An end that is cut is reset, whatever is kept of it, and its carrier is closed."""
        self.near.say(b"x")
        self.near.attached.cut()
        self.near.attached.cut()
        self.assertTrue(self.near.transport.disconnected and self.line.transports[0].disconnecting)
        self.assertEqual(self.near.over, 1)
        self.pair.run()
        self.assertEqual(self.far.left, 1)
        self.far.attached.cut()
        self.assertEqual(self.pair.timers(), [])

    def test_repr(self) -> None:
        """What there is to see."""
        self.assertIn("<FramedCarrier open>", repr(self.near.attached))
        self.finish()
        self.assertIn("<FramedCarrier closing>", repr(self.line.carriers[0]))
        self.near.attached.writeConnectionLost()
        self.near.attached.stopProducing()


class LostTests(SynchronousTestCase):
    """Carriers that are lost, and others after them."""

    def setUp(self) -> None:
        self.pair = Pair()
        self.near, self.far = self.pair.ends

    def test_goes_on(self) -> None:
        """What did not arrive is sent again, and what did is not."""
        line = self.pair.join()
        assert line is not None
        self.pair.run()
        self.near.say(b"one")
        self.pair.run()
        self.near.say(b"two")
        self.near.say(b"three")
        line.deliver(1, 5 + 3 + 5 + 2)  # b"two", and a part of the next frame
        line.lose()
        self.assertEqual(self.far.heard, b"onetwo")
        self.assertEqual((self.near.left, self.far.left), (1, 1))
        self.pair.join()
        self.pair.run()
        self.assertEqual(self.far.heard, b"onetwothree")

    def test_meanwhile(self) -> None:
        """What is said while there is no carrier is kept, up to the bound, with its end."""
        self.near.say(b"x" * 600)
        self.near.say(b"y" * 600)
        self.assertFalse(self.near.reads)
        self.pair.join()
        self.pair.run()
        self.assertTrue(self.near.reads)
        self.assertEqual(self.far.heard, b"x" * 600 + b"y" * 600)
        line = self.pair.lines[0]
        line.lose()
        self.near.say(b"z")
        self.near.finish()
        self.pair.join()
        self.pair.run()
        self.assertEqual((self.far.heard[-1:], self.far.transport.finished), (b"z", True))

    def test_reset_meanwhile(self) -> None:
        """A reset while there is no carrier is told to whoever comes next."""
        self.near.say(b"last words")
        self.near.reset()
        self.pair.join()
        self.pair.run()
        self.assertEqual((self.far.heard, self.far.transport.disconnected), (b"last words", True))
        self.assertEqual((self.near.over, self.far.over, self.pair.timers()), (1, 1, []))

    def test_taken_over(self) -> None:
        """When somebody else carries on, the one before is told, and closes; nobody takes that for a loss."""
        first = self.pair.join()
        assert first is not None
        self.pair.run()
        other = End(1000, 100, self.pair.clock)
        second = Line((self.near, other), self.pair.clock)
        self.pair.lines.append(second)
        for carrier in second.carriers:
            carrier.start(0, 100)
        frames = list(FrameReader().feed(first.transports[0].value()))
        self.assertEqual([frame.kind for frame in frames], [Kind.TAKEN])
        self.pair.run()
        self.assertTrue(first.lost and first.carriers[1].was_taken)
        self.assertEqual((self.near.left, self.far.left, self.far.over), (0, 1, 0))
        self.near.say(b"on")
        self.pair.run()
        self.assertEqual((self.far.heard, other.heard), (b"", b"on"))
        for attached in (self.near.attached, other.attached):
            attached.cut()
        self.assertEqual(self.pair.timers(), [])

    def test_lost_end(self) -> None:
        """What arrives for an end that is gone is passed on to nobody, and told to have arrived."""
        self.pair.join()
        self.pair.run()
        self.far.transport.lose()
        self.near.say(bytes(500))
        self.near.finish()
        self.pair.run()
        self.assertEqual((self.near.over, self.far.over, self.pair.timers()), (1, 1, []))


class BrokenTests(SynchronousTestCase):
    """A reset that comes from the other half."""

    def test_behind_what_is_not_taken(self) -> None:
        """A reset does not wait for what an end has not taken."""
        pair = Pair()
        pair.join()
        pair.run()
        pair.ends[1].fill(True)
        pair.ends[0].say(b"x")
        pair.ends[0].reset()
        pair.run()
        self.assertTrue(pair.ends[1].transport.disconnected)
        self.assertEqual([end.over for end in pair.ends], [1, 1])
        self.assertEqual(pair.timers(), [])

    def test_why(self) -> None:
        """The other half is told why."""
        pair = Pair()
        pair.ends[0].reset()
        last = pair.ends[0].attached.outgoing.last
        assert last is not None
        self.assertEqual(last, broken(last.payload.decode()))
        self.assertIn("lost", last.payload.decode())
