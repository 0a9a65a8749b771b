"""The rule that goes by how quickly servers have answered."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import LeastTime, PowerOfTwo, RoundRobin
from tcpsuite.core.balancing.times import LEAST, Decaying
from tcpsuite.interfaces import Outcome
from tcpsuite.testing.balancers import servers
from tests.support.balancing import picks, traffic

if TYPE_CHECKING:
    from collections import Counter

    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILoadBalancer

SLOW_UNTIL = 60.0


class DecayingTests(SynchronousTestCase):
    """A decaying average."""

    def average(self, *told: tuple[float, float]) -> float:
        """What ``(sample, time)`` come to, with a half-life of 10 s."""
        average = Decaying()
        for sample, now in told:
            average.add(sample, now, 10.0)
        return average.value

    def test_the_first_count_alike(self) -> None:
        """What is told in one moment is averaged plainly."""
        self.assertAlmostEqual(self.average((4, 0), (1, 0), (1, 0)), 2)

    def test_half(self) -> None:
        """What is told a half-life later counts at least as much as all before it."""
        before = tuple((1.0, now / 10) for now in range(1000))
        self.assertAlmostEqual(self.average(*before), 1)
        self.assertAlmostEqual(self.average(*before, (3.0, 99.9 + 10)), 2)
        self.assertAlmostEqual(self.average(*before, (3.0, 99.9 + 20)), 2.5)

    def test_steady(self) -> None:
        """A value that changes for good is half-way known after a half-life of steady samples."""
        before = ((1.0, now / 10) for now in range(1000))
        after = ((3.0, 100 + now / 10) for now in range(100))
        self.assertLess(abs(self.average(*before, *after) - 2), 0.01)

    def test_a_clock_that_went_back(self) -> None:
        """Time that runs backwards is no time."""
        self.assertAlmostEqual(self.average((1, 50), (3, 40)), 2)


class LeastTimeTests(SynchronousTestCase):
    """The server that is likely to answer first."""

    def setUp(self) -> None:
        self.balancer = LeastTime(Random(1))

    def pick(self, usable: tuple[Server, ...], now: float) -> str:
        picked = self.balancer.pick(usable, "", now)
        assert picked is not None
        return picked.name

    def connect(self, server: Server, seconds: float, now: float = 0.0) -> None:
        self.balancer.connected(server, Outcome(True, seconds=seconds), now)

    def test_connect_and_first_byte(self) -> None:
        """Connecting and first byte count together."""
        usable = a, b, c = servers(1, 1, 1)
        for server, connect, answer in ((a, 0.001, 0.007), (b, 0.003, 0.002), (c, 0.008, 0.001)):
            self.connect(server, connect)
            self.balancer.answered(server, answer, 0.0)
        self.assertEqual([self.pick(usable, 1.0) for _ in range(3)], ["b", "b", "b"])
        b.active = 1
        self.assertEqual(self.pick(usable, 1.0), "a")

    def test_times_connections(self) -> None:
        """A server three times as quick gets a second and a third connection before the other its first."""
        a, b = usable = servers(1, 1)
        self.connect(a, 0.010)
        self.connect(b, 0.0301)
        for active, expected in ((0, "a"), (1, "a"), (2, "a"), (3, "b")):
            a.active = active
            self.assertEqual(self.pick(usable, 0.0), expected)

    def test_weight(self) -> None:
        """With times alike it goes by weight."""
        a, b = usable = servers(3, 1)
        for server in usable:
            self.connect(server, 0.010)
        for active, expected in ((0, "a"), (1, "a"), (3, "b")):
            a.active = active
            self.assertEqual(self.pick(usable, 0.0), expected)
        self.assertEqual(b.active, 0)

    def test_nothing_known(self) -> None:
        """Without any times those with the fewest connections take turns."""
        usable = servers(1, 1, 1)
        self.assertEqual(picks(self.balancer, usable, 6), "abcabc")
        usable[1].active = 1
        self.assertNotIn("b", picks(self.balancer, usable, 6))

    def test_times_of_nothing(self) -> None:
        """Times too small to be told apart count alike, so that connections still tell."""
        a, b = usable = servers(1, 1)
        self.connect(a, 0.0)
        self.connect(b, LEAST)
        a.active = 1
        self.assertEqual(self.pick(usable, 0.0), "b")

    def test_alike(self) -> None:
        """Those that take up to a fifth longer than the quickest share with it; who takes more does not."""
        usable = a, b, c = servers(1, 1, 1)
        for server, seconds in ((a, 0.0100), (b, 0.0119), (c, 0.0121)):
            self.connect(server, seconds)
        self.assertEqual(picks(self.balancer, usable, 6), "ababab")

    def test_back_to_the_median(self) -> None:
        """A server of which nothing is heard goes back to the median of the others, by half in 10 s."""
        usable = a, b, c, d = servers(1, 1, 1, 1)
        for now in range(61):
            for server, seconds in ((a, 0.010), (b, 0.020), (c, 0.040)):
                self.connect(server, seconds, float(now))
        self.connect(d, 0.100, 50.0)
        # After a half-life it is half-way from 100 ms to 20 ms: 60 ms, 1.5 times the 40 ms of c.
        for active, expected in ((0, "c"), (1, "d")):
            a.active, b.active, c.active = 100, 100, active
            self.assertEqual(self.pick(usable, 60.0 + active), expected)
        c.active = 0
        self.connect(c, 0.040, 90.0)
        self.assertEqual(self.pick(usable, 90.0), "d")

    def test_who_is_new(self) -> None:
        """A server that is new counts as the median of the others."""
        usable = a, b, c, new = servers(1, 1, 1, 1)
        for server, seconds in ((a, 0.010), (b, 0.020), (c, 0.040)):
            self.connect(server, seconds)
        a.active = 2
        self.assertEqual({self.pick(usable, 0.0) for _ in range(4)}, {"b", "d"})
        b.active = new.active = 1
        self.assertEqual(self.pick(usable, 0.0), "a")

    def test_alone(self) -> None:
        """One server of which something is known is as good as one of which nothing is."""
        usable = servers(1, 1)
        self.connect(usable[0], 5.0)
        self.assertEqual(picks(self.balancer, usable, 4), "abab")

    def test_failures(self) -> None:
        """A quick refusal makes no server look quick; a slow failure makes it look slow, unless the fault is
        our own.
        """
        a, b = usable = servers(1, 1)
        for outcome in (Outcome(False, "refused", 0.0), Outcome(False, "timeout", 9.0)):
            self.balancer.connected(a, outcome, 0.0)
        self.assertEqual(repr(self.balancer), "<LeastTime {}>")
        for server, seconds in ((a, 0.010), (b, 0.020)):
            self.connect(server, seconds)
        self.balancer.connected(b, Outcome(False, "refused", 0.0), 1.0)
        self.balancer.connected(a, Outcome(False, "no descriptor", 9.0, local=True), 1.0)
        self.assertEqual(self.pick(usable, 1.0), "a")
        self.balancer.connected(a, Outcome(False, "timeout", 5.0), 2.0)
        self.assertEqual(self.pick(usable, 2.0), "b")

    def test_a_clock_that_went_back(self) -> None:
        """When the clock goes back, what is learnt still counts."""
        a, b = usable = servers(1, 1)
        self.pick(usable, 1e6)
        self.connect(a, 0.020, 1.0)
        self.connect(b, 0.010, 1.0)
        self.assertEqual(self.pick(usable, 1.0), "b")

    def test_a_half_life_that_is_none(self) -> None:
        """A half-life must be a time."""
        for half_life in (0.0, -1.0, float("inf"), float("nan")):
            self.assertRaises(ValueError, LeastTime, Random(1), half_life=half_life)

    def test_repr(self) -> None:
        """Connecting and first byte of each can be read, in seconds."""
        (a,) = servers(1)
        self.connect(a, 0.001)
        self.balancer.answered(a, 0.002, 0.0)
        self.assertEqual(repr(self.balancer), "<LeastTime {a: 0.0010+0.0020}>")


class SlowServerTests(SynchronousTestCase):
    """One of three servers answers in 50 ms for a minute, the others in 1 ms; then all in 1 ms."""

    def shares(self, balancer: ILoadBalancer, rate: float) -> list[float]:
        """What the slow one gets of its fair share: in that minute, and in the third minute after it."""
        usable, chance, found = servers(1, 1, 1), Random(7), list[float]()

        def seconds(server: Server, now: float) -> float:
            slow = server.name == "c" and now < SLOW_UNTIL
            return (0.050 if slow else 0.001) * chance.uniform(0.8, 1.2)

        for begin, end in ((0, 60), (60, 180), (180, 240)):
            served: Counter[str] = traffic(
                balancer, usable, seconds, rate=rate, begin=begin, end=end, chance=chance
            )
            found.append(3 * served["c"] / served.total())
        return [found[0], found[2]]

    def test_least_time(self) -> None:
        """Least time gives it under a tenth of its fair share while it is slow, and at least three quarters
        when it is quick again, whether requests are few or many.
        """
        for rate in (20, 200):
            slow, quick = self.shares(LeastTime(Random(1)), rate)
            self.assertLess(slow, 0.1)
            self.assertGreater(quick, 0.75)

    def test_power_of_two(self) -> None:
        """The better of two gives it under half of its fair share when there are enough requests for it to
        have some open.
        """
        slow, quick = self.shares(PowerOfTwo(Random(1)), 200)
        self.assertLess(slow, 0.5)
        self.assertGreater(quick, 0.9)

    def test_round_robin(self) -> None:
        """Round robin gives it its fair share."""
        for share in self.shares(RoundRobin(Random(1)), 200):
            self.assertLess(abs(share - 1), 0.01)
