"""Limits on connections: of one client, and in all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import CONNECTIONS_PER_IP, Ceiling, ResourceLimiter, Room
from tcpsuite.errors import LocalError
from tcpsuite.testing.limiters import LimiterContract

ALICE, BOB = "192.0.2.1", "192.0.2.2"


class ResourceLimiterContractTests(LimiterContract, SynchronousTestCase):
    """The limiter of connections by address."""

    connections = 3

    def make_limiter(self) -> ResourceLimiter:
        return ResourceLimiter(connections_per_ip=3)


class UnexemptedContractTests(LimiterContract, SynchronousTestCase):
    """The same, with peers on this machine counted too."""

    connections = 1

    def make_limiter(self) -> ResourceLimiter:
        return ResourceLimiter(connections_per_ip=1, exempt_loopback=False)


class ConnectionsPerIpTests(SynchronousTestCase):
    """Connections of one client."""

    def assert_together(self, first: str, second: str, limiter: ResourceLimiter | None = None) -> None:
        """Both addresses are one client."""
        limiter = limiter or ResourceLimiter(connections_per_ip=1)
        verdict = limiter.admit(first, 0.0)
        self.assertFalse(limiter.admit(second, 0.0).allowed)
        limiter.release(verdict)
        self.assertTrue(limiter.admit(second, 0.0).allowed)

    def assert_apart(self, first: str, second: str) -> None:
        """Each address is a client of its own."""
        limiter = ResourceLimiter(connections_per_ip=1)
        self.assertTrue(limiter.admit(first, 0.0).allowed)
        self.assertTrue(limiter.admit(second, 0.0).allowed)
        self.assertFalse(limiter.admit(first, 0.0).allowed)

    def test_default(self) -> None:
        """Unless told otherwise, a client may have a hundred connections, and not one more."""
        limiter = ResourceLimiter()
        allowed = [limiter.admit(ALICE, 0.0).allowed for _ in range(CONNECTIONS_PER_IP + 1)]
        self.assertEqual(CONNECTIONS_PER_IP, 100)
        self.assertEqual(allowed, [True] * 100 + [False])

    def test_refusal_names_the_option_and_the_numbers(self) -> None:
        """A refusal names the option that refused, the client, and both numbers."""
        limiter = ResourceLimiter(connections_per_ip=1)
        limiter.admit(ALICE, 0.0)
        verdict = limiter.admit(ALICE, 0.0)
        self.assertEqual(verdict.limit, "connections_per_ip")
        self.assertEqual(verdict.reason, "192.0.2.1 has 1 connections open, of 1 that it may have")
        self.assertEqual(verdict.key, ALICE)

    def test_nothing_is_kept_of_a_client_without_connections(self) -> None:
        """When its last connection ends, a client is forgotten."""
        limiter = ResourceLimiter()
        first, second, other = limiter.admit(ALICE, 0.0), limiter.admit(ALICE, 0.0), limiter.admit(BOB, 0.0)
        self.assertEqual(repr(limiter), "<ResourceLimiter clients=2 connections=3>")
        limiter.release(first)
        limiter.release(other)
        self.assertEqual(repr(limiter), "<ResourceLimiter clients=1 connections=1>")
        limiter.release(second)
        self.assertEqual(repr(limiter), "<ResourceLimiter clients=0 connections=0>")

    def test_a_refusal_leaves_nothing(self) -> None:
        """A refused client is held no longer than its connections."""
        limiter = ResourceLimiter(connections_per_ip=1)
        verdict = limiter.admit(ALICE, 0.0)
        limiter.release(limiter.admit(ALICE, 0.0))
        limiter.release(verdict)
        self.assertEqual(repr(limiter), "<ResourceLimiter clients=0 connections=0>")

    def test_verdict_of_another_limiter(self) -> None:
        """A verdict counts only where it was given."""
        limiter = ResourceLimiter(connections_per_ip=1)
        limiter.admit(ALICE, 0.0)
        limiter.release(ResourceLimiter().admit(ALICE, 0.0))
        self.assertFalse(limiter.admit(ALICE, 0.0).allowed)

    def test_no_limit(self) -> None:
        """With a limit of 0 a client may have any number, and nothing is counted."""
        limiter = ResourceLimiter(connections_per_ip=0)
        self.assertTrue(all(limiter.admit(ALICE, 0.0).allowed for _ in range(1000)))
        self.assertEqual(repr(limiter), "<ResourceLimiter clients=0 connections=0>")

    def test_peers_on_this_machine_are_exempt(self) -> None:
        """Peers over loopback and UNIX sockets may have any number of connections."""
        limiter = ResourceLimiter(connections_per_ip=1)
        for client in ("", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(all(limiter.admit(client, 0.0).allowed for _ in range(5)), client)

    def test_peers_on_this_machine_can_be_counted(self) -> None:
        """Told so, loopback addresses count like any other, and all UNIX peers count as one."""
        for client in ("", "127.0.0.1", "::1", "::ffff:127.0.0.1"):
            limiter = ResourceLimiter(connections_per_ip=1, exempt_loopback=False)
            self.assert_together(client, client, limiter)

    def test_an_ipv6_network_is_one_client(self) -> None:
        """The addresses of 64 bits of IPv6 share their connections; the next network has its own."""
        self.assert_together("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff")
        self.assert_apart("2001:db8:0:1::1", "2001:db8:0:2::1")
        self.assertEqual(ResourceLimiter().admit("2001:db8:0:1::1", 0.0).key, "2001:db8:0:1::/64")

    def test_scope_is_no_part_of_an_address(self) -> None:
        """The interface that a link-local address came in by does not tell clients apart."""
        self.assert_together("fe80::1%eth0", "fe80::1")

    def test_ipv4_mapped_address_is_its_ipv4(self) -> None:
        """A client that arrives on a dual-stack socket is the same as on an IPv4 one."""
        self.assert_together("::ffff:192.0.2.1", ALICE)
        self.assert_apart("::ffff:192.0.2.1", BOB)

    def test_what_is_no_address_is_counted_as_it_stands(self) -> None:
        """A client named by something else is limited under that name."""
        for name in ("a name", "127.example", "a:b"):
            self.assert_together(name, name)
            self.assert_apart(name, "another")

    def test_spending_is_free(self) -> None:
        """No rate is configured, so any amount is allowed, and none is kept."""
        limiter = ResourceLimiter(connections_per_ip=1)
        self.assertTrue(limiter.spend(ALICE, 1e12, 0.0).allowed)
        self.assertEqual(repr(limiter), "<ResourceLimiter clients=0 connections=0>")


class CeilingTests(SynchronousTestCase):
    """Connections in all."""

    def test_rests_at_the_limit_and_resumes_below(self) -> None:
        """It is full with as many as the limit, and not with one less."""
        ceiling = Ceiling(2)
        self.assertTrue(ceiling.enter())
        self.assertFalse(ceiling.full)
        self.assertTrue(ceiling.enter())
        self.assertTrue(ceiling.full)
        ceiling.leave()
        self.assertFalse(ceiling.full)

    def test_a_full_one_lets_nobody_in(self) -> None:
        """Who finds it full has no place, and so none to give back."""
        ceiling = Ceiling(1)
        self.assertTrue(ceiling.enter())
        self.assertFalse(ceiling.enter())
        self.assertEqual(repr(ceiling), "<Ceiling 1 of 1>")
        ceiling.leave()
        self.assertTrue(ceiling.enter())

    def test_a_place_is_given_back_once(self) -> None:
        """Giving back more than was taken is our caller's fault."""
        ceiling = Ceiling(1)
        ceiling.enter()
        ceiling.leave()
        self.assertRaises(LocalError, ceiling.leave)
        self.assertEqual(ceiling.active, 0)

    def test_there_is_room_for_one(self) -> None:
        """A ceiling that nobody fits under is refused."""
        self.assertRaises(LocalError, Ceiling, 0)

    def test_the_room_is_shared(self) -> None:
        """Those below two ceilings share a room, each taking its size; who leaves makes room for either."""
        room = Room(4)
        large, small = Ceiling(10, room, size=3), Ceiling(10, room)
        self.assertTrue(large.enter())
        self.assertTrue(large.full)
        self.assertFalse(small.full)
        self.assertTrue(small.enter())
        self.assertFalse(small.enter())
        self.assertEqual(repr(room), "<Room 4 of 4>")
        large.leave()
        self.assertFalse(small.full)
        self.assertFalse(large.full)
        small.leave()
        self.assertEqual(room.taken, 0)
