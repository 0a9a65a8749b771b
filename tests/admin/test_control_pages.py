"""The pages that say why, and what if, and those that change something, as a client sees them."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent

from tcpsuite.admin.site import MAX_BODY
from tcpsuite.core.queueing import WhyHeld
from tcpsuite.core.servers import Administration
from tests.admin.asking import Asking


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
                "waits": {"why": "", "meaning": ""}, "affinity": None,
                "strategy": "least_connections", "candidates": ["b"], "slow_start": ["b"],
                "rule": "the idlest", "figures": {"weight": {"b": 0.5}, "active": {"b": 2}},
                "left_out": [{"server": "a", "why": "down", "meaning": "its health checks fail"}],
            }),
        )  # fmt: skip

    def test_nobody(self) -> None:
        """When nobody would be picked it tells why; no address stands for a client on a UNIX socket."""
        got = self.get("/api/v1/whatif?upstream=cache&client=").json
        self.assertEqual((got["server"], got["reason"]), (None, "no server is up"))

    def test_affinity(self) -> None:
        """What is remembered of a client is told."""
        self.suite.upstreams["cache"].home = home = {"server": "b", "idle": 2.5, "open": 0}
        got = self.get("/api/v1/whatif?upstream=cache&client=192.0.2.1").json
        self.assertEqual((got["server"], got["affinity"]), ("b", home))

    def test_waits(self) -> None:
        """A client that would have to wait first is told so, and for what."""
        self.suite.upstreams["cache"].waits = WhyHeld.PAUSED
        got = self.get("/api/v1/whatif?upstream=cache&client=192.0.2.1").json
        self.assertEqual((got["server"], got["waits"]["why"]), ("b", "paused"))
        self.assertEqual(got["waits"]["meaning"], "an operator's pause")

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
        self.assertEqual(
            self.get("/api/v1/whatif").json["error"],
            "upstream: expected ?upstream=NAME&client=ADDRESS, got nothing",
        )

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
            ({"clear_affinity": True}, "cache: clear affinity: 2 clients forgotten"),
            (
                {"clear_affinity": "2001:DB8::0:1"},
                "cache: clear affinity of 2001:db8::1: 1 client forgotten",
            ),
        ):
            got = self.post("/api/v1/upstream/cache", value)
            self.assertEqual((got.code, got.json["done"]), (200, done))
            self.assertEqual(got.json["changes"][0]["configured"], 5)
        self.assertEqual(
            self.told(),
            [
                ("pause", 30.0),
                ("resume", 0.0),
                ("add", "c", "tcp:10.0.0.9:1", 2),
                ("remove", "c", True),
                ("clear_affinity", None),
                ("clear_affinity", "2001:db8::1"),
            ],
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

    def test_before_the_body(self) -> None:
        """What will be refused is refused by its headers alone, whether its body ever comes or not."""
        path, small = "/api/v1/server/cache/a", {"Content_Length": "12"}
        self.serve("s3cret")
        for headers, method, where, code in (
            ({}, "POST", path, 401),
            ({"Host": "example.com"}, "POST", path, 403),
            ({"Authorization": "Bearer s3cret"}, "POST", "/nothing", 404),
            ({"Authorization": "Bearer s3cret"}, "POST", "/metrics", 405),
            ({"Authorization": "Bearer s3cret", "Content_Type": "text/plain"}, "POST", path, 415),
            ({"Authorization": "Bearer s3cret", "Content_Length": str(MAX_BODY + 1)}, "POST", path, 413),
            ({"Authorization": "Bearer s3cret", "Content_Length": "x"}, "POST", path, 400),
        ):  # fmt: skip
            got = self.get(where, method, **{"Content_Type": "application/json", **small, **headers})
            self.assertEqual(got.code, code)
            self.assertIn("error", got.json)
            self.assertEqual((got.headers["connection"], got.headers["server"]), ("close", "tcpsuite"))
        self.serve(peer="192.0.2.7")
        got = self.get(path, "POST", Content_Type="application/json", **small)
        self.assertEqual((got.code, got.json["error"][:18]), (403, "changes want a tok"))

    def test_refusals(self) -> None:
        """Who may not ask, and a change that is refused, are in the log: one line in ten seconds, which
        counts the others.  All refusals are counted by their status.
        """
        self.serve("s3cret", peer="192.0.2.7")
        path = "/api/v1/server/cache/a"
        with capturedLogs() as events:
            for _ in range(3):
                self.get("/metrics", Authorization="Bearer \x1bguess")
            self.get("/nothing", Authorization="Bearer s3cret")
            self.clock.advance(10)
            self.post(path, {"weight": 300}, Authorization="Bearer s3cret")
            self.clock.advance(10)
            self.post(f"/{'x' * 300}", {}, Authorization="Bearer s3cret")
        said = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(
            [line.removeprefix("admin: 192.0.2.7:4711 was refused ") for line in said],
            [
                "GET /metrics: 401, this wants the header Authorization: Bearer TOKEN",
                (
                    f"POST {path}: 400, weight: expected a value from 0 to 256, got 300"
                    "; so were 2 others since the last such line"
                ),
                f"POST /{'x' * 193}…: 404, there is no such page",
            ],
        )
        page = self.get("/metrics", Authorization="Bearer s3cret").body
        for status, number in ((400, 1), (401, 3), (404, 2)):
            self.assertIn(b'tcpsuite_admin_refusals_total{status="%d"} %d\n' % (status, number), page)

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
        for reached, peer, proxied in (
            ("192.0.2.1", "192.0.2.7", False),
            ("2001:db8::1", "127.0.0.1", False),
            ("127.0.0.1", "192.0.2.7", False),
            ("127.0.0.1", "127.0.0.1", True),
        ):
            self.serve(reached=reached, peer=peer, proxied=proxied)
            got = self.post(path, {"weight": 1})
            self.assertEqual((got.code, got.json["error"][:23]), (403, "changes want a token he"))
            self.assertEqual(self.get(path).code, 200)
        self.assertEqual(self.told(), [])
        for reached in ("127.0.0.2", "::1", "::ffff:127.0.0.1"):
            self.serve(reached=reached)
            self.assertEqual(self.post(path, {"weight": 1}).code, 200)
