"""The pages of the admin listener, as a client sees them."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.control import Control
from tcpsuite.admin.guard import Guard
from tcpsuite.admin.http import MAX_BODY, AdminRequest
from tcpsuite.admin.pages import Pages
from tcpsuite.admin.process import LagWatch
from tcpsuite.admin.views import Views
from tcpsuite.core.servers import Administration
from tcpsuite.errors import StoreFailed
from tcpsuite.net.http import BoundedSite
from tests.admin.support import FakeSessions, FakeUpstream, busy_suite, connection


@frozen
class Got:
    """An answer, taken apart."""

    code: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, data: bytes) -> Got:
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return cls(int(status.split()[1]), {name.lower(): value for name, value in pairs}, body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asking(SynchronousTestCase):
    """Asks the pages of a busy suite, over one connection to a loopback address."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(10)
        self.suite = busy_suite()
        self.serve()

    def serve(self, token: str = "", *, reached: str = "127.0.0.1", proxied: bool = False) -> None:
        views = Views(self.suite, LagWatch(self.clock), Control(self.suite.upstreams), self.clock)
        pages = Pages(views.pages, Guard([], token, proxied=proxied))
        site = BoundedSite(pages, reactor=self.clock, max_body=MAX_BODY, request=AdminRequest)
        channel = site.buildProtocol(None)
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", reached, 7099), peerAddress=IPv4Address("TCP", "127.0.0.1", 4711)
        )
        channel.makeConnection(self.transport)
        self.channel = channel
        self.addCleanup(self.lose)

    def lose(self) -> None:
        if self.channel.transport is not None:
            self.channel.connectionLost(Failure(ConnectionDone()))
            self.channel.transport = None

    def send(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> None:
        self.transport.clear()
        lines = [f"{method} {path} HTTP/1.1"]
        length = {"Content-Length": str(len(body))} if body else {}
        lines += [
            f"{name.replace('_', '-')}: {value}"
            for name, value in {"Host": "localhost", **length, **headers}.items()
        ]
        self.channel.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)

    def send_raw(self, *lines: bytes) -> int:
        """The status of the answer to a request of some lines, on a connection of its own."""
        self.serve("s3cret")
        self.channel.dataReceived(b"\r\n".join([*lines, b"", b""]))
        return Got.parse(self.transport.value()).code

    def get(self, path: str, method: str = "GET", **headers: str) -> Got:
        self.send(path, method, b"", **headers)
        return Got.parse(self.transport.value())

    def post(self, path: str, value: Any, **headers: str) -> Got:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send(path, "POST", body, **{"Content_Type": "application/json", **headers})
        return Got.parse(self.transport.value())


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
        """/readyz is 503, with the reasons, before the start is complete, while draining, and while an
        upstream has no server up.
        """
        self.suite.upstreams["cache"] = FakeUpstream(up=False)
        self.assertEqual(self.get("/readyz").json["reasons"], ["upstream cache has no server up"])
        self.suite.started_at = None
        self.assertEqual(self.get("/readyz").json["reasons"], ["starting"])
        self.suite.draining = True
        got = self.get("/readyz")
        self.assertEqual((got.code, got.json), (503, {"ready": False, "reasons": ["draining"]}))

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
                "bytes_in": 15, "bytes_out": 150, "seconds": 2.5,
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
        self.assertEqual(status["sessions"], {"count": 3, "in_use": 1, "users": 2})

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
        """A store that fails is said so, and the rest is shown."""
        failed: Deferred[dict[str, Any]] = Deferred()
        failed.errback(StoreFailed("disk I/O error"))
        self.suite.sessions = FakeSessions(failed)
        self.assertEqual(self.get("/api/v1/status").json["sessions"], {"error": "disk I/O error"})

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
        self.assertEqual(got.json["reasons"], ["upstream cache has no server up"])

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


class ExplainTests(Asking):
    def test_open(self) -> None:
        """An open connection is explained by its id."""
        got = self.get("/api/v1/explain/ab-2")
        self.assertEqual((got.code, got.json["id"], got.json["open"]), (200, "ab-2", True))
        self.assertEqual((got.json["server"], got.json["seconds"], got.json["reason"]), ("a", 9.0, None))

    def test_ended(self) -> None:
        """So is one that has ended."""
        got = self.get("/api/v1/explain/ab-1").json
        self.assertEqual((got["open"], got["reason"]), (False, "server_closed"))

    def test_unknown(self) -> None:
        """An id that nobody has is answered 404, with a sentence; any text may be one."""
        for text, meant in (("ab-3", "ab-3"), ("ID", "ID"), ("%3Cb%3E%0A", "<b>\\n"), ("%ff", "\ufffd")):
            got = self.get(f"/api/v1/explain/{text}")
            self.assertEqual(got.code, 404)
            self.assertEqual(got.json["error"], f"no connection '{meant}' is open, or has ended of late")

    def test_token(self) -> None:
        """Explanations are behind the token, as everything is but the probes' pages."""
        self.serve("s3cret")
        for path in ("/api/v1/explain/ab-2", "/api/v1/whatif?upstream=cache&client=192.0.2.1"):
            self.assertEqual(self.get(path).code, 401)
            self.assertEqual(self.get(path, Authorization="Bearer s3cret").code, 200)


