"""The file of overrides, whom a line is for, and which of several counts."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from unittest.mock import patch

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import NO_OVERRIDES, Limits, OverridesError, parse_overrides
from tcpsuite.core.limits.keys import key_of
from tcpsuite.core.limits.overrides import MOST_FAULTS, Networks, Override, Policies
from tcpsuite.options import Size


class ParseTests(SynchronousTestCase):
    """Lines of the file."""

    def fault(self, line: str) -> str:
        """What is said of a line that is at fault."""
        return str(self.assertRaises(OverridesError, parse_overrides, line)).removeprefix("line 1: ")

    def test_all_kinds(self) -> None:
        """Networks, addresses, UNIX peers and users; comments and empty lines say nothing."""
        text = """
            # offices
            10.0.0.0/8      connections_per_ip=1000  connection_rate=2.5 # all of them
            192.0.2.1       connection_burst=7
            2001:DB8::/32   message_rate=0
            ::1/128         message_burst=9
            unix            connections_per_ip=5  bandwidth_per_ip=1MiB  bandwidth_per_connection=5000
            user:ann        connections_per_user=50
        """
        self.assertEqual(
            parse_overrides(text).lines,
            (
                Override(ip_network("10.0.0.0/8"), {"connections_per_ip": 1000, "connection_rate": 2.5}),
                Override(ip_network("192.0.2.1/32"), {"connection_burst": 7}),
                Override(ip_network("2001:db8::/32"), {"message_rate": 0}),
                Override("::1", {"message_burst": 9}),
                Override(
                    "unix",
                    {
                        "connections_per_ip": 5,
                        "bandwidth_per_ip": 2**20,
                        "bandwidth_per_connection": 5000,
                    },
                ),
                Override("user:ann", {"connections_per_user": 50}),
            ),
        )

    def test_nothing(self) -> None:
        """An empty file has no overrides."""
        self.assertEqual((parse_overrides(""), len(NO_OVERRIDES)), (NO_OVERRIDES, 0))

    def test_whom(self) -> None:
        """A line for nobody that limits count is at fault."""
        self.assertIn("expected a network such as 10.0.0.0/8", self.fault("office connections_per_ip=1"))
        self.assertIn("expected a network", self.fault("10.0.0.1/8 connections_per_ip=1"))
        self.assertIn(
            "told apart by 64 bits, and 2001:db8::1", self.fault("2001:db8::1 connections_per_ip=1")
        )
        self.assertIn("no user can be called '~ann'", self.fault("user:~ann connections_per_user=1"))
        self.assertIn("expected a network", self.fault("user: connections_per_user=1"))

    def test_what(self) -> None:
        """So is one that says nothing, or what is no limit, or no value of it, or the same twice."""
        self.assertIn("says nothing of connections_per_ip, ", self.fault("10.0.0.0/8"))
        self.assertIn("expected one of connections_per_ip=…", self.fault("10.0.0.0/8 conections_per_ip=1"))
        self.assertIn("got 'connections_per_ip'", self.fault("10.0.0.0/8 connections_per_ip"))
        self.assertEqual(
            self.fault("10.0.0.0/8 connections_per_ip=1.5"),
            "connections_per_ip: expected a whole number, got '1.5'",
        )
        self.assertEqual(
            self.fault("10.0.0.0/8 message_rate=many"), "message_rate: expected a number, got 'many'"
        )
        self.assertEqual(
            self.fault("10.0.0.0/8 message_burst=0"),
            "message_burst: expected a value from 1 to 1000000, got 0",
        )
        self.assertIn("message_rate: expected a value", self.fault("10.0.0.0/8 message_rate=nan"))
        self.assertEqual(
            self.fault("10.0.0.0/8 bandwidth_per_ip=1KiB"),
            "bandwidth_per_ip: expected 0, or at least 4096 bytes, got 1024",
        )
        self.assertIn("a size such as", self.fault("10.0.0.0/8 bandwidth_per_ip=much"))
        for line, got in (
            ("user:ann connections_per_ip=1", "for a user expected one of connections_per_user=…"),
            ("user:ann bandwidth_per_connection=1MiB", "for a user expected one of connections_per_user=…"),
            ("10.0.0.0/8 connections_per_user=50", "for an address expected one of connections_per_ip=…"),
            ("unix bandwidth_per_user=1MiB", "for an address expected one of connections_per_ip=…"),
        ):
            self.assertIn(got, self.fault(line))
        self.assertIn("stands there twice", self.fault("10.0.0.0/8 message_rate=1 message_rate=1"))

    def test_all_faults(self) -> None:
        """All faults are told at once, each with its line; the second line for somebody is one."""
        text = "x\n10.0.0.0/8 message_rate=1\n\n10.0.0.0/8 message_rate=2\n2001:db8::/64 message_rate=-1\n"
        error = self.assertRaises(OverridesError, parse_overrides, text)
        self.assertEqual([line for line, _ in error.faults], [1, 4, 5])
        self.assertIn("\nline 4: 10.0.0.0/8 stands here for the second time\nline 5: ", str(error))

    def test_very_many_faults(self) -> None:
        """Of a file that is something else altogether some lines are told, and how many more there are."""
        error = self.assertRaises(OverridesError, parse_overrides, "x\n" * (MOST_FAULTS + 5))
        self.assertEqual(len(error.faults), MOST_FAULTS + 5)
        self.assertEqual(str(error).splitlines()[MOST_FAULTS:], ["and 5 more"])


V4 = st.builds(
    lambda number, length: ip_network((number, length), strict=False),
    st.sampled_from((0x0A000001, 0x0A00FF01, 0x0AFF0001, 0x7F000001, 0xC0000201, 0xFFFFFFFF, 0)),
    st.integers(0, 32),
)
V6 = st.builds(
    lambda number, length: ip_network((number, length), strict=False),
    st.sampled_from((0x20010DB8 << 96, 0x20010DB8 << 96 | 1 << 64, 0xFE80 << 112)),
    st.integers(0, 64),
)


class NetworksTests(SynchronousTestCase):
    """The longest network that holds an address."""

    def test_the_longest_counts(self) -> None:
        """In whatever order they were put there."""
        networks: Networks[str] = Networks()
        for network in ("10.1.0.0/16", "0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32", "2001:db8::/32"):
            networks.put(ip_network(network), network)
        for key, found in (
            ("10.1.2.3", "10.1.2.3/32"), ("10.1.2.4", "10.1.0.0/16"), ("10.2.0.0", "10.0.0.0/8"),
            ("11.0.0.0", "0.0.0.0/0"), ("2001:db8:1::/64", "2001:db8::/32"), ("2001:db9::/64", None),
            ("a name", None), ("10.a name", None), ("x::y", None),
        ):  # fmt: skip
            self.assertEqual(networks.find(key), found, key)

    @given(st.lists(V4 | V6, max_size=8, unique=True), st.data())
    def test_as_the_definition_has_it(self, networks: list[object], data: st.DataObject) -> None:
        """Always what a search through all of them finds."""
        known: Networks[object] = Networks()
        for network in networks:
            known.put(network, network)  # type: ignore[arg-type]
        number = data.draw(st.sampled_from((0x0A000001, 0x0A00FF02, 0x7F000001, 0xC0000201, 0xFFFFFFFF, 1)))
        for address in (IPv4Address(number), IPv6Address(0x20010DB8 << 96 | number << 64 | 5)):
            holding = [each for each in networks if address in each]  # type: ignore[operator]
            longest = max(holding, key=lambda each: each.prefixlen, default=None)  # type: ignore[attr-defined]
            self.assertEqual(known.find(key_of(str(address))), longest)


class KeyTests(SynchronousTestCase):
    """Keys of addresses."""

    @given(st.ip_addresses(v=6))
    def test_as_the_library_writes_it(self, address: IPv6Address) -> None:
        """The key of an IPv6 address is its network of 64 bits, as Python's own library writes it."""
        if address.ipv4_mapped is None and not address.is_loopback:
            network = ip_network((int(address), 64), strict=False)
            self.assertEqual(key_of(str(address)), str(network))
            self.assertEqual(key_of(address.exploded), str(network))

    def test_others(self) -> None:
        """An address that ends in an IPv4 one counts by its network too; a key stays what it is."""
        self.assertEqual(key_of("64:ff9b::192.0.2.1"), "64:ff9b::/64")
        self.assertEqual(key_of("::"), "::/64")
        for key in ("unix", "192.0.2.1", "2001:db8::/64", "::1", "user:ann", "1:2:3", "g::1"):
            self.assertEqual(key_of(key), key)
        for same in ("::ffff:192.0.2.1", "::ffff:c000:201", "0:0:0:0:0:ffff:c000:201"):
            self.assertEqual(key_of(same), "192.0.2.1")
        self.assertEqual(key_of("0:0:0:0:0:0:0:1"), "::1")
        self.assertEqual(key_of(ip_address("::1:0:0:1").compressed), "::/64")


