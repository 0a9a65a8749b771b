"""Who has failed to log in too often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.lockout import Lockout, network


class LockoutTests(SynchronousTestCase):
    """Failures by address."""

    def setUp(self) -> None:
        """Three failures in thirty seconds."""
        self.lockout = Lockout(failures=3, window=30.0, capacity=4)

    def attempts(self, host: str, number: int, now: float = 0.0) -> list[float]:
        """Try so often, one after the other, and fail; the seconds that each has to wait instead."""
        return [self.attempt(host, now) for _ in range(number)]

    def attempt(self, host: str, now: float) -> float:
        """Try once, and fail; the seconds to wait instead."""
        wait = self.lockout.wait(host, now)
        self.assertEqual(self.lockout.begin(host, now), wait == 0.0)
        if not wait:
            self.lockout.end(host, now, failed=True)
        return wait

    def begun(self, host: str, number: int, now: float = 0.0) -> int:
        """How many of so many at once may try."""
        return sum(self.lockout.begin(host, now) for _ in range(number))

    def test_refused_past_the_limit(self) -> None:
        """The last failure that is allowed is tried; the next is told when to come back."""
        self.assertEqual(self.attempts("192.0.2.1", 4), [0.0, 0.0, 0.0, 10.0])

    def test_refusals_do_not_count(self) -> None:
        """Who goes on while refused is not kept out for longer."""
        self.attempts("192.0.2.1", 50)
        self.assertAlmostEqual(self.attempt("192.0.2.1", 4.0), 6.0)
        self.assertEqual(self.attempt("192.0.2.1", 10.0), 0.0)
        self.assertAlmostEqual(self.attempt("192.0.2.1", 10.0), 10.0)

    def test_forgotten(self) -> None:
        """After the window all of it is forgiven, and no more than that."""
        self.attempts("192.0.2.1", 3)
        self.assertEqual(self.attempts("192.0.2.1", 4, now=1000.0), [0.0, 0.0, 0.0, 10.0])

    def test_under_way(self) -> None:
        """So many are under way at once as may all fail, and nobody is locked out for what has not failed."""
        self.attempts("192.0.2.1", 1)
        self.assertEqual(self.begun("192.0.2.1", 50), 2)
        self.assertEqual(self.lockout.wait("192.0.2.1", 0.0), 0.0)
        self.assertEqual(self.begun("192.0.2.2", 50), 3)

    def test_success_makes_room(self) -> None:
        """One that was right makes room for one more, as often as it is so; one that was wrong does not."""
        self.begun("192.0.2.1", 3)
        for _ in range(10):
            self.lockout.end("192.0.2.1", 0.0, failed=False)
            self.assertEqual(self.begun("192.0.2.1", 2), 1)
        self.lockout.end("192.0.2.1", 0.0, failed=True)
        self.assertEqual(self.begun("192.0.2.1", 1), 0)
        self.assertEqual(self.begun("192.0.2.1", 2, now=10.0), 1)

    def test_nothing_is_kept_of_success(self) -> None:
        """Who never fails is not remembered."""
        self.lockout.begin("192.0.2.1", 0.0)
        self.assertEqual(repr(self.lockout), "<Lockout 0 failed, 1 under way>")
        self.lockout.end("192.0.2.1", 0.0, failed=False)
        self.assertEqual(repr(self.lockout), "<Lockout 0 failed, 0 under way>")
        self.assertEqual(self.lockout._under_way, {})

    def test_addresses_apart(self) -> None:
        """One address does not pay for another; the peers of UNIX sockets are one."""
        self.attempts("192.0.2.1", 3)
        for host in ("192.0.2.2", ""):
            self.assertEqual(self.attempts(host, 4), [0.0, 0.0, 0.0, 10.0])

    def test_ipv6_network(self) -> None:
        """All addresses of one /64 count together, and another /64 does not."""
        self.attempts("2001:db8::1", 3)
        self.assertEqual(self.attempts("2001:db8::ffff:1", 1), [10.0])
        self.assertEqual(self.attempts("2001:db8:0:1::1", 1), [0.0])
        self.attempts("fe80::1%eth0", 3)
        self.assertEqual(self.attempts("fe80::2%eth1", 1), [10.0])

    def test_mapped_ipv4(self) -> None:
        """An IPv4 address counts as itself when it comes by an IPv6 socket."""
        self.attempts("::ffff:192.0.2.1", 3)
        self.assertEqual(self.attempts("192.0.2.1", 1), [10.0])
        self.assertEqual(self.attempts("::ffff:192.0.2.2", 1), [0.0])

    def test_network_of_a_network(self) -> None:
        """What an address is counted as is counted as itself."""
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0", "", "localhost"):
            self.assertEqual(network(network(host)), network(host))

    def test_bounded(self) -> None:
        """Past the capacity the address that was seen longest ago is forgotten, and only that."""
        for number in range(4):
            self.attempts(f"192.0.2.{number}", 3)
        self.attempts("192.0.2.0", 1, now=10.0)  # seen again
        self.attempts("198.51.100.1", 1, now=10.0)
        self.assertEqual(len(self.lockout), 4)
        self.assertEqual(self.attempts("192.0.2.0", 1, now=10.0), [10.0])
        self.assertEqual(self.attempts("192.0.2.1", 3, now=10.0), [0.0, 0.0, 0.0])

    @given(st.lists(st.tuples(st.floats(0.0, 20.0), st.booleans()), max_size=60))
    def test_never_more_than_the_rate(self, steps: list[tuple[float, bool]]) -> None:
        """Over any time no more wrong ones are tried, however many at once, than the limit and what has
        leaked meanwhile; and whoever need not wait may try as soon as nothing is under way.
        """
        lockout, now, tried, under_way = Lockout(failures=3, window=30.0), 0.0, 0, 0
        for gap, ends in steps:
            now += gap
            if ends and under_way:
                lockout.end("192.0.2.1", now, failed=True)
                under_way -= 1
            elif lockout.begin("192.0.2.1", now):
                tried += 1
                under_way += 1
            else:
                self.assertTrue(under_way or lockout.wait("192.0.2.1", now))
        self.assertLessEqual(tried, 3 + now * 3 / 30.0 + 1e-6)
