"""Requests from web pages of others, and without the token, are refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.admin.guard import Guard


class HostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.guard = Guard(["Admin.example"], "")

    def allowed(self, *hosts: str, reached: str = "192.0.2.1", origin: str | None = None) -> bool:
        return self.guard.check(hosts, [] if origin is None else [origin], reached) is None

    def test_ours(self) -> None:
        """Loopback names, the address that was reached and configured names are ours, with any port."""
        for host in (
            "localhost", "localhost:7099", "LOCALHOST", "127.0.0.1:7099", "[::1]:7099", "[::1]",
            "192.0.2.1", "192.0.2.1:7099", "admin.example", "ADMIN.EXAMPLE:80",
        ):  # fmt: skip
            self.assertTrue(self.allowed(host), host)

    def test_not_ours(self) -> None:
        """Any other name is refused, whatever it looks like."""
        for host in (
            "example.com", "localhost.example.com", "localhost:", "localhost:x", "192.0.2.2", "",
            "127.0.0.1@evil", "[::1", "::1", "localhost/", "localhost localhost", "0.0.0.0",
            "localhost:7099:1", "[::1]x",
        ):  # fmt: skip
            self.assertFalse(self.allowed(host), host)

    def test_no_host(self) -> None:
        """A client of HTTP/1.0 that names no host is none of a browser's."""
        self.assertTrue(self.allowed())

    def test_two_hosts(self) -> None:
        """Of two hosts nobody knows which is meant."""
        self.assertFalse(self.allowed("localhost", "localhost"))

    def test_ipv6_reached(self) -> None:
        """An address is the same however it is written, and so is one of IPv4 that an IPv6 socket took."""
        self.assertTrue(self.allowed("[2001:db8:0::1]:7099", reached="2001:db8::1"))
        self.assertTrue(self.allowed("192.0.2.1", reached="::ffff:192.0.2.1"))

    def test_unix(self) -> None:
        """Over a UNIX socket only the names are ours."""
        self.assertTrue(self.allowed("localhost", reached=""))
        self.assertFalse(self.allowed("example.com", reached=""))

    def test_same_origin(self) -> None:
        """A page of our own may ask."""
        self.assertTrue(self.allowed("localhost:7099", origin="http://localhost:7099"))
        self.assertTrue(self.allowed("Localhost:7099", origin="https://localhost:7099"))

    def test_foreign_origin(self) -> None:
        """A page of any other site, or of another port, may not."""
        for origin in (
            "http://example.com", "null", "", "http://localhost", "http://localhost:8000", "localhost:7099",
            "file://localhost:7099", "http://localhost:7099/", "http://user@localhost:7099",
        ):  # fmt: skip
            self.assertFalse(self.allowed("localhost:7099", origin=origin), origin)
        self.assertFalse(self.allowed(origin="http://localhost"))

    @given(st.text(), st.text())
    def test_any_text(self, host: str, origin: str) -> None:
        """No text makes the check itself fail."""
        self.guard.check([host], [origin], "192.0.2.1")


class TokenTests(SynchronousTestCase):
    def shown(self, *values: str, token: str = "s3cret") -> int:
        refusal = Guard([], token).check_token(values)
        return refusal.code if refusal else 200

    def test_no_token_wanted(self) -> None:
        """Without a token in the file none is wanted."""
        self.assertEqual(self.shown(token=""), 200)

    def test_right(self) -> None:
        """The token behind Bearer, in any case, is right."""
        self.assertEqual(self.shown("Bearer s3cret"), 200)
        self.assertEqual(self.shown("bearer  s3cret"), 200)

    def test_any_letters(self) -> None:
        """A token of any letters is right in UTF-8."""
        self.assertEqual(self.shown("Bearer " + "clé".encode().decode("latin-1"), token="clé"), 200)

    def test_wrong(self) -> None:
        """All else is refused with 401."""
        for values in (
            (), ("",), ("Bearer",), ("Bearer s3cre",), ("Bearer s3crett",), ("Basic s3cret",), ("s3cret",),
            ("Bearer s3cret", "Bearer s3cret"), ("Bearer \ud800",),
        ):  # fmt: skip
            self.assertEqual(self.shown(*values), 401, values)


class ChangeTests(SynchronousTestCase):
    def may(
        self,
        *kinds: str,
        token: str = "",
        reached: str = "127.0.0.1",
        peer: str = "127.0.0.1",
        proxied: bool = False,
    ) -> int:
        guard = Guard([], token, proxied=proxied)
        refusal = guard.check_change(kinds or ["application/json"], reached, peer)
        return refusal.code if refusal else 200

    def test_here(self) -> None:
        """Over loopback and UNIX sockets a change wants no token."""
        for reached in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", ""):
            self.assertEqual(self.may(reached=reached, peer=reached), 200, reached)

    def test_elsewhere(self) -> None:
        """Where others can ask it does; and where a proxy says what was reached, which anybody can be."""
        for reached in ("192.0.2.1", "0.0.0.0", "::", "::ffff:192.0.2.1", "127.0.0.1.example", "localhost"):
            self.assertEqual(self.may(reached=reached), 403, reached)
        self.assertEqual(self.may(proxied=True), 403)
        self.assertEqual(self.may(token="s3cret", reached="192.0.2.1", proxied=True), 200)

    def test_led_here(self) -> None:
        """Who comes from elsewhere is not on this machine, whatever address of ours was reached."""
        for peer in ("192.0.2.7", "::ffff:192.0.2.7", "fe80::1%eth0"):
            self.assertEqual(self.may(peer=peer), 403, peer)
            self.assertEqual(self.may(peer=peer, token="s3cret"), 200, peer)

    def test_kind(self) -> None:
        """It is JSON, which a browser does not send to another site without asking it."""
        self.assertEqual(self.may("application/json;charset=utf-8"), 200)
        for kinds in (("text/plain",), ("",), ("application/json", "text/plain"), ("application/jsonx",)):
            self.assertEqual(self.may(*kinds), 415, kinds)
        self.assertEqual(Guard([], "").check_change([], "127.0.0.1", "127.0.0.1").code, 415)  # type: ignore[union-attr]
