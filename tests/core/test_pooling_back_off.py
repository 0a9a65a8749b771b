"""How long a pool waits after setbacks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import BackOff, PoolSettings


def waits(setbacks, chance=0.0, **settings):
    """The waits behind so many setbacks, each as soon as the last wait is over."""
    back_off = BackOff(PoolSettings(**settings))
    now, found = 0.0, []
    for _ in range(setbacks):
        back_off.setback(now, chance)
        found.append(back_off.not_before - now)
        now = back_off.not_before
    return found


class BackOffTests(SynchronousTestCase):
    """The time to the next try."""

    def test_grows_by_half_from_a_fifth_of_a_second(self):
        """Without chance the waits are 0.2 s, and each the last one and a half."""
        self.assertEqual([round(wait, 4) for wait in waits(4)], [0.2, 0.3, 0.45, 0.675])

    def test_grows_as_it_is_told(self):
        """The first wait, the factor and the limit are settings."""
        found = waits(5, back_off=1.0, back_off_factor=2.0, back_off_limit=5.0)
        self.assertEqual(found, [1.0, 2.0, 4.0, 5.0, 5.0])

    @given(st.floats(0, 1, exclude_max=True))
    def test_is_bounded(self, chance):
        """However many setbacks, no wait is over the limit, and chance takes no more than a half away."""
        for wait, longest in zip(waits(200, chance), waits(200), strict=True):
            self.assertLessEqual(wait, 30.0 + 1e-9)
            self.assertGreaterEqual(wait, longest / 2 - 1e-9)

    def test_those_that_fail_together_count_as_one(self):
        """A setback before the wait is over changes nothing."""
        back_off = BackOff(PoolSettings())
        back_off.setback(0.0, 0.0)
        back_off.setback(0.1, 0.0)
        self.assertEqual(repr(back_off), "<BackOff setbacks=1 not_before=0.2>")

    def test_success_begins_anew(self):
        """Behind a success the next wait is the first one."""
        back_off = BackOff(PoolSettings())
        back_off.setback(0.0, 0.0)
        back_off.success()
        back_off.setback(1.0, 0.0)
        self.assertAlmostEqual(back_off.not_before, 1.2)
