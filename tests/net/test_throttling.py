"""Which connections are throttled, and who shares."""

from __future__ import annotations

import gc
import re
import weakref
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import Connection
from tcpsuite.core.limits import ResourceLimiter, parse_overrides
from tcpsuite.core.limits.bandwidth import SLICE
from tcpsuite.net.throttling import Throttling
from tests.net.test_throttle import HIGH_WATER, RATE, Transport

ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3", "d": "192.0.2.4", "": ""}


class ThrottlingTests(SynchronousTestCase):
    """By overrides, of several addresses."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.throttling = self.make("a bandwidth_per_connection=10000\nb bandwidth_per_ip=10000")

    def make(self, overrides: str) -> Throttling:
        """With other limits for a and b, which stand for 192.0.2.1 and 192.0.2.2."""
        text = re.sub(r"^([ab]) ", lambda match: f"{ADDRESSES[match[1]]} ", overrides, flags=re.MULTILINE)
        return Throttling(ResourceLimiter(overrides=parse_overrides(text)), self.clock, HIGH_WATER)

    def begin(self, key: str) -> tuple[Connection, Any, Transport]:
        """A connection, what it is served through, and its transport."""
        record = Connection("1", "", key, "front", "test", 0.0, 0.0, limited_as=ADDRESSES[key])
        transport = Transport()
        return record, self.throttling.begin(record, transport), transport

    def left(self, *begun: tuple[Connection, Any, Transport]) -> int:
        """What leaves of plenty in a second, on all of them together."""
        for _, throttle, _ in begun:
            throttle.write(b"x" * 3 * RATE)
        for _ in range(200):
            self.clock.advance(0.005)
        return sum(len(transport.value()) for _, _, transport in begun)

    def test_nobody(self) -> None:
        """Who has no bound is not throttled, nor is who has no limits at all."""
        for key in ("c", ""):
            record, throttle, transport = self.begin(key)
            self.assertIsNone(throttle)
            self.assertIsNone(transport.producer)
            self.throttling.login(record, "ann")
            self.throttling.end(record)
        self.assertEqual(repr(self.throttling), "<Throttling connections=0 buckets=0>")

    def test_each_for_itself(self) -> None:
        """Each connection has the rate."""
        self.assertApproximates(self.left(self.begin("a"), self.begin("a")), 2 * RATE, RATE * 0.1)

    def test_of_an_address(self) -> None:
        """All of an address have the rate together; when all have gone nothing of them is left."""
        begun = [self.begin("b") for _ in range(3)]
        self.assertApproximates(self.left(*begun), RATE, RATE * 0.05)
        self.assertEqual(repr(self.throttling), "<Throttling connections=3 buckets=1>")
        for record, _, _ in begun:
            self.throttling.end(record)
            self.throttling.end(record)
        self.assertEqual(repr(self.throttling), "<Throttling connections=0 buckets=0>")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_forgotten(self) -> None:
        """What throttled a connection that has gone is forgotten at once, though it waited for its turn."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        record, throttle, transport = self.begin("b")
        throttle.hand_on = len
        throttle.write(b"x" * RATE)
        throttle.received(b"x" * RATE)
        self.clock.advance(SLICE)
        self.throttling.end(record)
        record.held_back = transport.producer = None  # as the ledger and a socket do
        left = weakref.ref(throttle)
        del throttle
        self.assertIsNone(left())

    def test_fair(self) -> None:
        """Each of an address has its part, at any time: who sends little is not passed over for who sends
        much, nor the other way.
        """
        much, other, little = (self.begin("b") for _ in range(3))
        much[1].write(b"x" * 10 * RATE)
        other[1].write(b"x" * 10 * RATE)
        for _ in range(6):
            before = [len(each[2].value()) for each in (much, other, little)]
            for _ in range(100):
                if not little[1].held_back():
                    little[1].write(b"x" * 50)
                self.clock.advance(0.01)
            now = [len(each[2].value()) for each in (much, other, little)]
            for begun, ended in zip(before, now, strict=True):
                self.assertApproximates(ended - begun, RATE / 3, RATE * SLICE * 3)

    def test_turns_go_on(self) -> None:
        """Whoever is next, and leaves, rests, or is reset, the others have their turns at once."""
        begun = [self.begin("b") for _ in range(5)]
        for _, throttle, _ in begun:
            throttle.write(b"x" * 3 * RATE)
        (gone, _, _), (_, _, full), (_, reset, _), *others = begun
        self.throttling.end(gone)
        outlet: Any = full.producer
        outlet.pauseProducing()
        reset.abortConnection()
        for _ in range(200):
            self.clock.advance(0.005)
        self.assertApproximates(sum(len(each.value()) for _, _, each in others), RATE, RATE * 0.05)
        outlet.resumeProducing()
        before = len(full.value())
        for _ in range(200):
            self.clock.advance(0.005)
        self.assertApproximates(len(full.value()) - before, RATE / 3, RATE * SLICE * 2)
        for record, _, _ in begun:
            self.throttling.end(record)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_timer(self) -> None:
        """Of all who wait for a bucket one has a timer."""
        begun = [self.begin("b") for _ in range(20)]
        begun[-1][1].write(b"x" * int(RATE * SLICE))  # that is lent
        for _, throttle, _ in begun:
            throttle.write(b"x" * RATE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(SLICE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for record, _, _ in begun:
            self.throttling.end(record)

    def test_the_record_tells(self) -> None:
        """The record of a throttled connection tells whether something is held back."""
        record, throttle, _ = self.begin("a")
        self.assertFalse(record.is_held_back)
        throttle.write(b"x" * RATE)
        self.assertTrue(record.is_held_back)
        self.throttling.end(record)
        self.assertFalse(record.is_held_back)

    def test_of_a_user(self) -> None:
        """From the login on all connections of a user have the rate together."""
        self.throttling = self.make("user:ann bandwidth_per_user=10000")
        begun = [self.begin(key) for key in ("c", "d")]
        begun[0][1].write(b"x" * 10 * RATE)
        self.assertEqual(len(begun[0][2].value()), 10 * RATE)
        begun[0][2].clear()
        for record, _, _ in begun:
            self.throttling.login(record, "ann")
        self.assertApproximates(self.left(*begun), RATE, RATE * 0.05)
        for record, _, _ in begun:
            self.throttling.end(record)
        self.assertEqual(repr(self.throttling), "<Throttling connections=0 buckets=0>")
