"""All limits together: of a client, of a user, with overrides, and only tried."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import NO_OVERRIDES, Limits, ResourceLimiter, Use, parse_overrides
from tcpsuite.core.limits.settings import UNLIMITED
from tcpsuite.errors import LocalError
from tcpsuite.options import Size
from tcpsuite.testing.limiters import LimiterContract

ALICE, BOB = "192.0.2.1", "192.0.2.2"
EMPTY = "<ResourceLimiter clients=0 connections=0 users=0 logins=0>"


def of(connections: int, *, exempt_loopback: bool = True) -> ResourceLimiter:
    """A limiter of so many connections of each client, and nothing else."""
    return ResourceLimiter(Limits(connections), exempt_loopback=exempt_loopback)


class ResourceLimiterContractTests(LimiterContract, SynchronousTestCase):
    """With the usual limits, but of connections."""

    connections = 3
    logins = 2

    def make_limiter(self) -> ResourceLimiter:
        return ResourceLimiter(Limits(connections_per_ip=3, connections_per_user=2))


class UnexemptedContractTests(LimiterContract, SynchronousTestCase):
    """The same, with peers on this machine counted too, a rate, and overrides for others."""

    connections = 1
    logins = 1

    def make_limiter(self) -> ResourceLimiter:
        limits = Limits(1, connection_rate=1, connection_burst=10_000, connections_per_user=1)
        overrides = parse_overrides("10.0.0.0/8 connections_per_ip=7\nuser:root connections_per_user=0\n")
        return ResourceLimiter(limits, exempt_loopback=False, overrides=overrides)


class ConnectionsPerIpTests(SynchronousTestCase):
    """Connections of one client."""

    def assert_together(self, first: str, second: str, limiter: ResourceLimiter | None = None) -> None:
        """Both addresses are one client."""
        limiter = limiter or of(1)
        verdict = limiter.admit(first, 0.0)
        self.assertFalse(limiter.admit(second, 0.0).allowed)
        limiter.release(verdict)
        self.assertTrue(limiter.admit(second, 0.0).allowed)

    def assert_apart(self, first: str, second: str) -> None:
        """Each address is a client of its own."""
        limiter = of(1)
        self.assertTrue(limiter.admit(first, 0.0).allowed)
        self.assertTrue(limiter.admit(second, 0.0).allowed)
        self.assertFalse(limiter.admit(first, 0.0).allowed)

    def test_default(self) -> None:
        """Unless told otherwise, a client may have a hundred connections, and not one more."""
        limiter = ResourceLimiter()
        allowed = [limiter.admit(ALICE, 0.0).allowed for _ in range(101)]
        self.assertEqual(allowed, [True] * 100 + [False])

    def test_refusal_names_the_option_and_the_numbers(self) -> None:
        """A refusal names the option that refused, the client, and both numbers."""
        limiter = of(1)
        limiter.admit(ALICE, 0.0)
        verdict = limiter.admit(ALICE, 0.0)
        self.assertEqual(verdict.limit, "connections_per_ip")
        self.assertEqual(verdict.reason, "192.0.2.1 has 1 connections open, of 1 that it may have")
        self.assertEqual(verdict.key, ALICE)

    def test_nothing_is_kept_of_a_client_without_connections(self) -> None:
        """When its last connection ends, a client is forgotten."""
        limiter = ResourceLimiter()
        first, second, other = limiter.admit(ALICE, 0.0), limiter.admit(ALICE, 0.0), limiter.admit(BOB, 0.0)
        self.assertIn("clients=2 connections=3", repr(limiter))
        limiter.release(first)
        limiter.release(other)
        self.assertIn("clients=1 connections=1", repr(limiter))
        limiter.release(second)
        self.assertEqual(repr(limiter), EMPTY)

    def test_a_refusal_leaves_nothing(self) -> None:
        """A refused client is held no longer than its connections."""
        limiter = of(1)
        verdict = limiter.admit(ALICE, 0.0)
        limiter.release(limiter.admit(ALICE, 0.0))
        limiter.release(verdict)
        self.assertEqual(repr(limiter), EMPTY)

    def test_verdict_of_another_limiter(self) -> None:
        """A verdict counts only where it was given."""
        limiter = of(1)
        limiter.admit(ALICE, 0.0)
        limiter.release(ResourceLimiter().admit(ALICE, 0.0))
        self.assertFalse(limiter.admit(ALICE, 0.0).allowed)

    def test_no_limit(self) -> None:
        """With a limit of 0 a client may have any number; one can see how many they are."""
        limiter = of(0)
        self.assertTrue(all(limiter.admit(ALICE, 0.0).allowed for _ in range(1000)))
        self.assertEqual(limiter.top(1, 0.0), [Use("connections_per_ip", ALICE, 1000, 0)])

    def test_peers_on_this_machine_are_exempt(self) -> None:
        """Peers over loopback and UNIX sockets have no limits, and count for nobody."""
        limiter = ResourceLimiter(Limits(1, connection_rate=1, connection_burst=1))
        for client in ("", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
            verdicts = [limiter.admit(client, 0.0) for _ in range(5)]
            self.assertTrue(all(verdict.allowed for verdict in verdicts), client)
            self.assertEqual({verdict.key for verdict in verdicts}, {""})
            self.assertTrue(all(limiter.spend(client, 1, 0.0).allowed for _ in range(500)), client)
        self.assertEqual(repr(limiter), EMPTY)

    def test_peers_on_this_machine_can_be_counted(self) -> None:
        """Told so, loopback addresses count like any other, and all UNIX peers count as one."""
        for client in ("", "127.0.0.1", "::1", "::ffff:127.0.0.1"):
            self.assert_together(client, client, of(1, exempt_loopback=False))

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


class RateTests(SynchronousTestCase):
    """New connections, and messages."""

    def test_new_connections(self) -> None:
        """A burst may come at once, and then so many a second; a refusal says when to come back."""
        limiter = ResourceLimiter(Limits(connection_rate=2, connection_burst=3))
        allowed = [limiter.admit(ALICE, 0.0).allowed for _ in range(4)]
        self.assertEqual(allowed, [True, True, True, False])
        verdict = limiter.admit(ALICE, 0.1)
        self.assertEqual((verdict.limit, verdict.key), ("connection_rate", ALICE))
        self.assertEqual(verdict.reason, "192.0.2.1 has more than 2 new connections a second")
        self.assertAlmostEqual(verdict.retry_after, 0.4)
        self.assertTrue(limiter.admit(BOB, 0.1).allowed)
        self.assertTrue(limiter.admit(ALICE, 0.5).allowed)

    def test_who_has_too_many_spends_nothing(self) -> None:
        """A connection that is refused since too many are open is none of those that came."""
        limiter = ResourceLimiter(Limits(1, connection_rate=1, connection_burst=2))
        verdict = limiter.admit(ALICE, 0.0)
        self.assertEqual(limiter.admit(ALICE, 0.0).limit, "connections_per_ip")
        limiter.release(verdict)
        self.assertTrue(limiter.admit(ALICE, 0.0).allowed)

    def test_messages(self) -> None:
        """A hundred a second unless told otherwise, of each key for itself."""
        limiter = ResourceLimiter()
        for key in (ALICE, "2001:db8::/64", "user:alice"):
            self.assertEqual([limiter.spend(key, 1, 0.0).allowed for _ in range(101)], [True] * 100 + [False])
        verdict = limiter.spend("user:alice", 1, 0.005)
        self.assertEqual((verdict.limit, verdict.key), ("message_rate", "user:alice"))
        self.assertEqual(verdict.reason, "alice has more than 100 requests a second")
        self.assertAlmostEqual(verdict.retry_after, 0.005)
        self.assertTrue(limiter.spend("2001:db8::1", 1, 0.01).allowed)

    def test_more_than_a_burst(self) -> None:
        """For what is more than may ever come at once nobody is told to wait."""
        verdict = ResourceLimiter().spend(ALICE, 101, 0.0)
        self.assertEqual((verdict.allowed, verdict.retry_after), (False, 0.0))

    def test_no_rate(self) -> None:
        """Without a rate any amount is allowed."""
        limiter = ResourceLimiter(Limits(message_rate=0))
        self.assertTrue(limiter.spend(ALICE, 1e12, 0.0).allowed)
        self.assertTrue(all(limiter.admit(ALICE, 0.0).allowed for _ in range(100)))


class UserTests(SynchronousTestCase):
    """Logins of one user."""

    def test_logins(self) -> None:
        """A user may be logged in five times at once, from wherever, beside what addresses may have."""
        limiter = of(1)
        verdicts = [limiter.admit_user("alice", 0.0) for _ in range(6)]
        self.assertEqual([verdict.allowed for verdict in verdicts], [True] * 5 + [False])
        self.assertEqual(verdicts[5].limit, "connections_per_user")
        self.assertEqual(verdicts[5].reason, "alice has 5 connections open, of 5 that it may have")
        self.assertTrue(limiter.admit(ALICE, 0.0).allowed)
        self.assertIn("clients=1 connections=1 users=1 logins=5", repr(limiter))

    def test_a_user_who_is_called_like_an_address(self) -> None:
        """No user's name is mistaken for an address."""
        limiter = ResourceLimiter(Limits(1, connections_per_user=1))
        self.assertTrue(limiter.admit(ALICE, 0.0).allowed)
        self.assertTrue(limiter.admit_user(ALICE, 0.0).allowed)


