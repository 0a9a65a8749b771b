"""The page that tells how sessions are used."""

from __future__ import annotations

from twisted.internet.defer import fail

from tcpsuite.errors import StoreFailed
from tests.admin.asking import Asking
from tests.admin.support import FakeSessions


class SessionsPageTests(Asking):
    """Of three sessions of two users."""

    def test_all(self) -> None:
        """What is stored, what is in use, what there was since the start, and who has most."""
        got = self.get("/api/v1/sessions")
        self.assertEqual(got.code, 200)
        self.assertEqual(
            got.json,
            {
                "count": 3, "users": 2, "top": {"ann": 2, "ben": 1}, "requests": 40,
                "longest_age": 3600.123, "longest_idle": 59.9,
                "in_use": 1, "connected": 0, "uses": 70, "opened": 9, "resumed": 8, "left": 7,
                "destroyed": 4, "expired": 2, "refused": {"full": 1, "no-session": 2},
                "attachments": {
                    "attached": 5, "finished": 3, "detached": 4, "made": 20, "failed": 1, "resumed": 11,
                    "taken_over": 2, "lost": 3, "left": 15, "given_up": 6,
                },
            },
        )  # fmt: skip

    def test_fewer(self) -> None:
        """So many users as are asked for; what is no number is refused."""
        self.assertEqual(self.get("/api/v1/sessions?number=1").json["top"], {"ann": 2})
        self.assertEqual(self.get("/api/v1/sessions?number=all").code, 400)

    def test_store_fails(self) -> None:
        """While the store fails it is said so, and what is known without it is told."""
        self.suite.sessions = FakeSessions(fail(StoreFailed("redis db: no answer within 2 s")))
        got = self.get("/api/v1/sessions")
        self.assertEqual(got.code, 503)
        self.assertEqual((got.json["error"], got.json["in_use"]), ("redis db: no answer within 2 s", 1))

    def test_takes_no_changes(self) -> None:
        """A store that answers, but is full, tells all, and that it fails; the metric says so too."""
        sessions = self.suite.sessions = FakeSessions(fault="redis: OOM")
        got = self.get("/api/v1/sessions")
        self.assertEqual((got.code, got.json["error"], got.json["count"]), (200, "redis: OOM", 3))
        self.assertIn("tcpsuite_session_store_up 0", self.get("/metrics").body.decode())
        sessions.fault = ""
        self.assertIn("tcpsuite_session_store_up 1", self.get("/metrics").body.decode())

    def test_none(self) -> None:
        """Where nothing serves sessions there is no such page."""
        self.suite.sessions = None
        got = self.get("/api/v1/sessions")
        self.assertEqual((got.code, got.json["error"]), (404, "no listener serves sessions"))
