"""The page that tells who uses most of the limits."""

from __future__ import annotations

from tests.admin.asking import Asking
from tests.admin.support import FakeSharedLimits, shared_limiter


class LimitsPageTests(Asking):
    """Of a gateway with clients, and an echo that nobody came to."""

    def test_all(self) -> None:
        """Each listener's limits, what they refused, and who uses most of them."""
        got = self.get("/api/v1/limits")
        self.assertEqual(got.code, 200)
        db = got.json["listeners"]["db"]
        self.assertEqual(db["limits"]["connections_per_ip"], 100)
        self.assertEqual(db["overrides"], 1)
        self.assertEqual(
            (db["refused"], db["refused_requests"], db["would_refuse"]),
            ({"connections_per_ip": 1}, {"message_rate": 1}, {"connection_rate": 1}),
        )
        self.assertEqual(
            [tuple(use.values()) for use in db["top"]],
            [
                ("connections_per_ip", "192.0.2.7", 2, 100),
                ("connections_per_ip", "192.0.2.8", 1, 0),
                ("connections_per_user", "user:ann", 1, 5),
                ("message_rate", "user:ann", 25.0, 100),
            ],
        )
        self.assertEqual(got.json["listeners"]["echo"]["top"], [])

    def test_shared(self) -> None:
        """What is shared tells how this process stands with the others, and what is reserved for it."""
        listeners = self.get("/api/v1/limits").json["listeners"]
        self.assertEqual(listeners["echo"]["shared"], {})
        self.suite.shared_limits = FakeSharedLimits()
        self.suite.limiters["db"] = shared_limiter()
        listeners = self.get("/api/v1/limits").json["listeners"]
        self.assertEqual(
            listeners["db"]["shared"],
            {"alone_for": 12.5, "others": 2, "questions": 70, "reserved": {"connections_per_ip": 9}},
        )
        self.assertEqual(listeners["echo"]["shared"], {})

    def test_fewer(self) -> None:
        """So many of each limit as are asked for."""
        db = self.get("/api/v1/limits?number=1").json["listeners"]["db"]
        self.assertEqual([use["key"] for use in db["top"]], ["192.0.2.7", "user:ann", "user:ann"])

    def test_how_many(self) -> None:
        """What is no number, or too large a one, is refused with what it may be."""
        for number in ("0", "1001", "x", "-1", "1e2", "%C2%B2", "9" * 500):
            got = self.get(f"/api/v1/limits?number={number}")
            self.assertEqual(got.code, 400, number)
            self.assertIn("number: expected a number from 1 to 1000", got.json["error"])
