"""The timer that is moved only when it must be."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.alarm import Alarm


class AlarmTests(SynchronousTestCase):
    """An alarm that notes when it rang."""

    def setUp(self):
        self.clock = Clock()
        self.rang: list[float] = []
        self.alarm = Alarm(self.clock, lambda: self.rang.append(self.clock.seconds()))

    def test_rings_when_it_is_due(self):
        """Once, and again only when it is set again."""
        self.alarm.set(2.0)
        self.assertEqual(repr(self.alarm), "<Alarm due=2>")
        self.clock.advance(5.0)
        self.assertEqual((self.rang, repr(self.alarm)), ([5.0], "<Alarm>"))
        self.alarm.set(1.0)
        self.clock.advance(0)
        self.assertEqual(self.rang, [5.0, 5.0], "what was due in the past is due now")

    def test_is_moved_forward_and_never_back(self):
        """An earlier time moves it; a later one, or none, does not: it costs nothing."""
        self.alarm.set(3.0)
        (timer,) = self.clock.getDelayedCalls()
        self.alarm.set(4.0)
        self.alarm.set(None)
        self.assertEqual(self.clock.getDelayedCalls(), [timer])
        self.alarm.set(1.0)
        self.clock.advance(1.0)
        self.assertEqual((self.rang, self.clock.getDelayedCalls()), ([1.0], []))

    def test_may_be_stopped(self):
        """Then it does not ring, and leaves no timer; it may be stopped twice."""
        self.alarm.set(1.0)
        self.alarm.stop()
        self.alarm.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