class WhatifTests(Asking):
    def test_picked(self) -> None:
        """It tells who would be picked, who was left out, and why."""
        got = self.get("/api/v1/whatif?upstream=cache&client=192.0.2.1")
        self.assertEqual(
            (got.code, got.json),
            (200, {
                "upstream": "cache", "client": "192.0.2.1", "server": "b", "reason": "",
                "candidates": ["b"], "slow_start": ["b"],
                "left_out": [{"server": "a", "why": "down", "meaning": "its health checks fail"}],
            }),
        )  # fmt: skip

    def test_nobody(self) -> None:
        """When nobody would be picked it tells why; no address stands for a client on a UNIX socket."""
        got = self.get("/api/v1/whatif?upstream=cache&client=").json
        self.assertEqual((got["server"], got["reason"]), (None, "no server is up"))

    def test_address(self) -> None:
        """An address is taken in any way to write it, and given to the balancer as the kernel writes it."""
        for written, seen in (
            ("2001:DB8:0::1", "2001:db8::1"),
            ("::ffff:c000:201", "::ffff:192.0.2.1"),
            ("FE80::1%25eth0", "fe80::1%eth0"),
        ):
            got = self.get(f"/api/v1/whatif?upstream=cache&client={written}").json
            self.assertEqual(got["client"], seen)

    def test_bad(self) -> None:
        """What is left out, and what is no address, is said, and where."""
        for query, where in (
            ("", "upstream"), ("?client=192.0.2.1", "upstream"), ("?upstream=cache", "client"),
            ("?upstream=cache&clinet=192.0.2.1", "client"), ("?upstream=cache&client=example", "client"),
            ("?upstream=cache&client=%ff", "client"), ("?upstream=cache&client=1%00", "client"),
        ):  # fmt: skip
            got = self.get(f"/api/v1/whatif{query}")
            self.assertEqual((got.code, got.json["where"]), (400, where), query)

    def test_unknown_upstream(self) -> None:
        """An upstream that is none is answered 404, with those that there are."""
        got = self.get("/api/v1/whatif?upstream=cash&client=192.0.2.1")
        self.assertEqual((got.code, got.json["upstreams"]), (404, ["cache"]))


