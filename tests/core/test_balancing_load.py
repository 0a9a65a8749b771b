"""The rule that looks for the fewest connections."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import LeastConnections
from tcpsuite.testing.balancers import servers
from tests.support.balancing import picks


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
        """Equally loaded servers take turns, whatever their weights: these have told already."""
        usable = servers(2, 1)
        usable[0].active = 1
        self.assertEqual(picks(LeastConnections(Random(1)), usable, 4), "abab")

    def test_turns_of_who_was_away(self) -> None:
        """A server that was away is the next of its equals when it is back, and once only."""
        balancer, (a, b, c) = LeastConnections(Random(1)), servers(1, 1, 1)
        self.assertEqual(picks(balancer, (a, b, c), 3), "abc")
        self.assertEqual(picks(balancer, (b, c), 100), "bc" * 50)
        self.assertEqual(picks(balancer, (a, b, c), 6), "abcabc")

    def test_second_attempts_take_nobodys_turn(self) -> None:
        """While one server refuses, the clients that it refuses are shared evenly by the others."""
        balancer, (a, b, c) = LeastConnections(Random(1)), servers(1, 1, 1)
        served = ""
        for _ in range(60):
            name = picks(balancer, (a, b, c), 1)
            served += name if name != "a" else picks(balancer, (b, c), 1)
        self.assertEqual(Counter(served), {"b": 30, "c": 30})

    def test_lasting_connections(self) -> None:
        """Connections that stay are shared exactly by weight, fractions too."""
        usable = servers(0.5, 1, 2.5)
        balancer = LeastConnections(Random(1))
        for _ in range(400):
            picked = balancer.pick(usable, "", 0.0)
            assert picked is not None
            picked.active += 1
        self.assertEqual([server.active for server in usable], [50, 100, 250])

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
        balancer = LeastConnections(Random(1))
        picks(balancer, servers(1, 1), 1)
        self.assertEqual(repr(balancer), "<LeastConnections ['b', 'a']>")
