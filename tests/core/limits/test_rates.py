"""So many a second, and so many at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits.rates import Rates
from tcpsuite.errors import LocalError


class RatesTests(SynchronousTestCase):
    """Ten a second and twenty at once, unless a test says else."""

    def setUp(self) -> None:
        self.rates = Rates(capacity=3)

    def spend(
        self, now: float, key: str = "a", amount: float = 1, rate: float = 10, burst: float = 20
    ) -> float:
        return self.rates.spend(key, amount, rate, burst, now)

    def allowed(self, now: float, tries: int = 1000) -> int:
        """How many are allowed at one moment."""
        return sum(not self.spend(now) for _ in range(tries))

    def test_a_burst_and_then_the_rate(self) -> None:
        """All of a burst at once, and then one for each tenth of a second."""
        self.assertEqual(self.allowed(1e6), 20)
        self.assertEqual(self.allowed(1e6 + 0.05), 0)
        self.assertEqual(self.allowed(1e6 + 0.5), 5)
        self.assertEqual(self.allowed(1e6 + 100), 20)

    def test_a_refusal_says_when(self) -> None:
        """A refusal tells the seconds after which it is allowed, and not before."""
        self.spend(0.0, amount=20)
        wait = self.spend(0.03, amount=3)
        self.assertAlmostEqual(wait, 0.27)
        self.assertTrue(self.spend(0.03 + wait - 0.001, amount=3))
        self.assertFalse(self.spend(0.03 + wait, amount=3))

    def test_a_refusal_costs_nothing(self) -> None:
        """Who goes on while refused is not kept out for longer."""
        self.spend(0.0, amount=20)
        for step in range(99):
            self.assertTrue(self.spend(step / 1000))
        self.assertFalse(self.spend(0.1))

    def test_more_than_a_burst(self) -> None:
        """What is more than a burst is never allowed, and costs nothing."""
        self.assertEqual(self.spend(0.0, amount=21), float("inf"))
        self.assertFalse(self.spend(0.0, amount=20))

    def test_a_clock_that_goes_back(self) -> None:
        """By whatever a clock is set back, nobody waits longer than a whole burst takes."""
        self.spend(1e9, amount=20)
        self.assertAlmostEqual(self.spend(0.0), 0.1)
        self.assertFalse(self.spend(0.1))

    def test_another_rate(self) -> None:
        """With a rate that is higher than before, nobody waits for longer than a burst of it takes."""
        self.spend(0.0, amount=1, rate=0.001, burst=1)
        self.assertAlmostEqual(self.spend(0.0, rate=10, burst=1), 0.1)

    def test_the_oldest_is_forgotten(self) -> None:
        """When there is no room for one more key, the one that was heard of longest ago is forgotten, though
        it was only refused.
        """
        for key in "abc":
            self.spend(0.0, key, 20)
        self.assertTrue(self.spend(0.0, "a"))
        self.spend(0.0, "d", 20)
        self.assertEqual(len(self.rates), 3)
        self.assertFalse(self.spend(0.0, "b"), "b was the oldest, and is forgotten")
        self.assertTrue(self.spend(0.0, "a"))

    def test_what_is_paid_for_is_forgotten(self) -> None:
        """Keys with nothing to pay go, two for each that comes."""
        for key in "abc":
            self.spend(0.0, key)
        self.spend(10.0, "d")
        self.assertEqual(repr(self.rates), "<Rates keys=2>")
        self.spend(10.0, "d")
        self.assertEqual(repr(self.rates), "<Rates keys=1>")

    def test_spent(self) -> None:
        """What is spent is given back at the rate; a key that nobody knows has spent nothing."""
        self.spend(0.0, amount=10)
        self.assertAlmostEqual(self.rates.spent("a", 10, 0.4), 6)
        self.assertEqual(self.rates.spent("a", 10, 5.0), 0)
        self.assertEqual(self.rates.spent("b", 10, 0.0), 0)

    def test_top(self) -> None:
        """Those who have spent most, without those who have nothing left to pay."""
        for key, amount in (("a", 2), ("b", 9), ("c", 5)):
            self.spend(0.0, key, amount)
        self.assertEqual(self.rates.top(2, 0.0), ["b", "c"])
        self.assertEqual(self.rates.top(3, 0.5), ["b"])

    def test_no_room(self) -> None:
        """Room for no key at all is refused."""
        self.assertRaises(LocalError, Rates, 0)

    @given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 5)), max_size=60))
    def test_never_more(self, steps: list[tuple[float, int]]) -> None:
        """In no stretch of time more is allowed than a burst and what the rate gives meanwhile."""
        rates, now = Rates(), 1000.0
        spent: list[tuple[float, int]] = []
        for seconds, amount in steps:
            now += seconds
            if not rates.spend("a", amount, 10, 20, now):
                spent.append((now, amount))
        for first, (begin, _) in enumerate(spent):
            total = 0
            for then, amount in spent[first:]:
                total += amount
                self.assertLessEqual(total, 20 + 10 * (then - begin) + 1e-3)
