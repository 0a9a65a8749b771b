"""A protocol on a stream finds what it finds on a socket."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tcpsuite.core.mux.frames import INITIAL_WINDOW
from tests.net.mux.ends import Echo, Ends, HalfHeard, Heard, Made


class Producer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class StreamTransportTests(SynchronousTestCase):
    """Two ends of a connection, and a stream on it."""

    def setUp(self) -> None:
        self.ends = Ends()
        self.ours, self.theirs = self.ends.open()

    def carry(self) -> None:
        """All that is under way arrives."""
        self.ends.carry()

    def test_interfaces(self) -> None:
        """It is what a TCP transport is."""
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, self.ours.transport)
        transport = self.ours.transport
        self.assertEqual(transport.getPeer(), self.ends.client.transport.getPeer())
        self.assertEqual(transport.getHost(), self.ends.client.transport.getHost())
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self.assertTrue(transport.getTcpNoDelay() and transport.getTcpKeepAlive())

    def test_bytes(self) -> None:
        """What is written arrives, in order, and is counted."""
        self.ours.transport.write(b"one, ")
        self.ours.transport.writeSequence([b"two, ", b"three"])
        self.carry()
        self.assertEqual(self.theirs.data, b"one, two, three")
        self.assertEqual((self.ours.transport.bytes_out, self.theirs.transport.bytes_in), (15, 15))
        self.assertEqual(self.theirs.transport.reads, 1)

    def test_not_bytes(self) -> None:
        """What is not of bytes is refused, and says so."""
        self.assertRaises(TypeError, self.ours.transport.write, "text")

    def test_half_close(self) -> None:
        """A FIN is a FIN: the other way goes on, and when both have ended both are told."""
        self.ours.transport.write(b"last")
        self.ours.transport.loseWriteConnection()
        self.ours.transport.loseWriteConnection()
        self.ours.transport.write(b"too late")
        self.carry()
        self.assertEqual((self.theirs.data, self.theirs.told), (b"last", ["their end"]))
        self.assertEqual(self.ours.told, ["our end"])
        self.theirs.transport.write(b"answer")
        self.theirs.transport.loseWriteConnection()
        self.carry()
        self.assertEqual(self.ours.data, b"answer")
        self.assertEqual(self.ours.told, ["our end", "their end", "lost ConnectionDone"])
        self.assertEqual(self.theirs.told, ["their end", "our end", "lost ConnectionDone"])
        self.assertEqual((self.ends.client.mux.streams, self.ends.server.mux.streams), ({}, {}))

    def test_close(self) -> None:
        """Closing sends what is queued, then the end; what still comes is nobody's."""
        self.ours.transport.write(b"bye")
        self.ours.transport.loseConnection()
        self.ours.transport.loseConnection()
        self.assertTrue(self.ours.transport.disconnecting)
        self.assertEqual(self.ours.told, [])
        self.carry()
        self.assertEqual(self.ours.told, ["lost ConnectionDone"])
        self.assertEqual((self.theirs.data, self.theirs.told), (b"bye", ["their end"]))
        self.theirs.transport.write(bytes(10 * INITIAL_WINDOW))
        self.carry()
        self.assertEqual(self.ours.data, b"")
        self.theirs.transport.loseConnection()
        self.carry()
        self.assertEqual((self.ends.client.mux.streams, self.ends.server.mux.streams), ({}, {}))

    def test_no_half_close(self) -> None:
        """Whose protocol knows no half-close is closed by the other's end."""
        ours, theirs = self.ends.open(Heard)
        ours.transport.write(b"on its way")
        theirs.transport.loseWriteConnection()
        self.carry()
        self.assertEqual(ours.told, ["lost ConnectionDone"])
        self.assertEqual(theirs.data, b"on its way")
        self.assertEqual(theirs.told, ["our end", "their end", "lost ConnectionDone"])

    def test_close_behind_window(self) -> None:
        """What the other side has no room for yet is sent before the end."""
        self.theirs.transport.pauseProducing()
        self.ours.transport.write(bytes(3 * INITIAL_WINDOW))
        self.ours.transport.loseConnection()
        self.carry()
        self.assertEqual(self.ours.told, [])
        self.theirs.transport.resumeProducing()
        self.carry()
        self.assertEqual(self.ours.told, ["lost ConnectionDone"])
        self.assertEqual((len(self.theirs.data), self.theirs.told), (3 * INITIAL_WINDOW, ["their end"]))

    def test_abort(self) -> None:
        """A reset takes what is queued with it; both hear of it."""
        self.ours.transport.write(b"never sent")
        self.ours.transport.abortConnection()
        self.ours.transport.abortConnection()
        self.assertEqual(self.ours.told, [])
        self.carry()
        self.assertEqual(self.ours.told, ["lost ConnectionAborted"])
        self.assertEqual((self.theirs.data, self.theirs.told), (b"", ["lost ConnectionLost"]))

    def test_connection_lost(self) -> None:
        """All streams are lost with their connection."""
        other, _ = self.ends.open(Heard)
        self.ends.lose(self.ends.client)
        self.assertEqual(self.ours.told, ["lost ConnectionLost"])
        self.assertEqual(other.told, ["lost ConnectionLost"])
        self.ends.lose(self.ends.server)
        self.assertEqual(self.ends.clock.getDelayedCalls(), [])
        transport = other.transport
        for act in (transport.loseConnection, transport.abortConnection, transport.loseWriteConnection):
            act()
        transport.write(b"x")
        self.assertEqual(self.ends.clock.getDelayedCalls(), [])

    def test_paused(self) -> None:
        """Who is paused is told nothing, the sender stops at the window, and other streams go on."""
        other, their_other = self.ends.open()
        self.theirs.transport.pauseProducing()
        self.ours.transport.write(bytes(2 * INITIAL_WINDOW))
        other.transport.write(b"passes")
        self.carry()
        self.assertEqual((self.theirs.data, their_other.data), (b"", b"passes"))
        self.assertEqual(self.ours.transport.unsent(), INITIAL_WINDOW)
        self.ours.transport.loseWriteConnection()
        self.carry()
        self.theirs.transport.resumeProducing()
        self.carry()
        self.assertEqual((len(self.theirs.data), self.theirs.told), (2 * INITIAL_WINDOW, ["their end"]))

    def test_resumed(self) -> None:
        """What came meanwhile is told in order, and behind the call that resumes it; the end is told once."""
        self.theirs.transport.pauseProducing()
        self.ours.transport.write(b"first ")
        self.carry()
        self.theirs.transport.resumeProducing()
        self.assertEqual(self.theirs.data, b"")
        self.ours.transport.write(b"second")
        self.ours.transport.loseWriteConnection()
        self.carry()
        self.assertEqual((self.theirs.data, self.theirs.told), (b"first second", ["their end"]))
        self.theirs.transport.pauseProducing()
        self.theirs.transport.resumeProducing()
        self.carry()
        self.assertEqual(self.theirs.told, ["their end"])

    def test_paused_again(self) -> None:
        """Who is paused again before it was told hears nothing."""
        self.theirs.transport.pauseProducing()
        self.ours.transport.write(b"later")
        self.carry()
        self.theirs.transport.resumeProducing()
        self.theirs.transport.pauseProducing()
        self.carry()
        self.assertEqual(self.theirs.data, b"")
        self.theirs.transport.resumeProducing()
        self.carry()
        self.assertEqual(self.theirs.data, b"later")

    def test_at_rest(self) -> None:
        """One with nothing left on it, and both halves open, may be lent to somebody else."""
        transport = self.theirs.transport
        self.assertTrue(transport.at_rest)
        transport.write(b"waits for its turn")
        self.assertFalse(transport.at_rest)
        self.carry()
        self.assertTrue(transport.at_rest)
        transport.pauseProducing()
        self.ours.transport.write(b"unread")
        self.carry()
        self.assertFalse(transport.at_rest)
        transport.resumeProducing()
        self.carry()
        self.assertTrue(transport.at_rest)
        transport.loseWriteConnection()
        self.assertFalse(transport.at_rest)
        self.ours.transport.loseWriteConnection()
        self.carry()
        self.assertFalse(transport.at_rest)

    def test_stop_producing(self) -> None:
        """Who wants nothing more closes it."""
        self.theirs.transport.stopProducing()
        self.carry()
        self.assertEqual((self.theirs.told, self.ours.told), (["lost ConnectionDone"], ["their end"]))

    def test_lost_while_paused(self) -> None:
        """What a paused protocol was not given is given back to the connection's room."""
        self.theirs.transport.pauseProducing()
        self.ours.transport.write(bytes(1000))
        self.carry()
        self.assertEqual(self.ends.server.mux.unread, 1000)
        self.ours.transport.abortConnection()
        self.carry()
        self.assertEqual((self.theirs.told, self.ends.server.mux.unread), (["lost ConnectionLost"], 0))

    def test_push_producer(self) -> None:
        """A producer is paused while much is queued, resumed when all has left, and stopped at the end."""
        producer = Producer()
        self.ours.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, self.ours.transport.registerProducer, producer, True)
        self.assertIs(self.ours.transport.producer, producer)
        self.ours.transport.write(bytes(self.ours.transport.bufferSize))
        self.assertEqual(producer.told, [])
        self.ours.transport.write(b"one more")
        self.assertEqual(producer.told, ["pause"])
        self.carry()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.ours.transport.abortConnection()
        self.carry()
        self.assertEqual(producer.told, ["pause", "resume", "stop"])
        self.assertIsNone(self.ours.transport.producer)
        late = Producer()
        self.ours.transport.registerProducer(late, True)
        self.assertEqual(late.told, ["stop"])

    def test_pull_producer(self) -> None:
        """A producer that is to be asked is asked each time that all has left."""
        transport = self.ours.transport

        class Three(Producer):
            def resumeProducing(self) -> None:
                super().resumeProducing()
                transport.write(b"x" * 100_000)
                if len(self.told) == 3:
                    transport.unregisterProducer()

        producer = Three()
        transport.registerProducer(producer, False)
        self.carry()
        self.assertEqual(producer.told, ["resume"] * 3)
        self.assertEqual(len(self.theirs.data), 300_000)

    def test_close_waits_for_producer(self) -> None:
        """Closing waits until the producer is done."""
        producer = Producer()
        for close in (self.ours.transport.loseConnection, self.theirs.transport.loseWriteConnection):
            transport = close.__self__
            transport.registerProducer(producer, True)
            close()
            transport.write(b"more")
            self.carry()
        self.assertEqual((self.ours.data, self.theirs.data), (b"", b"more"))
        self.assertEqual((self.ours.told, self.theirs.told), ([], []))
        self.theirs.transport.unregisterProducer()
        self.ours.transport.unregisterProducer()
        self.carry()
        self.assertEqual(self.ours.told, ["lost ConnectionDone"])

    def test_broken_protocol(self) -> None:
        """A protocol that fails ends its own stream, and no other."""

        class Broken(Heard):
            def dataReceived(self, data: bytes) -> None:
                raise ValueError(data)

            def connectionLost(self, reason=None) -> None:
                raise KeyError("again")

        other, their_other = self.ends.open()
        _, theirs = self.ends.open(Broken)
        theirs.transport.write(b"boo")
        their_other.transport.write(b"fine")
        self.carry()
        self.assertEqual((theirs.told, other.data), (["lost ConnectionLost"], b"fine"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_broken_end(self) -> None:
        """So does one that fails when it hears of the other's end."""

        class Broken(HalfHeard):
            def readConnectionLost(self) -> None:
                raise ValueError("no end")

        ours, theirs = self.ends.open(Broken)
        theirs.transport.loseWriteConnection()
        self.carry()
        self.assertEqual(theirs.told, ["our end", "lost ConnectionLost"])
        self.assertEqual(ours.told, ["lost ConnectionAborted"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_repr(self) -> None:
        """It tells its state."""
        self.assertIn("<StreamTransport <Stream 1 ", repr(self.ours.transport))
        transport = self.ours.transport
        transport.abortConnection()
        self.carry()
        self.assertTrue(repr(transport).endswith(" lost>"))


class AcceptTests(SynchronousTestCase):
    """Streams that the other side opens."""

    def test_factories(self) -> None:
        """Any factory serves; one that gives nothing, or fails, has the stream reset."""
        ends = Ends(served=Echo)
        ours, _ = ends.open()
        ours.transport.write(b"hello")
        ends.carry()
        self.assertEqual(ours.data, b"hello")

    def test_refused(self) -> None:
        """A factory that wants none has the stream reset, and so has one that fails."""
        ends = Ends(served=lambda: None)
        ours, _ = ends.open()
        self.assertEqual(ours.told, ["lost ConnectionLost"])

        def broken() -> None:
            raise ValueError("no protocol")

        ends = Ends(served=broken)
        ours = ends.client.open(Made(Heard))
        ends.carry()
        self.assertEqual(ours.told, ["lost ConnectionLost"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_none_wanted(self) -> None:
        """A side without a factory takes no streams; a factory that gives nothing opens none."""
        ends = Ends()
        theirs = ends.server.open(Made(Heard))
        ends.carry()
        self.assertEqual(theirs.told, ["lost ConnectionLost"])
        self.assertIsNone(ends.client.open(Made(lambda: None)))
        self.assertEqual(ends.client.mux.streams, {})

    def test_factory_of_twisted(self) -> None:
        """Twisted's own factories serve as they are."""
        ends = Ends()
        ends.server._factory = Factory.forProtocol(Echo)
        ours = ends.client.open(Made(Heard))
        ours.transport.write(b"abc")
        ends.carry()
        self.assertEqual(ours.data, b"abc")
        self.assertIsInstance(ends.client.transport, StringTransport)
