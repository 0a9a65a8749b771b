"""Connections that there have been, dealt out anew."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.affinity import StickTable
from tcpsuite.core.balancing import STRATEGIES, First, LeastConnections, LeastTime, RoundRobin
from tcpsuite.core.servers import Server
from tcpsuite.core.simulation import Distribution, Event, Share, happened, simulate
from tcpsuite.testing.balancers import servers

EVENTS = st.lists(
    st.builds(
        Event,
        st.floats(0, 100),
        st.floats(0, 100),
        st.sampled_from(["", "192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        st.sampled_from(["", "a", "b", "gone"]),
        st.integers(0, 1000),
        st.one_of(st.none(), st.floats(0, 1)),
    ),
    max_size=30,
)


def counts(distribution: Distribution) -> dict[str, tuple[int, int]]:
    """Connections and peak of each server."""
    return {name: (share.connections, share.peak) for name, share in distribution.shares.items()}


class HappenedTests(SynchronousTestCase):
    """What there was."""

    def test_counts(self) -> None:
        """Each server's connections and bytes are summed, and the most that it had at once is found, in
        whatever order they were written down.
        """
        events = [
            Event(2.0, 5.0, "", "a", 10),
            Event(0.0, 3.0, "", "a", 20),
            Event(3.0, 1.0, "", "a", 30),  # the one before it has ended
            Event(1.0, 1.0, "", "b", 40),
        ]
        self.assertEqual(
            happened(events, servers(2, 1, 1)).shares,
            {"a": Share(2, 3, 60, 2), "b": Share(1, 1, 40, 1), "c": Share(1)},
        )

    def test_no_server(self) -> None:
        """Connections that got no server are counted apart."""
        found = happened([Event(0, 1, ""), Event(0, 1, "", "a")], servers(1))
        self.assertEqual((found.connections, found.unserved), (1, 1))

    def test_a_server_that_is_gone(self) -> None:
        """A server that is no longer configured is shown, is due nothing, and changes nobody's due."""
        found = happened([Event(0, 1, "", name) for name in ("a", "b", "old", "old")], servers(1, 1))
        self.assertEqual(found.shares["old"], Share(0, 2, 0, 2))
        self.assertEqual(found.maximum_over_mean, 1)

    def test_maximum_over_mean(self) -> None:
        """The fullest server is measured by its weight."""
        found = happened([Event(0, 1, "", name) for name in "aaabbb"], servers(2, 1))
        self.assertAlmostEqual(found.maximum_over_mean, 1.5)
        self.assertEqual(happened([], servers(2, 1)).maximum_over_mean, 0)


