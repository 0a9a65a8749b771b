"""What line services say of limits: at requests, at logins, at the door."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import Connection, Ledger, Reason
from tcpsuite.core.limits import Limits, ResourceLimiter
from tcpsuite.interfaces import IRefusing, Verdict
from tcpsuite.net.limiting import ServiceLimits
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.lines import MAX_ERRORS
from tcpsuite.services.session import SessionFactory
from tests.support.sessions import Client, SessionCase
from tests.support.toy import Toy

KEY = "192.0.2.1"


def service_limits(clock: Any, ledger: Ledger, limits: Limits) -> ServiceLimits:
    """Those of a listener called front."""
    return ServiceLimits("front", ResourceLimiter(limits), ledger, clock)


class RequestTests(SynchronousTestCase):
    """Three requests at once, and two a second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger()
        self.toy = Toy(self.clock)
        limits = Limits(message_rate=2, message_burst=3)
        self.toy.limits = service_limits(self.clock, self.ledger, limits)
        self.record = self.toy.connection = Connection("1", "", KEY, "front", "t", 0.0, 0.0, limited_as=KEY)
        self.transport = StringTransport()
        self.toy.makeConnection(self.transport)

    def say(self, data: bytes) -> list[str]:
        self.toy.dataReceived(data)
        answers: list[str] = self.transport.value().decode().splitlines()
        self.transport.clear()
        return answers

    def test_too_many(self) -> None:
        """Past the burst each is refused, with what is too much and when it may be asked again."""
        self.assertEqual(
            self.say(b"SAY 1\nSAY 2\nSAY 3\nSAY 4\n"),
            [
                "OK 1",
                "OK 2",
                "OK 3",
                "ERR limit 192.0.2.1 has more than 2 requests a second; it may again in 500 ms",
            ],
        )
        self.clock.advance(0.5)
        self.assertEqual(self.say(b"SAY 5\n"), ["OK 5"])
        self.assertEqual(self.ledger.totals("front").refused_requests, {"message_rate": 1})

    def test_is_no_error_in_a_row(self) -> None:
        """Who speaks well and too fast is not sent away."""
        answers = self.say(b"SAY 1\n" * (MAX_ERRORS * 2))
        self.assertEqual(sum(answer.startswith("ERR limit ") for answer in answers), MAX_ERRORS * 2 - 3)
        self.assertFalse(self.transport.disconnecting)

    def test_what_follows_a_request(self) -> None:
        """When bytes follow the line that is refused the connection ends: they are no requests."""
        self.say(b"SAY 1\n" * 3)
        answer, *more = self.say(b"TAKE 6\nSAY 2\n")
        self.assertTrue(answer.startswith("ERR limit "))
        self.assertEqual(more, [])
        self.assertTrue(self.transport.disconnecting)
        self.assertIs(self.record.reason, Reason.PROTOCOL_ERROR)

    def test_http(self) -> None:
        """A request of HTTP is refused as such, whatever the limit says."""
        self.say(b"SAY 1\n" * 3)
        self.assertTrue(self.say(b"GET / HTTP/1.1\r\n")[0].startswith("ERR http "))


class LoginTests(SessionCase):
    """Two logins of each user."""

    def setUp(self) -> None:
        super().setUp()
        self.ledger = Ledger()
        limits = service_limits(self.clock, self.ledger, Limits(connections_per_user=2))
        self.factory = SessionFactory(self.clock, self.sessions, self.authenticator, limits=limits)

    def test_too_many(self) -> None:
        """Past the limit a login is refused, and nothing is opened; another user has logins of his own."""
        for _ in range(2):
            self.logged_in()
        client = Client(self)
        answer = client.ask("LOGIN alice open sesame")
        self.assertEqual(answer, "ERR limit alice has 2 connections open, of 2 that it may have")
        self.assertEqual(client.refused("OPEN"), "login")
        self.assertEqual(client.record.user, "")
        self.logged_in("bob")
        self.assertEqual(self.ledger.totals("front").refused_requests, {"connections_per_user": 1})

    def test_room(self) -> None:
        """Each connection that ends makes room for one; one that was refused makes none."""
        first, _ = self.logged_in(), self.logged_in()
        refused = Client(self)
        self.assertEqual(refused.refused("LOGIN alice open sesame"), "limit")
        refused.lose()
        self.assertEqual(Client(self).refused("LOGIN alice open sesame"), "limit")
        first.lose()
        self.logged_in()
        self.assertEqual(Client(self).refused("LOGIN alice open sesame"), "limit")

    def test_a_wrong_password(self) -> None:
        """Who does not know the password takes no login of who does."""
        for _ in range(3):
            self.assertEqual(Client(self).refused("LOGIN alice open"), "login")
        for _ in range(2):
            self.logged_in()


class DoorTests(SynchronousTestCase):
    """The last words of each service."""

    def words(self, factory: Any, retry_after: float = 0.0) -> str:
        self.assertTrue(IRefusing.providedBy(factory))
        verdict = Verdict(False, "connection_rate", "192.0.2.1 is too fast", retry_after, KEY)
        words: bytes = factory.last_words(verdict)
        return words.decode()

    def test_lines(self) -> None:
        """An error as for a request."""
        for kind in (SessionFactory, FilesFactory):
            factory = kind.__new__(kind)
            self.assertEqual(self.words(factory), "ERR limit 192.0.2.1 is too fast\n")
            words = self.words(factory, 0.0101)
            self.assertEqual(words, "ERR limit 192.0.2.1 is too fast; it may again in 11 ms\n")

    def test_http(self) -> None:
        """A whole answer, which says when to come back."""
        head, _, body = self.words(FilesSite.__new__(FilesSite), 1.2).partition("\r\n\r\n")
        self.assertEqual(body, "192.0.2.1 is too fast\n")
        lines = head.split("\r\n")
        self.assertEqual(lines[0], "HTTP/1.1 503 Service Unavailable")
        for header in ("Retry-After: 2", f"Content-Length: {len(body)}", "Connection: close"):
            self.assertIn(header, lines)
