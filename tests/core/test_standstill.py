"""Peers that take nothing, and peers that are slow."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import UNCOUNTED, Counted
from tcpsuite.core.standstill import Standstill


class Line:
    """Traffic to a peer, that says how often it was asked what is left."""

    bytes_in = 0

    def __init__(self) -> None:
        self.bytes_out = self.arrived = self.asked = 0

    def unsent(self) -> int:
        raise AssertionError("what nobody has taken yet says nothing of the peer")

    def in_flight(self) -> int:
        self.asked += 1
        return self.bytes_out - self.arrived


class StandstillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.line = Line()
        self.standstill = Standstill()

    def look(self, now: float) -> float:
        return self.standstill.look(now, self.line)

    def test_nothing_to_take(self) -> None:
        """Who was sent nothing, or has taken all, is not asked about, and takes its time."""
        self.assertEqual([self.look(1), self.look(100)], [0, 0])
        self.line.bytes_out = self.line.arrived = 10
        self.assertEqual([self.look(200), self.look(300), self.look(400)], [0, 0, 0])
        self.assertEqual(self.line.asked, 1)

    def test_takes_nothing(self) -> None:
        """The time counts from the first look that found something left."""
        self.line.bytes_out = 10
        self.assertEqual([self.look(100), self.look(105), self.look(130)], [0, 5, 30])
        self.assertEqual(repr(self.standstill), "<Standstill left=10 since=100>")

    def test_our_own_kernel_takes_more(self) -> None:
        """That says nothing of the peer."""
        self.line.bytes_out = 10
        self.look(0)
        self.line.bytes_out = 50_000
        self.assertEqual(self.look(7), 7)

    def test_slow(self) -> None:
        """Who takes a single byte begins anew, whether more is sent meanwhile or not."""
        self.line.bytes_out = 10
        self.look(0)
        self.line.arrived = 1
        self.assertEqual([self.look(20), self.look(39)], [0, 19])
        self.line.arrived, self.line.bytes_out = 2, 11
        self.assertEqual([self.look(40), self.look(45)], [0, 5])

    def test_gone(self) -> None:
        """Nothing is left for who is gone, or whose bytes nobody counts."""
        self.line.bytes_out = 10
        self.look(0)
        self.assertEqual(self.standstill.look(60, Counted(0, 10)), 0)
        self.assertEqual(self.standstill.look(90, UNCOUNTED), 0)

    def test_takes_all_and_then_nothing(self) -> None:
        """What was left before, and then taken, does not count against what is left now."""
        self.line.bytes_out = 10
        self.look(0)
        self.line.arrived = 10
        self.assertEqual(self.look(20), 0)
        self.line.bytes_out = 20
        self.assertEqual([self.look(50), self.look(51)], [0, 1])
