"""The page that tells how servers were of late."""

from __future__ import annotations

from tests.admin.asking import Asking


class HealthPageTests(Asking):
    """/api/v1/health/NAME."""

    def test_an_upstream(self) -> None:
        """What is known of each server, by its name."""
        got = self.get("/api/v1/health/cache")
        self.assertEqual(got.code, 200)
        kept = {"up": True, "checks": {"count": 100, "healthy": 0.97}}
        self.assertEqual(got.json, {"upstream": "cache", "servers": {"a": kept, "b": kept}})

    def test_no_upstream(self) -> None:
        """Of an upstream that there is not, it is said which there are."""
        got = self.get("/api/v1/health/cash")
        self.assertEqual((got.code, got.json["upstreams"]), (404, ["cache"]))
