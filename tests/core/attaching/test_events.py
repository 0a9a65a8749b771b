"""What becomes of an attached connection, in a sentence."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.attaching.events import Away, Back, Cut


class EventTests(SynchronousTestCase):
    """Each says which connection it is about."""

    def test_sentences(self) -> None:
        """They are for people."""
        self.assertEqual(str(Away(1, "refused", 120.0)), "connection 1: refused; trying for 2m")
        self.assertEqual(str(Back(2, 3.21)), "connection 2: goes on after 3.2 s")
        self.assertEqual(str(Cut(3, "it is lost")), "connection 3 is reset: it is lost")
