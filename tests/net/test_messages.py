"""Messages on any transport, and those that nobody has read."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.messages.framing import framed
from tcpsuite.net.messages import APART, AT_ONCE, Inbox, MessageProtocol, MessageStream
from tcpsuite.testing.endpoints import ScriptedTransport


def connected(protocol: Any) -> ScriptedTransport:
    """Its transport."""
    transport = ScriptedTransport()
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return transport


class InboxTests(SynchronousTestCase):
    """Room for four, or ten bytes."""

    def setUp(self) -> None:
        self.rests: list[bool] = []
        self.inbox: Inbox[str] = Inbox(self.rests.append, 4, 10)

    def test_order(self) -> None:
        """Who asks first has the first, whether it is there or comes later."""
        first, second = self.inbox.get(), self.inbox.get()
        for item in "abc":
            self.inbox.put(item, 1)
        self.assertEqual(repr(self.inbox), "<Inbox messages=1 asking=0>")
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), ("a", "b"))
        self.assertEqual((self.successResultOf(self.inbox.get()), len(self.inbox)), ("c", 0))

    def test_full(self) -> None:
        """It rests when it is full, by number or by bytes, and goes on when half is taken."""
        for sizes in ((1, 1, 1, 1), (4, 6)):
            for size in sizes:
                self.assertEqual(self.rests, [])
                self.inbox.put("x", size)
            self.assertEqual(self.rests, [True])
            for _ in sizes:
                self.inbox.get()
            self.assertEqual(self.rests, [True, False])
            self.rests.clear()

    def test_end(self) -> None:
        """What has come can be had behind the end; who asks for more hears of it."""
        self.inbox.put("last", 1)
        self.inbox.close(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(self.inbox.get()), "last")
        self.failureResultOf(self.inbox.get(), ConnectionDone)


class ProtocolTests(SynchronousTestCase):
    """What is said while messages are heard."""

    def test_together(self) -> None:
        """It leaves in one write, but for what is large; outside of that, at once."""

        class Answering(MessageProtocol):
            def heard(self, messages: list[bytes]) -> None:
                for message in messages:
                    self.say_with(b"<", message)

        protocol = Answering()
        transport = connected(protocol)
        writes: list[bytes] = []
        self.patch(transport, "write", writes.append)
        transport.say(framed(b"a") + framed(b"b"))
        self.assertEqual(writes, [b"<a<b"])
        protocol.say_with(b"<", bytes(APART))
        self.assertEqual(writes[1:], [b"<", bytes(APART)])
        transport.say(framed(bytes(AT_ONCE)) + framed(b"c"))
        self.assertEqual([len(write) for write in writes[3:]], [AT_ONCE + 1, 2])

    def test_abstract(self) -> None:
        """What it hears is for those that derive from it."""
        protocol = MessageProtocol(4)
        self.assertRaises(NotImplementedError, protocol.heard, [])
        connected(protocol)
        self.assertRaises(NotImplementedError, protocol.dataReceived, b"\xff\xff\xff\xff")
        protocol.dataReceived(b"more")


class MessageStreamTests(SynchronousTestCase):
    """One end of a stream."""

    def setUp(self) -> None:
        self.stream = MessageStream(2000)
        self.transport = connected(self.stream)

    def test_send(self) -> None:
        """Messages leave together; who sends waits while the peer does not read."""
        self.successResultOf(self.stream.send(b"a", b"bc"))
        self.assertEqual(self.transport.value(), framed(b"a") + framed(b"bc"))
        self.stream.pauseProducing()
        sending, given_up = self.stream.send(b"d"), self.stream.send(b"e")
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        self.assertNoResult(sending)
        self.assertEqual(repr(self.stream), "<MessageStream <Inbox messages=0 asking=0> full>")
        self.stream.resumeProducing()
        self.successResultOf(sending)
        self.stream.pauseProducing()
        last = self.stream.send(b"f")
        self.transport.lose()
        self.failureResultOf(last, ConnectionDone)

    def test_receive(self) -> None:
        """They are received in order; while a thousand wait no more are read."""
        self.transport.say(framed(b"x") * 1000)
        self.assertEqual(self.transport.producerState, "paused")
        for _ in range(500):
            self.assertEqual(self.successResultOf(self.stream.receive()), b"x")
        self.assertEqual(self.transport.producerState, "producing")

    def test_too_long(self) -> None:
        """One that is too long ends the stream."""
        self.transport.say(b"\xff\xff\xff\xff")
        self.assertTrue(self.transport.disconnected)