class OverridesTests(SynchronousTestCase):
    """Other limits for some."""

    def test_for_a_network(self) -> None:
        """An override changes what it names; all else stays as configured."""
        overrides = parse_overrides("192.0.2.0/24 connections_per_ip=2")
        limiter = ResourceLimiter(Limits(1, connection_rate=1, connection_burst=3), overrides=overrides)
        self.assertEqual([limiter.admit(ALICE, 0.0).allowed for _ in range(3)], [True, True, False])
        self.assertEqual([limiter.admit("198.51.100.1", 0.0).allowed for _ in range(2)], [True, False])

    def test_for_a_user(self) -> None:
        """A user's logins and messages."""
        overrides = parse_overrides("user:root connections_per_user=0 message_rate=1 message_burst=1")
        limiter = ResourceLimiter(overrides=overrides)
        self.assertTrue(all(limiter.admit_user("root", 0.0).allowed for _ in range(50)))
        self.assertEqual([limiter.spend("user:root", 1, 0.0).allowed for _ in range(2)], [True, False])

    def test_for_this_machine(self) -> None:
        """Who is exempt is so until an override is for this machine alone."""
        for whom, client in (
            ("127.0.0.0/8", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("unix", ""),
        ):  # fmt: skip
            limiter = ResourceLimiter(overrides=parse_overrides(f"{whom} connections_per_ip=1"))
            self.assertEqual([limiter.admit(client, 0.0).allowed for _ in range(2)], [True, False], whom)
        everybody = parse_overrides("0.0.0.0/0 connections_per_ip=1\n::/0 connections_per_ip=1")
        limiter = ResourceLimiter(overrides=everybody)
        for client in ("127.0.0.1", "::1", ""):
            self.assertTrue(all(limiter.admit(client, 0.0).allowed for _ in range(2)), client)

    def test_anew(self) -> None:
        """New overrides hold for who comes from then on; what is open counts."""
        limiter = of(2)
        verdicts = [limiter.admit(ALICE, 0.0) for _ in range(2)]
        limiter.overrides = parse_overrides(f"{ALICE} connections_per_ip=3")
        self.assertEqual([limiter.admit(ALICE, 0.0).allowed for _ in range(2)], [True, False])
        limiter.overrides = NO_OVERRIDES
        self.assertEqual(limiter.overrides, NO_OVERRIDES)
        limiter.release(verdicts[0])
        self.assertFalse(limiter.admit(ALICE, 0.0).allowed)


class LimitsOfTests(SynchronousTestCase):
    """What a key may have."""

    def test_of_anybody(self) -> None:
        """As configured, as overridden, or without any limit for who is exempt and for who has no key."""
        limiter = ResourceLimiter(Limits(7), overrides=parse_overrides(f"{BOB} bandwidth_per_ip=5000"))
        self.assertEqual(limiter.limits_of(ALICE), Limits(7))
        self.assertEqual(limiter.limits_of(BOB), Limits(7, bandwidth_per_ip=Size(5000)))
        for key in ("", "127.0.0.1", "unix"):
            self.assertEqual(limiter.limits_of(key), UNLIMITED)

    def test_throttled_users(self) -> None:
        """Whether some user has a bandwidth changes with the overrides."""
        limiter = ResourceLimiter()
        self.assertFalse(limiter.throttles_users)
        limiter.overrides = parse_overrides("user:ann bandwidth_per_user=1MiB")
        self.assertTrue(limiter.throttles_users)


class DryRunTests(SynchronousTestCase):
    """Limits that are only tried."""

    def test_tried(self) -> None:
        """What a limit would have refused is allowed, is counted as open, and the verdict tells of it."""
        limiter = ResourceLimiter(Limits(1), dry_run=["connections_per_ip"])
        limiter.admit(ALICE, 0.0)
        verdict = limiter.admit(ALICE, 0.0)
        self.assertEqual((verdict.allowed, verdict.limit), (True, "connections_per_ip"))
        self.assertIn("has 1 connections open", verdict.reason)
        self.assertIn("connections=2", repr(limiter))
        limiter.release(verdict)
        self.assertIn("connections=1", repr(limiter))

    def test_others_still_refuse(self) -> None:
        """A limit that is tried stands before none that is in force."""
        limits = Limits(1, connection_rate=1, connection_burst=2, connections_per_user=1, message_burst=1)
        limiter = ResourceLimiter(limits, dry_run=["connections_per_ip", "message_rate"])
        verdicts = [limiter.admit(ALICE, 0.0) for _ in range(3)]
        self.assertEqual([verdict.allowed for verdict in verdicts], [True, True, False])
        self.assertEqual(verdicts[2].limit, "connection_rate")
        users = [limiter.admit_user("alice", 0.0) for _ in range(2)]
        self.assertEqual([verdict.allowed for verdict in users], [True, False])
        messages = [limiter.spend(ALICE, 1, 0.0) for _ in range(3)]
        self.assertEqual(
            [(verdict.allowed, verdict.limit) for verdict in messages[1:]], [(True, "message_rate")] * 2
        )

    def test_the_first_is_told(self) -> None:
        """Of two that would have refused, the first is told."""
        limits = Limits(1, connection_rate=1, connection_burst=1)
        limiter = ResourceLimiter(limits, dry_run=["connections_per_ip", "connection_rate"])
        limiter.admit(ALICE, 0.0)
        self.assertEqual(limiter.admit(ALICE, 0.0).limit, "connections_per_ip")

    def test_unknown(self) -> None:
        """What is no limit cannot be tried."""
        self.assertRaises(LocalError, ResourceLimiter, dry_run=["connection_burst"])


class TopTests(SynchronousTestCase):
    """Who uses most."""

    def test_each_limit(self) -> None:
        """Of each limit those are told who use most of it, with what each may have."""
        overrides = parse_overrides("192.0.2.2 connections_per_ip=9 message_rate=10 message_burst=20")
        limiter = ResourceLimiter(Limits(connection_rate=1, connection_burst=4), overrides=overrides)
        for client, number in ((ALICE, 1), (BOB, 3), ("2001:db8::1", 2)):
            for _ in range(number):
                limiter.admit(client, 0.0)
        limiter.admit_user("alice", 0.0)
        limiter.spend("user:alice", 50, 0.0)
        limiter.spend(BOB, 10, 0.0)
        self.assertEqual(
            limiter.top(2, 0.5),
            [
                Use("connections_per_ip", BOB, 3, 9),
                Use("connections_per_ip", "2001:db8::/64", 2, 100),
                Use("connections_per_user", "user:alice", 1, 5),
                Use("connection_rate", BOB, 2.5, 4),
                Use("connection_rate", "2001:db8::/64", 1.5, 4),
                Use("message_rate", BOB, 5, 20),
            ],
        )

    def test_exempt_since(self) -> None:
        """Who has become exempt with connections open is shown without a limit."""
        limiter = ResourceLimiter(overrides=parse_overrides("unix connections_per_ip=7"))
        limiter.admit("", 0.0)
        limiter.overrides = NO_OVERRIDES
        self.assertEqual(limiter.top(1, 0.0), [Use("connections_per_ip", "unix", 1, 0)])
