"""The tables of the comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.comparison.cases import GROUPS, HELD_TO, Target
from benchmarks.comparison.reporting import Spread, judge, met, ratio, section, verdicts

if TYPE_CHECKING:
    from benchmarks.comparison.running import Rounds

BY_KEY = {group.key: group for group in GROUPS}


class TableTests(SynchronousTestCase):
    """What a reader sees."""

    def test_ratios_are_taken_round_by_round(self) -> None:
        """A machine that is half as fast in one round changes no ratio."""
        rounds: Rounds = {
            "tcpsuite": [{"per_s": 100.0}, {"per_s": 50.0}, {"per_s": 120.0}],
            "uvloop": [{"per_s": 200.0}, {"per_s": 100.0}, {"per_s": 100.0}],
        }
        self.assertEqual(ratio(rounds, "per_s", "uvloop"), Spread(0.5, 0.5, 1.2))

    def test_any_server_may_be_compared_with_another(self) -> None:
        """A peer over another, and nothing where one of the two failed."""
        rounds: Rounds = {
            "tcpsuite": [{"per_s": 100.0}, {"per_s": 100.0}],
            "uvloop": [{"per_s": 200.0}, None],
            "asyncio": [{"per_s": 50.0}, {"per_s": 50.0}],
        }
        self.assertEqual(ratio(rounds, "per_s", "uvloop", "asyncio"), Spread(0.25, 0.25, 0.25))
        self.assertIsNone(ratio({"a": [None], "b": [{"per_s": 1.0}]}, "per_s", "a", "b"))

    def test_met_by_the_median(self) -> None:
        """What must be reached is reached when it is just so; what failed has not missed it."""
        self.assertEqual(met(Spread(0.95, 0.1, 1.0), 0.95), "met")
        self.assertEqual(met(Spread(0.949, 0.9, 1.5), 0.95), "missed")
        self.assertEqual(met(None, 0.95), "failed")

    def test_a_table_of_ratios(self) -> None:
        """Our figure, what it is of each peer's, and who was held back by the load."""
        rounds: Rounds = {
            "tcpsuite": [
                {"per_s": 1000.0, "busy": 1.0, "load_busy": 0.95},
                {"per_s": 2000.0, "busy": 1.0, "load_busy": 0.95},
            ],
            "C, epoll": [
                {"per_s": 2000.0, "busy": 0.5, "load_busy": 0.95},
                {"per_s": 2000.0, "busy": 0.5, "load_busy": 0.95},
            ],
        }
        self.assertEqual(
            section(BY_KEY["echo"], {"1k": rounds}, list(rounds)),
            "### Echo\n\n"
            "|                        | tcpsuite | of C, epoll          |\n"
            "| ---------------------- | -------- | -------------------- |\n"
            "| 1 KiB x 50, messages/s | 1,500    | 0.75 (0.50 to 1.00)* |\n\n"
            "\\* The load was at its limit, and this server was not.",
        )

    def test_what_failed_is_said(self) -> None:
        """A round that failed is left out and told of, and so are connections that failed."""
        rounds: Rounds = {
            "tcpsuite": [{"per_s": 1000.0}, None],
            "uvloop": [{"per_s": 2000.0, "failed": 3.0, "done": 2000.0}, {"per_s": 2000.0}],
            "Go net": [None, None],
        }
        text = section(BY_KEY["echo"], {"churn": rounds}, list(rounds))
        self.assertIn("| 1,000    | 0.50      | failed    |", text)
        self.assertIn("tcpsuite, churn: 1 of 2 rounds failed.", text)
        self.assertIn("uvloop, churn: 3 failed or had no answer, 2,000 did.", text)
        self.assertIn("Go net, churn: 2 of 2 rounds failed.", text)

    def test_what_a_connection_costs(self) -> None:
        """Each part in microseconds of processor time: the shipped server's less the one's without it."""
        rounds: Rounds = {
            "tcpsuite": [{"per_s": 10_000.0, "processor_us": 99.0}],
            "no access log": [{"per_s": 12_500.0, "processor_us": 79.0}],
        }
        text = section(BY_KEY["cost"], {"churn": rounds}, list(rounds))
        self.assertIn(
            "| as shipped    | 10,000        | 99                        |                      |", text
        )
        self.assertIn(
            "| no access log | 12,500        | 79                        | 20.0                 |", text
        )

    def test_a_load_that_was_late_says_so(self) -> None:
        """Latencies that the load itself made are told."""
        rounds: Rounds = {
            "tcpsuite": [{"mean_us": 1000.0, "p99_us": 2000.0, "resident": 6e7, "sent_late_us": 500.0}]
        }
        text = section(BY_KEY["crowd"], {"schedule": rounds}, ["tcpsuite"])
        self.assertIn("mean | 1.00     |", text)
        self.assertIn("tcpsuite, schedule: the load itself sent 0.50 ms late on average.", text)


class HeldToTests(SynchronousTestCase):
    """What we hold ourselves to."""

    def test_judged_by_the_median(self) -> None:
        """A ratio is to be high, a time or a size to be low."""
        high = Target("echo", "1k", "per_s", "uvloop", 0.9, 1.0)
        low = Target("crowd", "idle", "each", "", 2000, 1500)
        words = [judge(high, Spread(value, 0, 9)) for value in (0.8, 0.9, 1.0)]
        self.assertEqual(words, ["missed", "met", "aim"])
        words = [judge(low, Spread(value, 0, 9)) for value in (2001, 2000, 1500)]
        self.assertEqual(words, ["missed", "met", "aim"])
        self.assertEqual(judge(low, None), "failed")

    def test_every_one_can_be_judged(self) -> None:
        """Each names a case that is measured; those of a run are judged, the others left out."""
        for target in HELD_TO:
            self.assertIn(target.case, [case.key for case in BY_KEY[target.group].cases])
        rounds: Rounds = {"tcpsuite": [{"per_s": 100.0}], "uvloop": [{"per_s": 100.0}]}
        text = verdicts({"echo": {"1k": rounds}})
        self.assertEqual(text.count("\n| echo"), 1)
        self.assertIn("| of uvloop | 1.00     | 0.92     | 1   | aim |", text)
