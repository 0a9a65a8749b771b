"""Limits behind the door: requests, logins, and what would have been refused."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import Connection, Ledger
from tcpsuite.core.limits import Limits, ResourceLimiter
from tcpsuite.net.limiting import LOG_INTERVAL, ServiceLimits


class ServiceLimitsTests(SynchronousTestCase):
    """Two requests a second, and one login of each user."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.ledger = Ledger()
        self.logged: list[Any] = []
        note: Any = self.logged.append
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        self.limits = self.make()

    def make(self, *dry_run: str) -> ServiceLimits:
        limits = Limits(connections_per_user=1, message_rate=2, message_burst=2)
        self.limiter = ResourceLimiter(limits, dry_run=dry_run)
        return ServiceLimits("front", self.limiter, self.ledger, self.clock)

    def connection(self, host: str = "192.0.2.1", user: str = "") -> Connection:
        key = self.limiter.admit(host, 0.0).key
        return Connection("1", "", host, "front", "test", 0.0, 0.0, limited_as=key, user=user)

    def allowed(self, connection: Connection, number: int = 3) -> list[bool]:
        return [self.limits.request(connection).allowed for _ in range(number)]

    def test_requests_of_an_address(self) -> None:
        """All connections of an address share its requests; time gives new ones."""
        self.assertEqual(self.allowed(self.connection()), [True, True, False])
        self.assertEqual(self.allowed(self.connection(), 1), [False])
        self.clock.advance(0.5)
        self.assertEqual(self.allowed(self.connection(), 2), [True, False])
        self.assertEqual(self.ledger.totals("front").refused_requests, {"message_rate": 3})

    def test_requests_of_a_user(self) -> None:
        """Who is logged in counts for himself, wherever he is."""
        self.assertEqual(self.allowed(self.connection(user="ann")), [True, True, False])
        self.assertEqual(self.allowed(self.connection("192.0.2.2", "ann"), 1), [False])
        self.assertEqual(self.allowed(self.connection(), 1), [True])

    def test_on_this_machine(self) -> None:
        """Where addresses have no limits a user may ask as much as he likes."""
        for user in ("", "ann"):
            self.assertTrue(all(self.allowed(self.connection("127.0.0.1", user), 20)))

    def test_logins(self) -> None:
        """A login that is refused is counted; one that has ended makes room."""
        first = self.limits.login(self.connection(), "ann")
        refused = self.limits.login(self.connection(), "ann")
        self.assertEqual((first.allowed, refused.allowed), (True, False))
        self.assertEqual(self.ledger.totals("front").refused_requests, {"connections_per_user": 1})
        self.limits.logout(refused)
        self.limits.logout(first)
        self.limits.logout(first)
        self.assertEqual(
            [self.limits.login(self.connection(), "ann").allowed for _ in range(2)], [True, False]
        )

    def test_dry_run(self) -> None:
        """What is only tried is allowed and counted; the log tells of it, and of many in one line."""
        self.limits = self.make("connections_per_user", "message_rate")
        self.assertTrue(all(self.limits.login(self.connection(), "ann").allowed for _ in range(2)))
        self.assertTrue(all(self.allowed(self.connection(), 5)))
        totals = self.ledger.totals("front")
        self.assertEqual(totals.would_refuse, {"connections_per_user": 1, "message_rate": 3})
        self.assertEqual(totals.refused_requests, {})
        self.assertIn("unlogged=3", repr(self.limits._dry_run))
        self.clock.advance(LOG_INTERVAL)
        self.allowed(self.connection(), 3)
        lines = [each["log_format"].format(**each) for each in self.logged]
        self.assertEqual(len(lines), 2)
        self.assertEqual(
            lines[0],
            "listener front: connections_per_user, in dry_run, would have refused: "
            "ann has 1 connections open, of 1 that it may have",
        )
        self.assertEqual(
            lines[1],
            "listener front: message_rate, in dry_run, would have refused: "
            "192.0.2.1 has more than 2 requests a second; and 3 others since the last such line",
        )
