"""When sessions that several processes share may be taken for idle."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.sweeping import FOUND_AGAIN, Settling

INTERVAL = 10.0
TIME = FOUND_AGAIN + INTERVAL


class SettlingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.settling = Settling(INTERVAL)

    def over(self, *times: float) -> list[bool]:
        """Whether it is over at each of these times."""
        return [self.settling.is_over(now) for now in times]

    def test_a_process_that_begins(self) -> None:
        """Others have an interval, and the time to find the store, from the first answer on; later ones
        prolong nothing.
        """
        self.assertEqual(self.over(0.0, 1e9), [False, False])
        self.settling.answered(100.0)
        self.settling.answered(100.0 + INTERVAL)
        self.assertEqual(self.over(100.0, 99.9 + TIME, 100.0 + TIME), [False, False, True])
        self.assertEqual(repr(self.settling), "<Settling answers_since=100.0>")

    def test_an_absence(self) -> None:
        """They have it anew when the store is back, however often it failed."""
        self.settling.answered(0.0)
        self.settling.failed()
        self.settling.failed()
        self.assertEqual(self.over(TIME), [False])
        self.settling.answered(500.0)
        self.assertEqual(self.over(499.9 + TIME, 500.0 + TIME), [False, True])
