"""How many retries may be under way at once."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.retrying import RetryBudget


class RetryBudgetTests(SynchronousTestCase):
    """A fifth of all connections, and three at least."""

    def setUp(self) -> None:
        self.budget = RetryBudget()

    def begun(self, active: int) -> int:
        """How many may be begun with so many connections."""
        return sum(self.budget.begin(active) for _ in range(active + 10))

    def test_a_few_always_may(self) -> None:
        """However few connections there are, three may be under way."""
        self.assertEqual(self.begun(0), 3)
        self.budget = RetryBudget()
        self.assertEqual(self.begun(15), 3)

    def test_a_share_of_all(self) -> None:
        """Of many connections a fifth may, and never a part of one more."""
        for active, most in [(16, 3), (19, 3), (20, 4), (24, 4), (1000, 200)]:
            self.budget = RetryBudget()
            self.assertEqual(self.begun(active), most)

    def test_none_but_the_least(self) -> None:
        """A share of nothing leaves the least, and a least of nothing no retry at all."""
        self.budget = RetryBudget(0.0)
        self.assertEqual(self.begun(1000), 3)
        self.budget = RetryBudget(0.0, 0)
        self.assertEqual(self.begun(1000), 0)

    def test_one_that_is_over_makes_room(self) -> None:
        """When one is over another may be made; all that were made or denied are counted."""
        self.assertEqual([self.budget.begin(0) for _ in range(4)], [True, True, True, False])
        self.budget.end()
        self.assertTrue(self.budget.begin(0))
        self.assertEqual(self.budget.stats(), {"under_way": 3, "made": 4, "denied": 1})
        self.assertEqual(repr(self.budget), "<RetryBudget under_way=3 made=4 denied=1>")
