"""What the latest checks of a server, or connections to it, came to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.history import Failure, History
from tcpsuite.interfaces import Outcome


class HistoryTests(SynchronousTestCase):
    """The outcomes of one server."""

    def test_nothing_yet(self) -> None:
        """Before the first outcome there is nothing to say."""
        self.assertEqual(
            History().report(),
            {"count": 0, "healthy": None, "latency": None, "last_success": None, "last_failure": None},
        )

    def test_report(self) -> None:
        """The share of good ones, how long those took, the latest of each kind and why it failed."""
        history = History()
        for number in range(1, 21):
            history.add(Outcome(True, seconds=float(number)), 100.0 + number)
        for number in range(5):
            history.add(Outcome(False, f"refused {number}", seconds=1000.0), 200.0 + number)
        self.assertEqual(
            history.report(),
            {
                "count": 25,
                "healthy": 0.8,
                "latency": {"mean": 10.5, "p50": 10.0, "p95": 19.0, "max": 20.0},
                "last_success": 120.0,
                "last_failure": {"at": 204.0, "error": "refused 4"},
            },
        )
        self.assertEqual(repr(history), "<History ok=20 failed=5>")

    def test_only_the_latest_count(self) -> None:
        """Of more than a hundred outcomes the latest hundred are told of; the counts are of all, and the
        latest failure is remembered however long ago it was.
        """
        history = History()
        history.add(Outcome(False, "refused"), 1.0)
        for number in range(100):
            history.add(Outcome(True, seconds=2.0), 2.0 + number)
        report = history.report()
        self.assertEqual((report["count"], report["healthy"]), (100, 1.0))
        self.assertEqual((history.ok, history.failed), (100, 1))
        self.assertEqual(history.last_failure, Failure(1.0, "refused"))
        self.assertEqual(report["last_failure"], {"at": 1.0, "error": "refused"})

    def test_one(self) -> None:
        """A single outcome is every figure."""
        history = History(length=5)
        history.add(Outcome(True, seconds=0.5), 1.0)
        self.assertEqual(history.report()["latency"], {"mean": 0.5, "p50": 0.5, "p95": 0.5, "max": 0.5})
