"""Who has failed to log in too often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.lockout import Lockout


class LockoutTests(SynchronousTestCase):
    """Failures by address."""

    def setUp(self) -> None:
        """Three failures in thirty seconds."""
        self.lockout = Lockout(failures=3, window=30.0, capacity=4)

    def attempts(self, host: str, number: int, now: float = 0.0) -> list[float]:
        """So many attempts at once, none of which succeeds."""
        return [self.lockout.attempt(host, now) for _ in range(number)]

    def test_refused_past_the_limit(self) -> None:
        """The last failure that is allowed is tried; the next is told when to come back."""
        self.assertEqual(self.attempts("192.0.2.1", 4), [0.0, 0.0, 0.0, 10.0])

    def test_refusals_do_not_count(self) -> None:
        """Who goes on while refused is not kept out for longer."""
        self.attempts("192.0.2.1", 50)
        self.assertAlmostEqual(self.lockout.attempt("192.0.2.1", 4.0), 6.0)
        self.assertEqual(self.lockout.attempt("192.0.2.1", 10.0), 0.0)
        self.assertAlmostEqual(self.lockout.attempt("192.0.2.1", 10.0), 10.0)

    def test_forgotten(self) -> None:
        """After the window all of it is forgiven, and no more than that."""
        self.attempts("192.0.2.1", 3)
        self.assertEqual(self.attempts("192.0.2.1", 4, now=1000.0), [0.0, 0.0, 0.0, 10.0])

    def test_taken_back(self) -> None:
        """A success takes back its own attempt and no failure of others."""
        self.attempts("192.0.2.1", 2)
        for _ in range(10):
            self.assertEqual(self.lockout.attempt("192.0.2.1", 0.0), 0.0)
            self.lockout.take_back("192.0.2.1", 0.0)
        self.assertEqual(self.attempts("192.0.2.1", 2), [0.0, 10.0])

    def test_nothing_is_kept_of_success(self) -> None:
        """Who never fails is not remembered."""
        self.lockout.attempt("192.0.2.1", 0.0)
        self.assertEqual(repr(self.lockout), "<Lockout 1 addresses>")
        self.lockout.take_back("192.0.2.1", 0.0)
        self.assertEqual(len(self.lockout), 0)

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

    def test_mapped_ipv4(self) -> None:
        """An IPv4 address counts as itself when it comes by an IPv6 socket."""
        self.attempts("::ffff:192.0.2.1", 3)
        self.assertEqual(self.attempts("192.0.2.1", 1), [10.0])
        self.assertEqual(self.attempts("::ffff:192.0.2.2", 1), [0.0])

    def test_bounded(self) -> None:
        """Past the capacity the address that was seen longest ago is forgotten, and only that."""
        for number in range(4):
            self.attempts(f"192.0.2.{number}", 3)
        self.attempts("192.0.2.0", 1, now=10.0)  # seen again
        self.attempts("198.51.100.1", 1, now=10.0)
        self.assertEqual(len(self.lockout), 4)
        self.assertEqual(self.attempts("192.0.2.0", 1, now=10.0), [10.0])
        self.assertEqual(self.attempts("192.0.2.1", 3, now=10.0), [0.0, 0.0, 0.0])

    @given(st.lists(st.floats(0.0, 20.0), max_size=60))
    def test_never_more_than_the_rate(self, gaps: list[float]) -> None:
        """Over any time, no more are let in than the limit and what has leaked meanwhile."""
        lockout, now, let_in = Lockout(failures=3, window=30.0), 0.0, 0
        for gap in gaps:
            now += gap
            let_in += lockout.attempt("192.0.2.1", now) == 0.0
        self.assertLessEqual(let_in, 3 + now * 3 / 30.0 + 1e-6)
