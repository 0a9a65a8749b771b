"""Time that does not jump."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.steady import steady_time


class SteadyTimeTests(SynchronousTestCase):
    """A clock for times that are kept."""

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
