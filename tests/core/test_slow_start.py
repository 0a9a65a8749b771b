"""The share of its weight that a server has when it is back."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import LeastConnections, LeastTime, PowerOfTwo
from tcpsuite.core.servers import Server
from tcpsuite.core.slow_start import LEAST, MOST, STEPS, Allowance, share


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
        self.assertLessEqual(share(first, window), max(LEAST, line) + 1e-9)
        self.assertGreaterEqual(share(first, window), line - 1 / STEPS - 1e-9)


def back(name: str, part: float, weight: int = 1) -> Server:
    """A server in a slow start."""
    return Server(name, f"tcp:{name}:1", weight * part, share=part)


class AllowanceTests(SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.allowance = Allowance()
        self.slow = back("slow", 0.5)
        self.servers = [Server("a", "tcp:a:1"), Server("b", "tcp:b:1"), self.slow]

    def picks(self, number: int) -> int:
        """How many of so many picks the server in a slow start is due; each is made."""
        due = 0
        for _ in range(number):
            if self.allowance.due(self.servers):
                self.allowance.note(self.slow)
                due += 1
            else:
                self.allowance.note(self.servers[0])
        return due

    def test_by_weight(self) -> None:
        """A server with half of its weight beside two with theirs is due each fifth pick."""
        self.assertEqual(self.picks(50), 10)

    def test_the_first_comes_soon(self) -> None:
        """The first pick that it is due is the third of five, neither the first nor the last."""
        due = []
        for _ in range(5):
            due.append(bool(self.allowance.due(self.servers)))
            if due[-1]:
                self.allowance.note(self.slow)
        self.assertEqual(due, [False, False, True, False, False])

    def test_nobody_is_slow(self) -> None:
        """While nobody starts slowly nobody is due anything."""
        self.servers = self.servers[:2]
        self.assertEqual((self.picks(9), repr(self.allowance)), (0, "<Allowance {}>"))

    def test_another_share(self) -> None:
        """From the moment that its weight changes it earns as that says, and keeps what it is owed."""
        self.picks(2)
        self.assertEqual(repr(self.allowance), "<Allowance {slow: 0.40}>")
        self.slow.weight = self.slow.share = 0.95
        self.servers = [*self.servers]
        self.picks(1)
        self.assertEqual(repr(self.allowance), "<Allowance {slow: -0.28}>")

    def test_not_among_them(self) -> None:
        """Who is not among the servers of a pick earns nothing by it, and loses nothing."""
        self.picks(2)
        self.assertEqual(list(self.allowance.due(self.servers[:2])), [])
        self.assertEqual(repr(self.allowance), "<Allowance {slow: 0.40}>")

    def test_over(self) -> None:
        """With its whole weight it is due nothing, and nothing is remembered."""
        self.picks(2)
        self.slow.weight = self.slow.share = 1
        self.servers = [*self.servers]
        self.assertEqual((self.picks(9), repr(self.allowance)), (0, "<Allowance {}>"))

    def test_without_weight(self) -> None:
        """A server without weight is due nothing."""
        self.servers = [back("slow", 0.5, 0)]
        self.assertEqual(list(self.allowance.due(self.servers)), [])

    def test_bounded(self) -> None:
        """What a rule has not wanted to give it comes in no burst later, and one is not paid for for long."""
        for _ in range(1000):
            self.allowance.due(self.servers)
        self.assertEqual(self.picks(4), MOST)
        for _ in range(1000):
            self.allowance.note(self.slow)
        self.assertEqual(self.picks(5 * int(MOST) + 3), 1)

    def test_beside_those_with_nothing_to_do(self) -> None:
        """Rules that go by load give it the picks that it is due, though the others are as idle as it is, and
        have more weight.
        """
        for rule in LeastConnections, LeastTime:
            balancer = rule(Random(1))
            picked = [balancer.pick(self.servers, "", 0.0) for _ in range(50)]
            self.assertEqual(picked.count(self.slow), 10, rule)
        power_of_two = PowerOfTwo(Random(1))
        picked = [power_of_two.pick(self.servers, "", 0.0) for _ in range(1000)]
        self.assertLess(abs(picked.count(self.slow) - 200), 6)

    def test_behind_its_share(self) -> None:
        """Where there is much to do, rules that go by load fill it up to its weight, whatever it is due."""
        self.servers[0].active = self.servers[1].active = 100
        for rule in LeastConnections, LeastTime, PowerOfTwo:
            self.slow.active = 0
            balancer = rule(Random(1))
            for _ in range(100):
                picked = balancer.pick(self.servers, "", 0.0)
                self.slow.active += picked is self.slow
            self.assertLess(abs(self.slow.active - 50), 11, rule)
