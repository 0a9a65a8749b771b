"""How many each key has."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits.counts import Counts
from tcpsuite.interfaces import Verdict


class CountsTests(SynchronousTestCase):
    """What is taken and given back."""

    def test_taken_and_given_back(self) -> None:
        """Each key has what was taken for it and not given back; nothing is given back twice."""
        counts = Counts()
        verdicts = [Verdict(True, key=key) for key in "aab"]
        for verdict in verdicts:
            counts.take(verdict)
        self.assertEqual((counts.of("a"), counts.of("b"), counts.of("c"), counts.keys), (2, 1, 0, 2))
        self.assertEqual([counts.give_back(verdicts[0]) for _ in range(2)], [True, False])
        self.assertEqual(repr(counts), "<Counts keys=2 open=2>")
        self.assertTrue(counts.give_back(verdicts[2]))
        self.assertEqual((repr(counts), counts.top(5)), ("<Counts keys=1 open=1>", ["a"]))
