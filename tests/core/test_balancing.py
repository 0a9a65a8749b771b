"""The rules that pick a server."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import STRATEGIES, LeastConnections, RoundRobin
from tcpsuite.testing.balancers import LoadBalancerContract, servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILoadBalancer

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def picks(balancer: ILoadBalancer, usable: Sequence[Server], count: int) -> str:
    """The names of the servers that are picked, one letter each."""
    found = (balancer.pick(usable, "192.0.2.1", 0.0) for _ in range(count))
    return "".join(server.name for server in found if server is not None)


class RoundRobinContractTests(LoadBalancerContract, SynchronousTestCase):
    """Round robin."""

    tolerance = 0.02

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return RoundRobin(chance)


class LeastConnectionsContractTests(LoadBalancerContract, SynchronousTestCase):
    """Least connections."""

    tolerance = 0.02

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return LeastConnections(chance)


class StrategiesTests(SynchronousTestCase):
    """The built-in balancers."""

    def test_names(self) -> None:
        """Each has the name that the configuration knows it by."""
        self.assertEqual(dict(STRATEGIES), {"round_robin": RoundRobin, "least_connections": LeastConnections})

    def test_no_weight(self) -> None:
        """A server without weight is not picked, and among such servers none is."""
        for strategy in STRATEGIES.values():
            balancer = strategy(Random(1))
            self.assertIsNone(balancer.pick(servers(0, 0), "", 0.0))
            self.assertIsNone(balancer.pick((), "", 0.0))
            self.assertEqual(picks(balancer, servers(0, 1, 0), 3), "bbb")


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


class LeastConnectionsTests(SynchronousTestCase):
    """The server with the fewest connections."""

    def test_fewest(self) -> None:
        """The server with the fewest connections is picked, as long as it has."""
        usable = servers(1, 1, 1)
        for server, active in zip(usable, (3, 1, 2), strict=True):
            server.active = active
        self.assertEqual(picks(LeastConnections(Random(1)), usable, 3), "bbb")

    def test_weight(self) -> None:
        """Connections are counted by weight, the one to come included."""
        heavy, light = usable = servers(3, 1)
        balancer = LeastConnections(Random(1))
        for active, expected in ((0, "a"), (1, "a"), (3, "b")):
            heavy.active = active
            self.assertEqual(picks(balancer, usable, 1), expected)
        heavy.active, light.active = 3, 1
        self.assertEqual(picks(balancer, usable, 1), "a")

    def test_equal_idle_servers_share(self) -> None:
        """Servers that are equally idle take turns, though each connection ends before the next begins."""
        self.assertEqual(picks(LeastConnections(Random(1)), servers(2, 2, 2), 6), "abcabc")

    def test_tie_of_some(self) -> None:
        """Only those with the fewest take turns."""
        usable = servers(1, 1, 1)
        usable[1].active = 1
        self.assertEqual(picks(LeastConnections(Random(1)), usable, 4), "acac")

    def test_tie_of_different_weights(self) -> None:
        """Equally loaded servers of different weight take turns by weight."""
        usable = servers(2, 1)
        usable[0].active = 1
        self.assertEqual(Counter(picks(LeastConnections(Random(1)), usable, 30)), {"a": 20, "b": 10})

    @given(st.lists(st.tuples(st.integers(1, 256), st.integers(0, 50)), min_size=1, max_size=6))
    def test_no_server_has_more_room(self, loads: list[tuple[int, int]]) -> None:
        """No other server would have fewer connections for its weight."""
        usable = servers(*(weight for weight, _ in loads))
        for server, (_, active) in zip(usable, loads, strict=True):
            server.active = active
        picked = LeastConnections(Random(1)).pick(usable, "", 0.0)
        assert picked is not None
        for other in usable:
            self.assertLessEqual((picked.active + 1) * other.weight, (other.active + 1) * picked.weight)

    def test_repr(self) -> None:
        """Its state can be read."""
        self.assertEqual(repr(LeastConnections(Random(1))), "<LeastConnections <RoundRobin {}>>")
