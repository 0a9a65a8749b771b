"""Uses that are noted, and stored later."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.stores.noted import NotedUses
from tcpsuite.testing.stores import digest_named, session

A, B = digest_named("a"), digest_named("b")


class NotedUsesTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two uses of one session, and one of another."""
        self.noted = NotedUses()
        self.noted.note(A, 1500.0, 2)
        self.noted.note(A, 1400.0, 1)
        self.noted.note(B, 1600.0, 1)

    def test_note(self) -> None:
        """Requests add up, and time goes forward only."""
        self.assertEqual((len(self.noted), [*self.noted], A in self.noted), (2, [A, B], True))
        self.assertEqual(self.noted.take([A]), {A: (1500.0, 3)})
        self.assertEqual(repr(self.noted), "<NotedUses of 1>")
        self.assertNotIn(A, self.noted)

    def test_put_back(self) -> None:
        """What could not be stored adds up with what was noted meanwhile."""
        taken = self.noted.take([A, B])
        self.assertFalse(self.noted)
        self.noted.note(A, 1450.0, 4)
        self.noted.put_back(taken)
        self.assertEqual(self.noted.take([A, B]), {A: (1500.0, 7), B: (1600.0, 1)})

    def test_lay_over(self) -> None:
        """A session is told of with what is noted of it, which is noted still; nothing is added to others."""
        told = self.noted.lay_over(session("a", used=1000.0))
        assert told is not None
        self.assertEqual((told.used, told.requests), (1500.0, 3))
        self.assertIn(A, self.noted)
        later = self.noted.lay_over(session("a", used=2000.0))
        assert later is not None
        self.assertEqual(later.used, 2000.0)
        self.assertEqual(self.noted.lay_over(session("c")), session("c"))
        self.assertIsNone(self.noted.lay_over(None))
