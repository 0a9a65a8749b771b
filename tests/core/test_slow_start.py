"""The share of its weight that a server has when it is back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.slow_start import LEAST, STEPS, share


class ShareTests(SynchronousTestCase):
    def test_a_straight_line(self) -> None:
        """It begins with a tenth, has half at half time, and all of it at the end, and beyond."""
        shares = [share(elapsed, 20.0) for elapsed in (0, 1, 2, 3, 10, 15, 19, 19.9, 20, 99)]
        self.assertEqual(shares, [0.1, 0.1, 0.1, 0.15, 0.5, 0.75, 0.95, 0.95, 1.0, 1.0])

    def test_no_window(self) -> None:
        """Without a slow start it has all of it at once."""
        self.assertEqual(share(0.0, 0.0), 1.0)

    @given(st.floats(0, 1e6, allow_nan=False), st.floats(0, 1e6, allow_nan=False), st.floats(0.1, 86400.0))
    def test_never_backward(self, one: float, other: float, window: float) -> None:
        """Who is back for longer has no smaller share; it lies under the line by a step at most, and above it
        only where the line is under the least.
        """
        first, later = sorted((one, other))
        self.assertLessEqual(share(first, window), share(later, window))
        line = min(1.0, first / window)
        self.assertLessEqual(share(first, window), max(LEAST, line))
        self.assertGreaterEqual(share(first, window), line - 1 / STEPS - 1e-9)
