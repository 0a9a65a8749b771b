"""Connections that pass so many bytes a second, each way."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer, ITCPTransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.limits.bandwidth import HOLDS, SLICE, Bucket, Flow
from tcpsuite.net.throttle import Throttle
from tcpsuite.net.wrappers import beneath
from tests.support.toy import TCPTransport

RATE = 10_000
HIGH_WATER = 1000


class Transport(TCPTransport):
    """A transport of strings that knows when its producer is taken away."""

    def unregisterProducer(self) -> None:
        """As on a socket, where none may have been registered."""
        self.producer = None


@implementer(IPushProducer)
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


@implementer(IPullProducer)
class Puller:
    """Writes one piece each time it is asked, and then no more."""

    def __init__(self, throttle: Throttle, pieces: int) -> None:
        self.throttle = throttle
        self.left = pieces

    def resumeProducing(self) -> None:
        self.left -= 1
        self.throttle.write(b"x" * 500)
        if not self.left:
            self.throttle.unregisterProducer()

    def stopProducing(self) -> None:
        self.left = 0


class ThrottleTests(SynchronousTestCase):
    """Ten thousand bytes a second, each way."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.transport = Transport()
        self.throttle = self.make(RATE)
        self.came = bytearray()
        self.throttle.hand_on = self.came.extend

    def make(self, rate: int) -> Throttle:
        arriving, leaving = Flow(), Flow()
        for flow in (arriving, leaving):
            flow.add(Bucket(rate, 0.0))
        return Throttle(self.transport, arriving, leaving, self.clock, HIGH_WATER)

    def steps(self, seconds: float, step: float = 0.005) -> list[int]:
        """How much had come and left, together, in each tenth of a second of so many."""
        sums, before, due = [], 0, 0.1
        for number in range(1, round(seconds / step) + 1):
            self.clock.advance(step)
            if number * step >= due - 1e-9:
                now = len(self.came) + len(self.transport.value())
                sums.append(now - before)
                before, due = now, due + 0.1
        return sums

    def assert_even(self, sums: list[int]) -> None:
        """Each tenth of a second had its share, within a slice; all together, within a twentieth."""
        share = RATE / 10
        for each in sums:
            self.assertTrue(abs(each - share) <= RATE * SLICE + 1, sums)
        self.assertTrue(abs(sum(sums) - share * len(sums)) <= 0.05 * share * len(sums), sums)

    def test_what_comes(self) -> None:
        """It is handed on at the rate, evenly, and all of it in its order; meanwhile the peer is not read."""
        data = bytes(range(250)) * 400
        self.throttle.received(data)
        self.assertEqual(self.transport.producerState, "paused")
        self.assert_even(self.steps(9.9))
        self.steps(0.5)
        self.assertEqual(bytes(self.came), data)
        self.assertEqual(self.transport.producerState, "producing")

    def test_what_leaves(self) -> None:
        """It leaves at the rate, evenly, and all of it in its order."""
        data = bytes(range(250)) * 400
        self.throttle.writeSequence([data[:7], data[7:]])
        self.assert_even(self.steps(9.9))
        self.steps(0.5)
        self.assertEqual(self.transport.value(), data)
        self.assertEqual(repr(self.throttle), "<Throttle arriving=0 leaving=0>")

    def test_little_now_and_then(self) -> None:
        """Who stays below the rate waits for nothing that it has saved up."""
        self.clock.advance(HOLDS)
        self.throttle.received(b"a" * 500)
        self.throttle.write(b"b" * 500)
        self.assertEqual((len(self.came), len(self.transport.value())), (500, 500))
        self.assertEqual(self.transport.producerState, "producing")

    def test_a_protocol_that_does_not_read(self) -> None:
        """While the protocol does not want it nothing is handed on, and the peer is not read."""
        self.clock.advance(HOLDS)
        self.throttle.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.throttle.received(b"a" * 2000)
        self.clock.advance(5)
        self.assertEqual(len(self.came), 0)
        self.throttle.resumeProducing()
        self.assertEqual((len(self.came), self.transport.producerState), (1000, "paused"))
        self.steps(0.2)
        self.assertEqual((len(self.came), self.transport.producerState), (2000, "producing"))

    def test_a_protocol_that_stops_in_between(self) -> None:
        """A protocol that has enough after the first slice gets no second one."""

        def once(data: bytes) -> None:
            self.came.extend(data)
            self.throttle.pauseProducing()

        self.throttle.hand_on = once
        self.throttle.received(b"a" * 2000)
        self.steps(1.0)
        self.assertEqual(len(self.came), RATE * SLICE)

    def test_a_protocol_that_resumes_at_once(self) -> None:
        """A protocol that stops reading while it works on what came, and takes its time, is handed what comes
        next behind that, and not in the midst of it.
        """
        numbers = b"".join(b"%04d" % number for number in range(500))
        depth, deepest = 0, 0

        def slow(data: bytes) -> None:
            nonlocal depth, deepest
            depth, deepest = depth + 1, max(deepest, depth + 1)
            self.throttle.pauseProducing()
            self.clock.rightNow += 0.03
            self.throttle.resumeProducing()
            self.came.extend(data)
            depth -= 1

        self.throttle.hand_on = slow
        self.throttle.received(numbers)
        self.steps(1.0)
        self.assertEqual((bytes(self.came), deepest), (numbers, 1))
        self.assertEqual(self.transport.producerState, "producing")

    def test_a_protocol_that_fails(self) -> None:
        """What a protocol raises is the transport's to see to; the next slice comes all the same."""

        def fail(data: bytes) -> None:
            raise RuntimeError("out of order")

        self.throttle.hand_on = fail
        self.clock.advance(HOLDS)
        self.assertRaises(RuntimeError, self.throttle.received, b"x" * 2000)
        self.throttle.hand_on = self.came.extend
        self.throttle.resumeProducing()
        self.steps(0.2)
        self.assertEqual(len(self.came), 1000)

    def test_held_back(self) -> None:
        """It tells whether something waits for bandwidth; not what waits for the peer or the protocol."""
        self.assertFalse(self.throttle.held_back())
        for act in (self.throttle.received, self.throttle.write):
            act(b"x" * 5000)
            self.assertTrue(self.throttle.held_back())
            self.steps(1.0)
            self.assertFalse(self.throttle.held_back())
        outlet: Any = self.transport.producer
        self.throttle.pauseProducing()
        outlet.pauseProducing()
        self.throttle.received(b"x" * 5000)
        self.throttle.write(b"x" * 5000)
        self.assertFalse(self.throttle.held_back())
        self.throttle.resumeProducing()
        self.assertTrue(self.throttle.held_back())

    def test_a_reset_behind_what_waits(self) -> None:
        """A reset may wait until all has left, whoever produces more, and then for one turn."""
        self.throttle.registerProducer(Producer(), True)
        self.throttle.write(b"x" * 1000)
        self.throttle.abort_behind()
        self.clock.advance(0.05)
        self.assertFalse(self.transport.disconnected)
        self.steps(0.2)
        self.assertEqual((len(self.transport.value()), self.transport.disconnected), (1000, True))

    def test_a_streaming_producer(self) -> None:
        """It is told to wait when more than the mark waits to leave, and to go on when all has left."""
        producer = Producer()
        self.throttle.registerProducer(producer, True)
        self.assertRaises(RuntimeError, self.throttle.registerProducer, producer, True)
        self.throttle.write(b"x" * HIGH_WATER)
        self.assertEqual(producer.told, [])
        self.throttle.write(b"x")
        self.assertEqual(producer.told, ["pause"])
        self.steps(0.2)
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_a_full_transport(self) -> None:
        """When the transport takes no more, nothing leaves, and the producer waits, whatever the rate."""
        producer = Producer()
        self.throttle.registerProducer(producer, True)
        outlet: Any = self.transport.producer
        outlet.pauseProducing()
        self.throttle.write(b"x" * 10)
        self.steps(0.5)
        self.assertEqual((producer.told, self.transport.value()), (["pause"], b""))
        outlet.resumeProducing()
        self.assertEqual((producer.told, len(self.transport.value())), (["pause", "resume"], 10))

    def test_a_producer_that_is_asked(self) -> None:
        """It is asked for more whenever all has left, at the rate, until it has no more."""
        puller = Puller(self.throttle, 20)
        self.throttle.registerProducer(puller, False)
        self.steps(0.5)
        self.assertTrue(4000 <= len(self.transport.value()) <= 5000, len(self.transport.value()))
        self.steps(1.0)
        self.assertEqual((len(self.transport.value()), puller.left), (10_000, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing(self) -> None:
        """It is closed behind what was written; half of it too."""
        self.throttle.write(b"x" * 1000)
        self.throttle.loseConnection()
        self.assertTrue(self.throttle.disconnecting)
        self.assertFalse(self.transport.disconnecting)
        self.steps(0.2)
        self.assertEqual((len(self.transport.value()), self.transport.disconnecting), (1000, True))
        self.assertIsNone(self.transport.producer)

    def test_half_closing(self) -> None:
        """The writing half is closed behind what was written, and what comes comes on."""
        self.throttle.write(b"x" * 1000)
        self.throttle.loseWriteConnection()
        self.assertFalse(self.transport.half_closed)
        self.steps(0.2)
        self.assertTrue(self.transport.half_closed)
        self.throttle.received(b"y")
        self.assertEqual(bytes(self.came), b"y")

    def test_closing_with_a_producer(self) -> None:
        """A producer is waited for, as by any transport."""
        self.throttle.registerProducer(Producer(), True)
        self.throttle.loseConnection()
        self.assertFalse(self.transport.disconnecting)
        self.throttle.unregisterProducer()
        self.assertTrue(self.transport.disconnecting)

    def test_aborting(self) -> None:
        """A reset waits for nothing, and leaves no timer."""
        self.throttle.write(b"x" * 1000)
        self.throttle.received(b"x" * 1000)
        self.throttle.abortConnection()
        self.assertTrue(self.transport.disconnected)
        self.throttle.lost()
        self.assertEqual((len(self.came), self.clock.getDelayedCalls()), (0, []))

    def test_lost(self) -> None:
        """What had come before the end is handed on, at once; the producer is stopped; no timer is left."""
        producer = Producer()
        self.throttle.registerProducer(producer, True)
        self.throttle.received(b"x" * 5000)
        self.throttle.write(b"x" * 500)
        outlet: Any = self.transport.producer
        outlet.stopProducing()
        self.throttle.lost()
        self.assertEqual((len(self.came), producer.told), (5000, ["stop"]))
        self.throttle.write(b"x")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        late = Producer()
        self.throttle.registerProducer(late, True)
        self.assertEqual(late.told, ["stop"])

    def test_is_what_is_beneath(self) -> None:
        """It is of the kind of the transport beneath, which is found through it, and asked what it is not."""
        self.assertTrue(ITCPTransport.providedBy(self.throttle))
        self.assertIs(beneath(self.throttle), self.transport)
        self.assertEqual(self.throttle.getPeer(), self.transport.getPeer())
