"""Users who log in to put files, counted by the limits of the listener."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from twisted.internet.defer import Deferred

from tcpsuite.core.connections import Connection, Ledger
from tcpsuite.core.limits import Limits, ResourceLimiter
from tcpsuite.errors import ProtocolError
from tcpsuite.net.limiting import ServiceLimits
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.files.share import Share
from tcpsuite.services.logins import Logins
from tests.support.files import TOKEN, Client, FilesCase

LOGIN = b"LOGIN ada open sesame\n"


def basic(user: str = "ada") -> str:
    """What a client sends that logs in."""
    return "Basic " + b64encode(f"{user}:open sesame".encode()).decode()


class LoginsCase(FilesCase):
    """At most two connections of one user."""

    def make_share(self) -> Share:
        """A share whose listener has that limit."""
        self.users.addUser(b"bob", b"open sesame")
        self.ledger = Ledger()
        self.limiter = ResourceLimiter(Limits(connections_per_user=2))
        share = super().make_share()
        share.limits = ServiceLimits("web", self.limiter, self.ledger, self.clock)
        return share

    def used(self, user: str = "ada") -> float:
        """On how many connections a user is logged in, as the limiter counts."""
        return sum(use.used for use in self.limiter.top(9, 0.0) if use.key == f"user:{user}")


class LinesTests(LoginsCase):
    """Over lines, where LOGIN may be said again."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = FilesFactory(self.share)

    def test_too_many(self) -> None:
        """On a third connection a user is refused, and may try again when one of the others is gone."""
        clients = [Client(self, self.factory) for _ in range(3)]
        answers = [client.say(LOGIN) for client in clients]
        self.assertEqual(answers[:2], [b"OK ada\n"] * 2)
        self.assertTrue(answers[2].startswith(b"ERR limit "), answers[2])
        self.assertEqual(clients[2].record.user, "")
        self.assertEqual(self.ledger.totals("web").refused_requests, {"connections_per_user": 1})
        put = b"PUT /new 5 " + sha256(b"hello").hexdigest().encode() + b"\nhello"
        self.assertTrue(clients[2].say(put).startswith(b"ERR login "))
        clients[0].lose()
        fourth = Client(self, self.factory)
        self.assertEqual(fourth.say(LOGIN), b"OK ada\n")

    def test_again(self) -> None:
        """Who says it again is counted once; of two users on one connection the second is."""
        client = Client(self, self.factory)
        for _ in range(3):
            self.assertEqual(client.say(LOGIN), b"OK ada\n")
        self.assertEqual(self.used(), 1)
        self.assertEqual(client.say(b"LOGIN bob open sesame\n"), b"OK bob\n")
        self.assertEqual((self.used(), self.used("bob")), (0, 1))
        client.lose()
        self.assertEqual(self.used("bob"), 0)

    def test_wrong(self) -> None:
        """Who does not know the password, or shows the token, takes no place."""
        client = Client(self, self.factory)
        self.assertTrue(client.say(b"LOGIN ada wrong\n").startswith(b"ERR login "))
        client.say(f"TOKEN {TOKEN}\n".encode())
        self.assertEqual(self.used(), 0)


class HttpTests(LoginsCase):
    """Over HTTP, where each request logs in."""

    def setUp(self) -> None:
        super().setUp()
        self.site = FilesSite(self.share)

    def put(self, client: Client, authorization: str) -> bytes:
        """The first line of what a client is answered that puts a file."""
        answer = client.say(
            f"PUT /new HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 5\r\n\r\n"
            "hello".encode()
        )
        return answer.partition(b"\r\n")[0]

    def test_too_many(self) -> None:
        """All requests of a connection count once; on a third connection they are refused."""
        first, second, third = (Client(self, self.site) for _ in range(3))
        for client in (first, second, first, second):
            self.assertIn(self.put(client, basic()).split()[1], (b"201", b"204"))
        self.assertEqual(self.used(), 2)
        self.assertEqual(self.put(third, basic()).split()[1], b"429")
        fourth = Client(self, self.site)
        self.assertEqual(self.put(fourth, f"Bearer {TOKEN}").split()[1], b"204")
        self.assertEqual(self.put(fourth, basic("bob")).split()[1], b"204")
        for client in (first, second, fourth):
            client.lose()
        self.assertEqual((self.used(), self.used("bob")), (0, 0))


class LoginTests(LoginsCase):
    """The counting itself."""

    def test_refused_for_another(self) -> None:
        """Who was logged in still is when another user may not be."""
        record = Connection("1", "", "192.0.2.1", "web", "files", 0.0, 0.0)
        others = [Logins(self.share.limits) for _ in range(2)]
        for other in others:
            other.enter(record, "bob")
        logins = Logins(self.share.limits)
        logins.enter(record, "ada")
        self.assertRaises(ProtocolError, logins.enter, record, "bob")
        self.assertEqual((repr(logins), self.used()), ("<Logins ada>", 1))

    def test_too_late(self) -> None:
        """A login that comes behind the end of its connection takes no place."""
        checks: list[Deferred[str]] = [Deferred()]
        self.patch(self.users, "requestAvatarId", lambda _: checks[0])
        client = Client(self, FilesFactory(self.share))
        client.say(LOGIN)
        client.lose()
        checks[0].callback("ada")
        self.assertEqual(self.used(), 0)
        logins = Logins(self.share.limits)
        logins.leave()
        logins.enter(client.record, "ada")
        self.assertEqual((repr(logins), self.used()), ("<Logins nobody over>", 0))
