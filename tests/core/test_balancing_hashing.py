"""The rule that keeps a client on its server."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from math import ceil
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import IPHash
from tcpsuite.core.balancing.hashing import REMEMBERED
from tcpsuite.core.servers import Server
from tcpsuite.testing.balancers import servers
from tests.support.balancing import clients

CLIENTS = tuple(clients(4000))
PRINT = """
from random import Random
from tcpsuite.core.balancing import IPHash
from tcpsuite.testing.balancers import servers
hash_, usable = IPHash(Random()), servers(1, 2, 3)
print("".join(hash_.pick(usable, f"192.0.2.{octet}", 0.0).name for octet in range(64)))
"""


def homes(balancer: IPHash, usable: list[Server]) -> dict[str, str]:
    """The server of each client."""
    found = {}
    for client in CLIENTS:
        picked = balancer.pick(usable, client, 0.0)
        assert picked is not None
        found[client] = picked.name
    return found


class IPHashTests(SynchronousTestCase):
    """A server of its own for each client."""

    def test_a_client_stays(self) -> None:
        """A client is sent to the same server, however often it comes and whoever comes between."""
        balancer, usable = IPHash(Random(1)), list(servers(1, 2, 3))
        self.assertEqual(homes(balancer, usable), homes(balancer, usable))
        self.assertEqual(homes(balancer, usable), homes(IPHash(Random(2)), usable))

    def test_a_client_of_both_kinds(self) -> None:
        """An IPv4 client is the same one when it comes to an IPv6 listener."""
        balancer, usable = IPHash(Random(1)), servers(1, 2, 3)
        for client in CLIENTS[:50]:
            first = balancer.pick(usable, client, 0.0)
            self.assertIs(balancer.pick(usable, f"::ffff:{client}", 0.0), first)

    def test_one_of_n_leaves(self) -> None:
        """When one of N servers leaves, none but its own clients move, and they are at most a share of
        1/N and 2 points of all, for N from 3 to 20.
        """
        for number in range(3, 21):
            usable = list(servers(*[1] * number))
            before, moved = homes(IPHash(Random(1)), usable), []
            for gone in usable:
                after = homes(IPHash(Random(1)), [server for server in usable if server is not gone])
                movers = {client for client, name in before.items() if after[client] != name}
                self.assertEqual(movers, {client for client in CLIENTS if before[client] == gone.name})
                moved.append(len(movers) / len(CLIENTS))
                if number > 6:
                    break
            self.assertLessEqual(max(moved), 1 / number + 0.02)

    def test_one_of_n_leaves_weighted(self) -> None:
        """So it is with weights: at most its share by weight and 2 points."""
        for number in range(3, 21):
            usable = list(servers(*(1 + index % 4 for index in range(number))))
            before = homes(IPHash(Random(1)), usable)
            gone = usable[number // 2]
            after = homes(IPHash(Random(1)), [server for server in usable if server is not gone])
            movers = {client for client, name in before.items() if after[client] != name}
            self.assertEqual(movers, {client for client in CLIENTS if before[client] == gone.name})
            share = gone.weight / sum(server.weight for server in usable)
            self.assertLessEqual(len(movers) / len(CLIENTS), share + 0.02)

    def test_movers_are_spread(self) -> None:
        """The clients of a server that left are spread over all others, by weight."""
        usable = list(servers(1, 2, 1, 4))
        before = homes(IPHash(Random(1)), usable)
        after = homes(IPHash(Random(1)), usable[:3])
        spread = Counter(after[client] for client, name in before.items() if name == "d")
        for name, share in (("a", 0.25), ("b", 0.5), ("c", 0.25)):
            self.assertLess(abs(spread[name] / spread.total() - share), 0.03)

    def test_a_weight_changes(self) -> None:
        """Of a server whose weight grows no client leaves; clients come from all others."""
        usable = list(servers(1, 1, 1, 1))
        balancer = IPHash(Random(1))
        before = homes(balancer, usable)
        usable[0].weight = 1.5
        after = homes(balancer, usable)
        moved = {(before[client], after[client]) for client in CLIENTS if before[client] != after[client]}
        self.assertEqual(moved, {("b", "a"), ("c", "a"), ("d", "a")})
        share = Counter(after.values())["a"] / len(CLIENTS)
        self.assertLess(abs(share - 1.5 / 4.5), 0.02)

    def test_a_second_attempt(self) -> None:
        """A client's second attempt is where it will be when the first server has left; and then the first
        one is its own again.
        """
        balancer, usable = IPHash(Random(1)), list(servers(1, 1, 1))
        for client in CLIENTS[:50]:
            first = balancer.pick(usable, client, 0.0)
            others = [server for server in usable if server is not first]
            second = balancer.pick(others, client, 0.0)
            self.assertIs(second, IPHash(Random(1)).pick(tuple(others), client, 0.0))
            self.assertIs(balancer.pick(usable, client, 0.0), first)

    def test_order_does_not_matter(self) -> None:
        """Where a server stands in the file tells nothing: its name does."""
        usable = list(servers(1, 2, 3))
        self.assertEqual(homes(IPHash(Random(1)), usable), homes(IPHash(Random(1)), usable[::-1]))

    def test_everywhere_the_same(self) -> None:
        """Another process, with another seed for hashes, sends clients to the same servers."""
        shown = [
            subprocess.run(
                [sys.executable, "-c", PRINT],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        ]
        self.assertEqual(shown[0], shown[1])
        self.assertEqual(len(shown[0].strip()), 64)

    def test_memory_is_bounded(self) -> None:
        """Servers are remembered for so many clients at most, and who was forgotten comes out the same."""
        balancer, usable = IPHash(Random(1)), list(servers(1, 2))
        first = balancer.pick(usable, CLIENTS[0], 0.0)
        for client in clients(REMEMBERED):
            balancer.pick(usable, client, 0.0)
        self.assertIn(f"remembered={REMEMBERED}", repr(balancer))
        balancer.pick(usable, "192.0.2.1", 0.0)
        self.assertEqual(repr(balancer), "<IPHash bounded_load=0 remembered=1>")
        self.assertIs(balancer.pick(usable, CLIENTS[0], 0.0), first)

    def test_no_address(self) -> None:
        """Clients on UNIX sockets take turns: they have no address to be told by."""
        balancer, usable = IPHash(Random(1)), servers(1, 1, 1)
        picked = [balancer.pick(usable, "", 0.0) for _ in range(6)]
        self.assertEqual(picked, [*usable, *usable])


class BoundedLoadTests(SynchronousTestCase):
    """A bound on the load of each server."""

    def test_bounds_that_are_none(self) -> None:
        """A bound under 1 could not be kept, one without an end is none: both are refused."""
        for bound in (0.99, -1.0, float("nan"), float("inf")):
            self.assertRaises(ValueError, IPHash, Random(1), bounded_load=bound)

    @given(
        st.lists(st.one_of(st.integers(1, 20), st.floats(0.05, 20)), min_size=1, max_size=6),
        st.sampled_from([1.0, 1.1, 1.5, 2.0]),
        st.lists(st.tuples(st.sampled_from(CLIENTS[:5]), st.booleans()), max_size=150),
    )
    def test_never_over(self, weights: list[float], bound: float, turns: list[tuple[str, bool]]) -> None:
        """Whoever comes and goes, no pick takes a server over its bound, though few clients come."""
        balancer, usable, open_ = IPHash(Random(1), bounded_load=bound), servers(*weights), list[Server]()
        for client, leaves in turns:
            picked = balancer.pick(usable, client, 0.0)
            assert picked is not None
            picked.active += 1
            open_.append(picked)
            share = len(open_) * picked.weight / sum(weights)
            self.assertLessEqual(picked.active, ceil(bound * share + 1e-9))
            if leaves:
                open_.pop(0).active -= 1

    def test_stays_when_there_is_room(self) -> None:
        """Under its bound every client is where it is without one."""
        usable = list(servers(1, 2, 3))
        for server in usable:
            server.active = int(server.weight) * 10
        self.assertEqual(homes(IPHash(Random(1), 1.5), usable), homes(IPHash(Random(1)), usable))

    def test_one_client(self) -> None:
        """One client with many connections spills over: with 1.5, its first server has half of them all."""
        balancer, usable = IPHash(Random(1), bounded_load=1.5), servers(1, 1, 1)
        for _ in range(300):
            picked = balancer.pick(usable, "192.0.2.1", 0.0)
            assert picked is not None
            picked.active += 1
        self.assertEqual(sorted(server.active for server in usable), [0, 150, 150])

    def test_the_next_is_the_second_choice(self) -> None:
        """A client that finds no room goes where it would go if its server had left."""
        usable = servers(1, 2, 1, 3)
        for client in CLIENTS[:50]:
            for server in usable:
                server.active = 10
            first = IPHash(Random(1)).pick(usable, client, 0.0)
            assert first is not None
            first.active = 1000
            others = [server for server in usable if server is not first]
            second = IPHash(Random(1)).pick(others, client, 0.0)
            self.assertIs(IPHash(Random(1), 1.5).pick(usable, client, 0.0), second)
