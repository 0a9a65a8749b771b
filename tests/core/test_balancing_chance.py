"""The rules that draw lots."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import PowerOfTwo, RandomChoice
from tcpsuite.core.servers import Server
from tcpsuite.testing.balancers import servers
from tests.support.balancing import picks

if TYPE_CHECKING:
    from tcpsuite.interfaces import ILoadBalancer

LOTS = st.floats(0, 1, exclude_max=True)
RATES = st.one_of(st.integers(1, 256), st.floats(0.05, 256))


class Lots(Random):
    """Draws what it was given, in this order."""

    def __init__(self, *lots: float) -> None:
        super().__init__()
        self.lots = list(lots)

    def random(self) -> float:
        return self.lots.pop(0)


def throw(balancer: ILoadBalancer, usable: list[Server], balls: int) -> list[int]:
    """Connections that stay: how many each server has in the end."""
    for _ in range(balls):
        picked = balancer.pick(usable, "", 0.0)
        assert picked is not None
        picked.active += 1
    return [server.active for server in usable]


def many(number: int) -> list[Server]:
    return [Server(f"s{index}", f"tcp:192.0.2.{index}:1") for index in range(number)]


class RandomChoiceTests(SynchronousTestCase):
    """One server by lot."""

    def test_weights(self) -> None:
        """Each server is drawn as often as its weight says, within what chance leaves open."""
        found = Counter(picks(RandomChoice(Random(1)), servers(1, 2.5, 6.5), 20_000))
        for name, share in (("a", 0.1), ("b", 0.25), ("c", 0.65)):
            self.assertLess(abs(found[name] / 20_000 - share), 0.01)

    def test_repr(self) -> None:
        """It says what it is."""
        self.assertEqual(repr(RandomChoice(Random(1))), "<RandomChoice>")

    @given(st.lists(RATES, min_size=1, max_size=5), LOTS)
    def test_every_lot(self, weights: list[float], lot: float) -> None:
        """The lowest lot is the first server's, the highest the last one's, and every lot is somebody's."""
        usable = servers(*weights)
        lots = RandomChoice(Lots(0.0, 1 - 2**-53, lot))
        self.assertIs(lots.pick(usable, "", 0.0), usable[0])
        self.assertIs(lots.pick(usable, "", 0.0), usable[-1])
        self.assertIn(lots.pick(usable, "", 0.0), usable)


class PowerOfTwoTests(SynchronousTestCase):
    """The less loaded one of two."""

    def test_never_the_most_loaded(self) -> None:
        """Two different servers are drawn: the one with the most connections never wins."""
        usable = servers(1, 1, 1)
        usable[1].active = 1
        self.assertNotIn("b", picks(PowerOfTwo(Random(1)), usable, 1000))

    @given(st.lists(RATES, min_size=2, max_size=5), LOTS, LOTS, st.integers(0, 4))
    def test_two_different_ones(self, weights: list[float], lot: float, other: float, busy: int) -> None:
        """Whatever the lots and the weights, a server that is busier than any other is not picked."""
        usable = servers(*weights)
        busiest = usable[busy % len(usable)]
        busiest.active = 1_000_000
        self.assertIsNot(PowerOfTwo(Lots(lot, other)).pick(usable, "", 0.0), busiest)

    def test_pairs_by_weight(self) -> None:
        """Pairs are drawn as likely as one lot after the other, without putting back, would give them."""
        usable = servers(1, 2, 5)
        # Who is drawn first wins among equals: so loads are set to be equal for their weights.
        for server in usable:
            server.active = int(server.weight) * 10 - 1
        found = Counter(picks(PowerOfTwo(Random(1)), usable, 20_000))
        for name, share in (("a", 1 / 8), ("b", 2 / 8), ("c", 5 / 8)):
            self.assertLess(abs(found[name] / 20_000 - share), 0.01)
        # With c out of question, it loses against both: a and b share what c was drawn with.
        usable[2].active = 1_000_000
        found = Counter(picks(PowerOfTwo(Random(1)), usable, 20_000))
        # a first, or b first, or c first and then a, and so on.
        first = {"a": 1 / 8, "b": 2 / 8}
        behind_c = {"a": 5 / 8 * 1 / 3, "b": 5 / 8 * 2 / 3}
        for name in "ab":
            self.assertLess(abs(found[name] / 20_000 - first[name] - behind_c[name]), 0.01)

    def test_the_lighter_of_different_weights(self) -> None:
        """Of two, the one with fewer connections for its weight is picked, the one to come included."""
        heavy, light = usable = servers(3, 1)
        for active, expected in ((1, "a"), (3, "b")):
            heavy.active, light.active = active, 0
            self.assertEqual(set(picks(PowerOfTwo(Random(1)), usable, 50)), {expected})

    def test_more_even_than_chance(self) -> None:
        """Ten thousand connections to a hundred servers: the fullest has at most 5 % over the average, where
        by lot alone it has over 20 %.
        """
        for seed in range(5):
            fullest = max(throw(PowerOfTwo(Random(seed)), many(100), 10_000))
            self.assertLessEqual(fullest / 100, 1.05)
            fullest = max(throw(RandomChoice(Random(seed)), many(100), 10_000))
            self.assertGreater(fullest / 100, 1.2)

    def test_repr(self) -> None:
        """It says what it is."""
        self.assertEqual(repr(PowerOfTwo(Random(1))), "<PowerOfTwo>")