class ChangeTests(Asking):
    def told(self) -> list[tuple[Any, ...]]:
        return self.suite.upstreams["cache"].operator.told

    def test_server(self) -> None:
        """A server is drained, weighed and cut; the answer is what was done, and the server as it is now."""
        for value, done in (
            ({"state": "drain"}, "cache/a: drain"),
            ({"weight": 0}, "cache/a: weight 0"),
            ({"kill_connections": True}, "cache/a: 3 connections cut"),
        ):
            got = self.post("/api/v1/server/cache/a", value)
            self.assertEqual((got.code, got.json["done"], got.json["name"]), (200, done, "a"))
        self.assertEqual(
            self.told(),
            [("administer", "a", Administration.DRAIN), ("set_weight", "a", 0), ("kill_connections", "a")],
        )

    def test_upstream(self) -> None:
        """An upstream is paused and resumed, and takes and loses servers."""
        for value, done in (
            ({"pause": 30}, "cache: pause for 30 s"),
            ({"resume": True}, "cache: resume"),
            (
                {"add": {"name": "c", "address": "tcp:10.0.0.9:1", "weight": 2}},
                "cache: add c at tcp:10.0.0.9:1",
            ),
            ({"remove": {"name": "c", "force": True}}, "cache: remove c, by force"),
        ):
            got = self.post("/api/v1/upstream/cache", value)
            self.assertEqual((got.code, got.json["done"]), (200, done))
            self.assertEqual(got.json["changes"][0]["configured"], 5)
        self.assertEqual(
            self.told(),
            [("pause", 30.0), ("resume", 0.0), ("add", "c", "tcp:10.0.0.9:1", 2), ("remove", "c", True)],
        )

    def test_look(self) -> None:
        """GET shows an upstream, or a server, and what of it is not as configured."""
        got = self.get("/api/v1/upstream/cache").json
        self.assertEqual([each["name"] for each in got["servers"]], ["a", "b"])
        got = self.get("/api/v1/server/cache/b").json
        self.assertEqual((got["upstream"], got["name"], len(got["changes"])), ("cache", "b", 1))
        self.assertEqual(self.get("/api/v1/server/cache/a").json["changes"], [])

    def test_logged_and_counted(self) -> None:
        """A change is logged with who made it, and counted; one that was refused is not."""
        with capturedLogs() as events:
            self.post("/api/v1/server/cache/a", {"weight": 3})
            self.suite.upstreams["cache"].operator.refuses = "no"
            self.post("/api/v1/server/cache/a", {"weight": 4})
        said = [formatEvent(event) for event in events if event["log_level"] is LogLevel.info]
        self.assertEqual(said, ["admin: 127.0.0.1:4711 changed cache/a: weight 3"])
        page = self.get("/metrics").body
        self.assertIn(b'tcpsuite_changes_total{change="weight",upstream="cache"} 1\n', page)

    def test_unknown(self) -> None:
        """An upstream or server that is none is answered 404, with those that there are."""
        got = self.post("/api/v1/upstream/cash", {"pause": True})
        self.assertEqual((got.code, got.json["upstreams"]), (404, ["cache"]))
        got = self.post("/api/v1/server/cache/c", {"weight": 1})
        self.assertEqual((got.code, got.json["servers"]), (404, ["a", "b"]))
        self.assertEqual(self.told(), [])

    def test_quoted_name(self) -> None:
        """Any letter of a name may be given as its number."""
        self.assertEqual(self.post("/api/v1/server/c%61che/%61", {"weight": 1}).code, 200)

    def test_not_taken(self) -> None:
        """What the upstream does not take is answered 409, with its own sentence."""
        self.suite.upstreams["cache"].operator.refuses = "b is the last server of upstream cache"
        got = self.post("/api/v1/upstream/cache", {"remove": {"name": "b"}})
        self.assertEqual((got.code, got.json), (409, {"error": "b is the last server of upstream cache"}))

    def test_misread(self) -> None:
        """What does not fit is answered 400: where, what was expected, what came."""
        got = self.post("/api/v1/server/cache/a", {"weight": 300})
        self.assertEqual(
            (got.code, got.json),
            (400, {
                "error": "weight: expected a value from 0 to 256, got 300",
                "where": "weight", "expected": "a value from 0 to 256",
            }),
        )  # fmt: skip
        self.assertEqual(self.told(), [])

    def test_too_long(self) -> None:
        """A body that is longer than any change is not read."""
        self.assertEqual(self.post("/api/v1/upstream/cache", b" " * (MAX_BODY + 1)).code, 413)

    def test_other_methods(self) -> None:
        """What can be changed is changed by POST only."""
        got = self.get("/api/v1/upstream/cache", "PUT")
        self.assertEqual((got.code, got.headers["allow"]), (405, "GET, HEAD, POST"))

    def test_other_sites(self) -> None:
        """A page of another site cannot make a change: not under its own name, not under ours, and not as a
        form, which a browser sends without asking.
        """
        change, path = {"state": "maint"}, "/api/v1/server/cache/a"
        self.assertEqual(self.post(path, change, Origin="http://example.com").code, 403)
        self.assertEqual(self.post(path, change, Origin="null").code, 403)
        self.assertEqual(self.post(path, change, Host="example.com").code, 403)
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ):
            self.assertEqual(self.post(path, change, Content_Type=kind).code, 415, kind)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.post(path, change, Content_Type="Application/JSON; charset=utf-8").code, 200)

    def test_token(self) -> None:
        """A token guards changes from everywhere."""
        self.serve("s3cret", reached="192.0.2.1")
        path = "/api/v1/server/cache/a"
        self.assertEqual(self.post(path, {"weight": 1}).code, 401)
        self.assertEqual(self.post(path, {"weight": 1}, Authorization="Bearer wrong").code, 401)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.post(path, {"weight": 1}, Authorization="Bearer s3cret").code, 200)

    def test_without_a_token(self) -> None:
        """Without a token in the file, changes are for this machine: where others can ask there are none."""
        path = "/api/v1/server/cache/a"
        for reached, proxied in (("192.0.2.1", False), ("2001:db8::1", False), ("127.0.0.1", True)):
            self.serve(reached=reached, proxied=proxied)
            got = self.post(path, {"weight": 1})
            self.assertEqual((got.code, got.json["error"][:23]), (403, "changes want a token he"))
            self.assertEqual(self.get(path).code, 200)
        self.assertEqual(self.told(), [])
        for reached in ("127.0.0.2", "::1", "::ffff:127.0.0.1"):
            self.serve(reached=reached)
            self.assertEqual(self.post(path, {"weight": 1}).code, 200)
