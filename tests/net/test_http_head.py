"""What the head of a request must say, and what it decides about the connection."""

from __future__ import annotations

from tests.net.test_http import GET, BoundedCase, post


class HostTests(BoundedCase):
    def test_named_once(self) -> None:
        """A request of HTTP/1.1 names its host, once; one of HTTP/1.0 need not."""
        for hosts in (b"", b"Host: a\r\nHost: b\r\n"):
            answer = self.send(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), hosts)
            self.assertEqual(answer.count(b"HTTP/1.1 400"), 1)
            self.lose()
            self.connect()
        self.assertIn(b"page", self.send(b"GET / HTTP/1.0\r\n\r\n"))


class ConnectionTests(BoundedCase):
    def test_close(self) -> None:
        """A connection closes behind a request that says so, in whatever words beside it."""
        for lines in (b"close", b"Close, TE", b"TE,close", b"TE\r\nConnection: close", b"\xff , close"):
            answer = self.send(GET[:-2] + b"Connection: " + lines + b"\r\n\r\n")
            self.assertIn(b"\r\nConnection: close\r\n", answer)
            self.assertTrue(self.transport.disconnecting, lines)
            self.lose()
            self.connect()

    def test_stays_open(self) -> None:
        """It stays open behind any other."""
        for lines in (b"keep-alive", b"TE", b"closed", b"", b"not close"):
            self.assertIn(b"page", self.send(GET[:-2] + b"Connection: " + lines + b"\r\n\r\n"))
            self.assertFalse(self.transport.disconnecting, lines)


class ExpectTests(BoundedCase):
    def test_go_on(self) -> None:
        """Who waits for a word to send the body gets it; who is sending it already does not."""
        request = post(b"12345", b"Expect: 100-continue")
        self.assertEqual(self.send(request[:-5]), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertTrue(self.send(b"12345").startswith(b"HTTP/1.1 200 "))
        self.assertTrue(self.send(request).startswith(b"HTTP/1.1 200 "))