class PoliciesTests(SynchronousTestCase):
    """Whose limits are which."""

    def test_what_is_not_said_is_as_configured(self) -> None:
        """An override has what it says; of a shorter network that holds it, it has nothing."""
        overrides = parse_overrides("10.0.0.0/8 connection_rate=5\n10.0.0.0/16 connections_per_ip=7")
        policies = Policies(Limits(3), overrides, exempt_loopback=True)
        self.assertEqual(policies.find("10.0.0.1"), Limits(7))
        self.assertEqual(policies.find("10.1.0.1"), Limits(3, connection_rate=5))
        self.assertEqual(policies.find("11.0.0.1"), Limits(3))
        self.assertEqual(policies.find("user:ann"), Limits(3))
        self.assertIs(policies.find("10.0.0.1"), policies.find("10.0.255.1"))

    def test_costs_nothing_until_somebody_comes(self) -> None:
        """However long a file is, a listener goes by it at once: its lines become limits as they are used."""
        overrides = parse_overrides("\n".join(f"10.0.{number}.0/24 message_rate=5" for number in range(200)))
        with patch("tcpsuite.core.limits.overrides.evolve", wraps=evolve) as made:
            policies = Policies(Limits(), overrides, exempt_loopback=True)
            self.assertEqual(made.call_count, 0)
            for _ in range(3):
                self.assertEqual(policies.find("10.0.7.1"), Limits(message_rate=5))
            self.assertEqual(made.call_count, 1)

    def test_throttled_users(self) -> None:
        """Whether a user has a bandwidth, by the file or as configured, is known beforehand."""
        for text, limits, throttled in (
            ("user:ann bandwidth_per_user=1MiB", Limits(), True),
            ("user:ann bandwidth_per_user=0", Limits(), False),
            ("", Limits(bandwidth_per_user=Size(5000)), True),
        ):
            self.assertIs(Policies(limits, parse_overrides(text), True).throttle_users, throttled)
