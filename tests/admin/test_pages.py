"""The pages of the admin listener, as a client sees them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from tcpsuite.errors import StoreFailed
from tests.admin.asking import Asking, Got
from tests.admin.support import FakeSessions, FakeUpstream, connection


class PagesTests(Asking):
    def test_healthz(self) -> None:
        """/healthz says ok while the process runs, whatever else is the matter."""
        self.suite.draining = True
        got = self.get("/healthz")
        self.assertEqual((got.code, got.body), (200, b"ok\n"))

    def test_ready(self) -> None:
        """/readyz is 200 when everything is open and each upstream has a server up."""
        got = self.get("/readyz")
        self.assertEqual((got.code, got.json), (200, {"ready": True, "reasons": []}))

    def test_not_ready(self) -> None:
        """/readyz is 503, with the reasons, before the start is complete, while draining, while accepting
        rests, and while no server of an upstream takes connections, for which the upstream has the words.
        """
        self.suite.upstreams["cache"] = FakeUpstream(up=False)
        self.assertEqual(self.get("/readyz").json["reasons"], [FakeUpstream().nobody])
        self.suite.overload.reasons = ("overloaded: lag: the loop is 120 ms late",)
        self.assertEqual(
            self.get("/readyz").json["reasons"], [*self.suite.overload.reasons, FakeUpstream().nobody]
        )
        self.suite.started_at = None
        self.assertEqual(self.get("/readyz").json["reasons"], ["starting"])
        self.suite.draining = True
        got = self.get("/readyz")
        self.assertEqual((got.code, got.json), (503, {"ready": False, "reasons": ["draining"]}))

    def test_not_ready_for_sessions(self) -> None:
        """/readyz is 503 while the session store fails, and asks it each time then; else it does not."""
        self.suite.sessions = sessions = FakeSessions(fault="database is locked", questions=2)
        got = self.get("/readyz")
        self.assertEqual((got.code, got.json["reasons"]), (503, ["sessions: database is locked"]))
        self.assertEqual([self.get("/readyz").code for _ in range(3)], [200, 200, 200])
        self.assertEqual(sessions.questions, 0)

    def test_slow_store_is_not_ready(self) -> None:
        """/readyz waits two seconds for a store that has failed."""
        self.suite.sessions = FakeSessions(Deferred(), "no answer")
        self.send("/readyz")
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(2)
        self.assertEqual(Got.parse(self.transport.value()).json["reasons"], ["sessions: no answer"])

    def test_status(self) -> None:
        """The status tells listeners, connections, upstreams and sessions."""
        got = self.get("/api/v1/status")
        self.assertEqual((got.code, got.headers["content-type"]), (200, "application/json"))
        status = got.json
        self.assertEqual((status["uptime"], status["ready"]), (10.0, True))
        db = status["listeners"][0]
        self.assertEqual(db["limits"]["connections_per_ip"], 100)
        self.assertEqual(db["addresses"], ["127.0.0.1:7000"])
        self.assertEqual(
            db["totals"],
            {
                "accepted": 2, "open": 1, "refused": {"connections_per_ip": 1}, "ended": {"server_closed": 1},
                "bytes_in": 15, "bytes_out": 150, "seconds": 2.5, "refused_requests": {"message_rate": 1},
                "would_refuse": {"connection_rate": 1},
            },
        )  # fmt: skip
        self.assertEqual(
            status["connections"],
            {
                "open": 1,
                "oldest": [{
                    "id": "ab-2", "peer": "192.0.2.7:2", "listener": "db", "service": "gateway",
                    "upstream": "cache", "server": "a", "user": "ann", "seconds": 9.0,
                    "bytes_in": 10, "bytes_out": 100,
                }],
            },
        )  # fmt: skip
        self.assertEqual(status["upstreams"]["cache"]["servers"][0]["pool"]["warm"], 2)
        self.assertEqual(
            status["upstreams"]["cache"]["changes"],
            [{"server": "b", "what": "weight", "configured": 5, "now": 1}],
        )
        sessions = status["sessions"]
        self.assertEqual((sessions["count"], sessions["users"], sessions["longest_age"]), (3, 2, 3600.123))
        self.assertNotIn("top", sessions)
        self.assertEqual(status["overload"], self.suite.overload.status())

    def test_many_connections(self) -> None:
        """Of many connections the oldest hundred are listed, and all are counted."""
        for number in range(3, 200):
            self.suite.ledger.open(connection(number))
        connections = self.get("/api/v1/status").json["connections"]
        self.assertEqual((connections["open"], len(connections["oldest"])), (198, 100))
        self.assertEqual(connections["oldest"][0]["id"], "ab-2")

    def test_without_sessions(self) -> None:
        """Where nothing serves sessions there is nothing to say of them."""
        self.suite.sessions = None
        self.assertEqual(self.get("/api/v1/status").json["sessions"], {})

    def test_store_fails(self) -> None:
        """A store that fails is said so, and the rest is shown, and what is known of sessions without it."""
        self.suite.sessions = FakeSessions(fail(StoreFailed("disk I/O error")))
        told = self.get("/api/v1/status").json["sessions"]
        self.assertEqual(told, {"error": "disk I/O error", **self.suite.sessions.figures()})

    def test_slow_store(self) -> None:
        """A store is waited for two seconds."""
        self.suite.sessions = FakeSessions(Deferred())
        self.send("/metrics")
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(2)
        self.assertIn(b"tcpsuite_session_store_up 0", Got.parse(self.transport.value()).body)

    def test_client_goes_away(self) -> None:
        """When the client goes away while the store is waited for, the question is dropped."""
        asked: list[Any] = []
        self.suite.sessions = FakeSessions(Deferred(asked.append))
        self.send("/api/v1/status")
        self.lose()
        self.assertEqual(len(asked), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_head(self) -> None:
        """HEAD gives the headers of GET, and no body."""
        for path in ("/", "/healthz", "/readyz", "/api/v1/status"):
            got, head = self.get(path), self.get(path, "HEAD")
            self.assertEqual((head.code, head.body), (200, b""))
            self.assertEqual(head.headers["content-length"], got.headers["content-length"])

    def test_index(self) -> None:
        """The first page names the others."""
        got = self.get("/")
        self.assertEqual(got.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn(b'href="/api/v1/status"', got.body)
        self.assertIn(b"<li>/api/v1/explain/ID ", got.body)

    def test_method(self) -> None:
        """Other methods are answered 405, with those that are allowed."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"):
            got = self.get("/healthz", method)
            self.assertEqual((got.code, got.headers["allow"]), (405, "GET, HEAD"), method)

    def test_unknown_page(self) -> None:
        """A page that is none is answered 404 in JSON, which names those there are."""
        for path in (
            "/nothing", "/healthz/", "//healthz", "/api", "/healthz%00", "/%2e%2e/healthz",
            "/api/v1/explain/", "/api/v1/explain", "/api/v1/explain/a/b", "/api/v1/server/a",
            "/api/v1/server//a",
        ):  # fmt: skip
            got = self.get(path)
            self.assertEqual((got.code, got.json["pages"][1]), (404, "/healthz"), path)
        self.assertEqual(self.get("/healthz?x=y").code, 200)

    def test_headers(self) -> None:
        """Every answer forbids sniffing and storing, and opens itself to no other site."""
        for path in ("/", "/healthz", "/api/v1/status", "/nothing"):
            headers = self.get(path).headers
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertEqual(headers["server"], "tcpsuite")
            self.assertNotIn("access-control-allow-origin", headers)

    def test_foreign_host(self) -> None:
        """A Host that is not ours is refused on every page, and a foreign Origin too."""
        for path in ("/", "/healthz", "/api/v1/status", "/nothing"):
            self.assertEqual(self.get(path, Host="example.com").code, 403)
            self.assertEqual(self.get(path, Origin="http://example.com").code, 403)

    def test_token(self) -> None:
        """A token guards all but the two pages of probes, and is in no answer."""
        self.serve("s3cret")
        for path in ("/", "/metrics", "/api/v1/status", "/nothing"):
            got = self.get(path)
            self.assertEqual((got.code, got.headers["www-authenticate"]), (401, 'Bearer realm="tcpsuite"'))
            self.assertEqual(self.get(path, Authorization="Bearer wrong").code, 401)
            got = self.get(path, Authorization="Bearer s3cret")
            self.assertEqual(got.code, 404 if path == "/nothing" else 200)
            self.assertNotIn(b"s3cret", got.body)
        self.assertEqual(self.get("/healthz").code, 200)
        self.assertEqual(self.get("/readyz").code, 200)

    def test_ready_without_token(self) -> None:
        """Who does not show the token learns whether it is ready, and not why."""
        self.serve("s3cret")
        self.suite.upstreams["cache"] = FakeUpstream(up=False)
        for shown in ({}, {"Authorization": "Bearer wrong"}):
            got = self.get("/readyz", **shown)
            self.assertEqual((got.code, got.json), (503, {"ready": False}))
        got = self.get("/readyz", Authorization="Bearer s3cret")
        self.assertEqual(got.json["reasons"], [FakeUpstream().nobody])

    def test_any_bytes(self) -> None:
        """Headers that are not UTF-8 are refused like any others that are wrong."""
        get, host = b"GET /metrics HTTP/1.1", b"Host: localhost"
        self.assertEqual(self.send_raw(get, b"Host: \xff\xfe"), 403)
        self.assertEqual(self.send_raw(get, host, b"Origin: http://\xff"), 403)
        self.assertEqual(self.send_raw(get, host, b"Authorization: Bearer \xff"), 401)
        self.assertEqual(self.send_raw(get, host, b"Authorization: Bearer s3cret"), 200)

    def test_no_page(self) -> None:
        """What names no page, or no Host in HTTP/1.1, is refused before anything answers it."""
        host = b"Host: localhost"
        self.assertEqual(self.send_raw(b"OPTIONS * HTTP/1.1", host), 400)
        self.assertEqual(self.send_raw(b"GET * HTTP/1.1", host), 400)
        self.assertEqual(self.send_raw(b"GET http://example.com/healthz HTTP/1.1", host), 400)
        self.assertEqual(self.send_raw(b"GET /healthz HTTP/1.1"), 400)
        self.assertEqual(self.send_raw(b"GET /healthz HTTP/1.0"), 200)
        self.assertEqual(self.send_raw(b"GET /healthz HTTP/1.0", b"Host: example.com"), 403)

    def test_page_fails(self) -> None:
        """A page that fails by our own fault is answered 500, and the log has the traceback."""
        del self.suite.config.listeners["db"]
        got = self.get("/api/v1/status")
        self.assertEqual(got.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
