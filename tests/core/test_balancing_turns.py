"""The rules that go by the order of the servers."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import First, RoundRobin
from tcpsuite.testing.balancers import servers
from tests.support.balancing import picks

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)


class RoundRobinTests(SynchronousTestCase):
    """The servers in turn."""

    def test_equal_weights(self) -> None:
        """Servers of equal weight are picked in the order of the configuration."""
        self.assertEqual(picks(RoundRobin(Random(1)), servers(1, 1, 1), 7), "abcabca")

    def test_smooth(self) -> None:
        """A heavy server's turns are spread, not served in a row."""
        self.assertEqual(picks(RoundRobin(Random(1)), servers(5, 1, 1), 7), "aabacaa")

    def test_repr(self) -> None:
        """Its state can be read."""
        balancer = RoundRobin(Random(1))
        picks(balancer, servers(1, 1), 1)
        self.assertEqual(repr(balancer), "<RoundRobin {'a': -1, 'b': 1}>")

    @given(weights=WEIGHTS, start=st.integers(0, 200))
    def test_exact(self, weights: list[int], start: int) -> None:
        """From anywhere, as many picks as the sum of the weights give each server exactly its weight."""
        balancer, usable = RoundRobin(Random(1)), servers(*weights)
        picks(balancer, usable, start)
        counts = Counter(picks(balancer, usable, sum(weights)))
        self.assertEqual([counts[server.name] for server in usable], weights)

    @given(weights=WEIGHTS, data=st.data())
    def test_changing_servers(self, weights: list[int], data: st.DataObject) -> None:
        """However the usable servers change, what a server got stays near the sum of its shares."""
        balancer, everyone = RoundRobin(Random(1)), servers(*weights)
        subsets = st.lists(st.sampled_from(everyone), min_size=1, unique_by=id)
        # In units of a weight: being picked costs what all that might have been picked earn together.
        due = {server.name: 0.0 for server in everyone}
        for usable in data.draw(st.lists(subsets, max_size=60)):
            picked = balancer.pick(usable, "", 0.0)
            assert picked is not None
            for server in usable:
                due[server.name] += server.weight
            due[picked.name] -= sum(server.weight for server in usable)
            self.assertLessEqual(max(map(abs, due.values())), 2 * sum(weights))

    def test_a_server_returns_to_its_place(self) -> None:
        """A server that was away for long takes no more turns than before when it is back."""
        balancer, (a, b, c) = RoundRobin(Random(1)), servers(1, 1, 1)
        self.assertEqual(picks(balancer, (a, b, c), 3), "abc")
        self.assertEqual(picks(balancer, (b, c), 100), "bc" * 50)
        self.assertEqual(picks(balancer, (a, b, c), 6), "abcabc")

    def test_second_attempts_take_nobodys_turn(self) -> None:
        """While one server refuses, the clients that it refuses are shared evenly by the others."""
        balancer, (a, b, c) = RoundRobin(Random(1)), servers(1, 1, 1)
        served = ""
        for _ in range(60):
            name = picks(balancer, (a, b, c), 1)
            served += name if name != "a" else picks(balancer, (b, c), 1)
        self.assertEqual(Counter(served), {"b": 30, "c": 30})

    def test_weight_changes(self) -> None:
        """A new weight counts from the next pick on."""
        balancer, usable = RoundRobin(Random(1)), servers(1, 1)
        picks(balancer, usable, 10)
        usable[0].weight = 3
        self.assertEqual(Counter(picks(balancer, usable, 40)), {"a": 30, "b": 10})

    def test_fractions(self) -> None:
        """Fractions of weights count as such: a slow start gives a server its share of each step."""
        balancer, usable = RoundRobin(Random(1)), servers(0.5, 2, 2.5)
        self.assertEqual(Counter(picks(balancer, usable, 1000)), {"a": 100, "b": 400, "c": 500})
        usable[0].weight = 1.5
        self.assertEqual(Counter(picks(balancer, usable, 600)), {"a": 150, "b": 200, "c": 250})


class FirstTests(SynchronousTestCase):
    """The first server that has room."""

    def test_fills_one_after_the_other(self) -> None:
        """The first server is filled up to its maximum, then the second; whoever is first and has room again
        is next.
        """
        balancer, usable = First(Random(1)), servers(1, 5, 1)
        for server in usable:
            server.max_connections = 2
        names = ""
        for _ in range(5):
            picked = balancer.pick(usable, "", 0.0)
            assert picked is not None
            picked.active += 1
            names += picked.name
        self.assertEqual(names, "aabbc")
        usable[0].active -= 1
        self.assertEqual(picks(balancer, usable, 2), "aa")

    def test_all_full(self) -> None:
        """When none has room, none is picked."""
        (only,) = servers(1)
        only.max_connections = only.active = 1
        self.assertIsNone(First(Random(1)).pick([only], "", 0.0))

    def test_no_maximum(self) -> None:
        """Without a maximum the first one takes all."""
        usable = servers(1, 1)
        usable[0].active = 1_000_000
        self.assertEqual(picks(First(Random(1)), usable, 2), "aa")

    def test_repr(self) -> None:
        """It says what it is."""
        self.assertEqual(repr(First(Random(1))), "<First>")
