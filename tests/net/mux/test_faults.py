"""What fails on one stream is felt on no other, and nothing is kept of what is over."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.net.mux.stream import StreamTransport
from tests.core.mux.wire import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW, frames, wire
from tests.net.mux.ends import Echo, Ends, HalfHeard, Heard


@implementer(IPullProducer, IPushProducer)
class Broken:
    """A producer that fails when it is to go on, and when it is to stop."""

    def resumeProducing(self) -> None:
        raise ValueError("it cannot go on")

    def pauseProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        raise KeyError("nor stop")


class StreamFaultTests(SynchronousTestCase):
    """Two ends, and streams on which something fails."""

    def setUp(self) -> None:
        self.ends = Ends(served=Echo)
        self.ours, _ = self.ends.open()
        self.other, _ = self.ends.open()

    def test_push_producer_that_fails(self) -> None:
        """A producer that fails as it is resumed ends its own stream, whose protocol is told all the same."""
        self.ours.transport.registerProducer(Broken(), True)
        self.ours.transport.write(bytes(self.ours.transport.bufferSize + 1))
        self.other.transport.write(b"goes on")
        self.ends.carry()
        self.assertEqual(self.ours.told, ["lost ConnectionAborted"])
        self.assertEqual((self.other.data, self.other.told), (b"goes on", []))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_pull_producer_that_fails(self) -> None:
        """So does one that is asked for more."""

        class Second(Broken):
            asked = 0

            def resumeProducing(self) -> None:
                self.asked += 1
                if self.asked > 1:
                    super().resumeProducing()
                transport.write(b"first")

        transport = self.ours.transport
        transport.registerProducer(Second(), False)
        self.other.transport.write(b"goes on")
        self.ends.carry()
        self.other.transport.write(b", and on")
        self.ends.carry()
        self.assertEqual(self.ours.told, ["lost ConnectionAborted"])
        self.assertEqual((self.other.data, self.other.told), (b"goes on, and on", []))
        self.flushLoggedErrors(ValueError, KeyError)

    def test_abort_while_the_connection_is_full(self) -> None:
        """Who resets a stream is told in the reactor's next turn, though the connection takes nothing."""
        self.ends.client.pauseProducing()
        self.ours.transport.abortConnection()
        self.assertEqual(self.ours.told, [])
        self.ends.clock.advance(0)
        self.assertEqual(self.ours.told, ["lost ConnectionAborted"])

    def test_nothing_behind_an_abort(self) -> None:
        """Who resets a stream as it reads is given none of what had come with that."""

        class Once(Heard):
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.abortConnection()

        ours, _ = self.ends.open(Once)
        number = ours.transport.stream.id
        self.ends.client.dataReceived(
            wire(DATA, 0, number, payload=b"one") + wire(DATA, 0, number, payload=b"two")
        )
        self.assertEqual(ours.data, b"one")
        self.ends.carry()
        self.assertEqual(ours.told, ["lost ConnectionAborted"])

    def test_opened_and_reset_at_once(self) -> None:
        """A stream that is opened, written, ended and reset in one read is all that to its protocol."""
        ends = Ends()
        ends.server.dataReceived(
            wire(DATA, SYN, 1, payload=b"in vain") + wire(WINDOW, FIN, 1) + wire(WINDOW, RST, 1)
        )
        (theirs,) = ends.served.protocols
        self.assertEqual((theirs.data, theirs.told), (b"in vain", ["their end", "lost ConnectionLost"]))
        self.assertEqual({each[0] for each in frames(ends.server.transport.value())}, {PING})


class KeepingTests(SynchronousTestCase):
    """What is kept, and for how long."""

    def test_streams_that_are_over(self) -> None:
        """Of streams that are over nothing is kept, and no cycle is left for Python to find."""
        ends = Ends()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for end in ("loseConnection", "loseWriteConnection", "abortConnection"):
            ours, theirs = ends.open()
            ours.transport.write(b"x")
            getattr(ours.transport, end)()
            ends.carry()
            if end != "abortConnection":
                theirs.transport.loseConnection()
            ends.carry()
            del ours, theirs
            ends.served.protocols.clear()
            kept = [each for each in gc.get_objects() if isinstance(each, StreamTransport | HalfHeard)]
            self.assertEqual(kept, [], end)

    def test_small_frames(self) -> None:
        """What a paused stream holds takes little more than its bytes, however small they came."""
        ends = Ends()
        ours, theirs = ends.open()
        theirs.transport.pauseProducing()
        data = wire(DATA, 0, ours.transport.stream.id, payload=b"ab") * 1000
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(100):
            ends.server.dataReceived(data)
        self.assertEqual(ends.server.mux.unread, 200_000)
        self.assertLess(tracemalloc.get_traced_memory()[0], 300_000)


class Listener(Protocol):
    """Sends frames, and keeps what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason=connectionDone) -> None:
        self.gone.callback(None)


@pytest_twisted.ensureDeferred
async def test_a_fault_is_told() -> None:
    """Who breaks the protocol reads why, behind the answers to what came before, and is cut."""
    port = await serverFromString(reactor, "mux:tcp:0:interface=127.0.0.1").listen(
        Factory.forProtocol(HalfHeard)
    )
    client = clientFromString(reactor, f"tcp:127.0.0.1:{port.getHost().port}")
    listener = await client.connect(Factory.forProtocol(Listener))
    listener.transport.write(wire(WINDOW, SYN, 1) + wire(PING, SYN, 0, 7) + wire(WINDOW, SYN, 1))
    await listener.gone
    assert [each for each in frames(listener.data) if each[:2] != (PING, SYN)] == [
        (PING, ACK, 0, 7, b""),
        (GO_AWAY, 0, 0, 1, b""),
    ]
    await port.stopListening()
