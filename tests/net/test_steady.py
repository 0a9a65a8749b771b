"""Time that does not jump."""

from __future__ import annotations

import time
from types import SimpleNamespace

from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.steady import make_steady, steady_time


class SteadyTimeTests(SynchronousTestCase):
    """A clock for what lasts."""

    def test_jumps(self) -> None:
        """It goes as the monotonic clock does from the wall clock's time, whatever that shows later."""
        wall, monotonic = [1_000_000.0], [5.0]
        now = steady_time(lambda: wall[0], lambda: monotonic[0])
        self.assertEqual(now(), 1_000_000.0)
        for wall[0] in (0.0, 9_000_000.0):
            monotonic[0] += 1.5
        self.assertEqual(now(), 1_000_003.0)

    def test_starts_now(self) -> None:
        """By itself it tells the time of day."""
        self.assertLess(abs(steady_time()() - time.time()), 1.0)


class MakeSteadyTests(SynchronousTestCase):
    """A reactor's clock."""

    def test_wall_clock(self) -> None:
        """One that went by the wall clock goes by another that shows the same: what is due stays due."""
        reactor = SimpleNamespace(seconds=time.time)
        make_steady(reactor)
        self.assertIsNot(reactor.seconds, time.time)
        self.assertLess(abs(reactor.seconds() - time.time()), 1.0)

    def test_twice(self) -> None:
        """One that has been made so stays as it is."""
        reactor = SimpleNamespace(seconds=time.time)
        make_steady(reactor)
        seconds = reactor.seconds
        make_steady(reactor)
        self.assertIs(reactor.seconds, seconds)

    def test_clock_of_its_own(self) -> None:
        """A reactor with a clock of its own keeps it."""
        clock = Clock()
        make_steady(clock)
        self.assertEqual(clock.seconds(), 0.0)

    def test_reactors_of_twisted(self) -> None:
        """Those of Twisted go by the wall clock, and are known by that."""
        self.assertIs(ReactorBase.seconds, time.time)