class SimulateTests(SynchronousTestCase):
    """What there would have been."""

    def test_round_robin(self) -> None:
        """A round robin gives each server its weight, however long its connections last."""
        events = [Event(at, 1 + 99 * (at % 2), "", "a") for at in range(60)]
        found = simulate(events, servers(1, 1, 4), RoundRobin(Random(1)))
        self.assertEqual([share.connections for share in found.shares.values()], [10, 10, 40])
        self.assertEqual(found.maximum_over_mean, 1)

    def test_durations_count(self) -> None:
        """What lasts long keeps its server busy: least connections evens peaks out where turns do not."""
        events = [Event(at, 1.5 if at % 2 else 100, "", "a") for at in range(60)]
        turns = simulate(events, servers(1, 1), RoundRobin(Random(1)))
        self.assertEqual(counts(turns), {"a": (30, 30), "b": (30, 1)})
        even = simulate(events, servers(1, 1), LeastConnections(Random(1)))
        self.assertLessEqual(max(share.peak for share in even.shares.values()), 16)

    def test_no_room(self) -> None:
        """A server at its maximum is left out until a connection of it has ended; who finds no room at all
        gets none.
        """
        usable = servers(1, 1)
        usable[0].max_connections, usable[1].max_connections = 2, 1
        events = [Event(at, 10, "", "") for at in range(5)] + [Event(10.5, 1, "", "")]
        found = simulate(events, usable, First(Random(1)))
        self.assertEqual((counts(found), found.unserved), ({"a": (3, 2), "b": (1, 1)}, 2))

    def test_backups(self) -> None:
        """A backup stays one: it is due nothing, and gets nothing."""
        usable = [*servers(1, 1), Server("spare", "tcp:192.0.2.9:1", 5, backup=True)]
        found = simulate([Event(0, 1, "")] * 10, usable, LeastConnections(Random(1)))
        self.assertEqual(counts(found), {"a": (5, 5), "b": (5, 5), "spare": (0, 0)})
        self.assertEqual((found.shares["spare"].weight, found.maximum_over_mean), (0, 1))

    def test_connect_times(self) -> None:
        """A server that was mostly slow to connect is avoided by least time; one outlier tells nothing."""
        events = [
            Event(float(at), 0.1, "", name, 0, 9.0 if at == 1 else took)
            for at in range(300)
            for name, took in (("a", 0.05), ("b", 0.001))
        ]
        found = simulate(events, servers(1, 1), LeastTime(Random(1)))
        self.assertGreater(found.shares["b"].connections, 500)

    def test_affinity(self) -> None:
        """With a table, each client is led where it was before, until it was away for too long; who has no
        address goes where the balancer says.
        """
        clients = [f"192.0.2.{number}" for number in range(4)]
        events = [
            Event(10.0 * turn + n, 1, client) for turn in range(5) for n, client in enumerate(clients[:3])
        ]
        found = simulate(events, servers(1, 1), RoundRobin(Random(1)), StickTable(timeout=30.0))
        self.assertEqual(sorted(share.connections for share in found.shares.values()), [5, 10])
        late = [Event(1000.0 * turn, 1, clients[0]) for turn in range(10)]
        found = simulate(late, servers(1, 1), RoundRobin(Random(1)), StickTable(timeout=30.0))
        self.assertEqual([share.connections for share in found.shares.values()], [5, 5])
        nobody = [Event(at, 1, "") for at in range(10)]
        found = simulate(nobody, servers(1, 1), RoundRobin(Random(1)), StickTable())
        self.assertEqual([share.connections for share in found.shares.values()], [5, 5])

    def test_affinity_while_connected(self) -> None:
        """A client that has a connection is not away, and is the same over IPv4 and IPv6; while its own
        server is full it goes to another one, which is its own then.
        """
        events = [Event(0.0, 500, "192.0.2.1"), Event(400.0, 1, "::ffff:192.0.2.1")]
        found = simulate(events, servers(1, 1), RoundRobin(Random(1)), StickTable(timeout=30.0))
        self.assertEqual(sorted(share.connections for share in found.shares.values()), [0, 2])
        small = servers(1, 1)
        small[0].max_connections = 1
        events = [Event(float(at), 2.5, "192.0.2.1") for at in range(6)]
        found = simulate(events, small, First(Random(1)), StickTable())
        self.assertEqual(counts(found), {"a": (1, 1), "b": (5, 3)})

    @given(EVENTS, st.sampled_from(sorted(STRATEGIES)))
    def test_nothing_is_lost_with_affinity(self, events: list[Event], strategy: str) -> None:
        """The same where clients stick: all are served, and nobody has a connection in the end."""
        usable, table = servers(1, 2), StickTable(timeout=20.0, most=2)
        found = simulate(events, usable, STRATEGIES[strategy](Random(1)), table)
        self.assertEqual((found.connections, found.unserved), (len(events), 0))
        self.assertEqual([server.active for server in usable], [0, 0])
        self.assertEqual([home for home in table.homes(table.keys(), 200.0) if home.open], [])

    @given(EVENTS, st.sampled_from(sorted(STRATEGIES)))
    def test_nothing_is_lost(self, events: list[Event], strategy: str) -> None:
        """Every connection gets a server or none, by every strategy, and in the end all have ended."""
        usable = servers(1, 2, 0)
        usable[0].max_connections = 1
        found = simulate(events, usable, STRATEGIES[strategy](Random(1)))
        self.assertEqual(found.connections + found.unserved, len(events))
        self.assertEqual([server.active for server in usable], [0, 0, 0])
        self.assertLessEqual(found.shares["a"].peak, 1)
        self.assertEqual(found.shares["c"], Share(0))
        if found.unserved == 0:
            moved = sum(share.bytes_moved for share in found.shares.values())
            self.assertEqual(moved, sum(event.bytes_moved for event in events))
