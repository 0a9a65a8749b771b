"""How long line services wait for a request, and for a login, and how much may be asked ahead."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tcpsuite.core.connections import Ledger, Reason
from tcpsuite.core.deadlines import GRAIN
from tcpsuite.core.limits import ResourceLimiter
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.limiting import ServiceLimits
from tcpsuite.options import Duration
from tcpsuite.services.lines import MAX_ERRORS
from tcpsuite.services.patience import Patience
from tcpsuite.services.session import OUR_TIME, SessionFactory, SessionOptions, build
from tcpsuite.testing.contexts import FakeContext
from tests.support.sessions import Client, SessionCase
from tests.support.toy import LineCase

REFUSED = "ERR limit more than 3 requests wait for their answers"


class ReadTests(LineCase):
    """Two seconds for each request, and time-outs that many connections share."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.patience = Patience(Deadlines(self.clock), read_timeout=2.0)
        self.connect(StringTransport())

    def test_slow_request(self) -> None:
        """A request that trickles in is cut off when its time is over, and not before."""
        for _ in range(20):
            self.say(b"x")
            self.assertFalse(self.transport.disconnected)
            self.clock.advance(0.1)
        self.clock.advance(GRAIN)
        self.assertTrue(self.transport.disconnected)
        self.assertIs(self.record.reason, Reason.DEADLINE)

    def test_slow_body(self) -> None:
        """What follows a request has the same time, and a second more for each KiB."""
        self.say(b"TAKE 10000\n" + b"x" * 3 * 1024)
        self.clock.pump([1.0] * 4)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnected)

    def test_any_time(self) -> None:
        """Without such a time a request may take any."""
        self.patience = Patience(Deadlines(self.clock), read_timeout=0)
        self.connect(StringTransport())
        for piece in (b"TAKE", b" 3", b"\nab", b"cSAY"):
            self.say(piece)
            self.clock.advance(10_000)
        self.assertEqual(self.toy.taken, [b"abc"])
        self.assertFalse(self.transport.disconnected)

    def test_one_timer(self) -> None:
        """However many requests are incomplete, the reactor has one timer."""
        first = self.toy
        for _ in range(100):
            self.toy.dataReceived(b"SA")
            self.connect(StringTransport())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(2)
        self.assertIs(first.connection.reason, Reason.DEADLINE)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class InHandTests(LineCase):
    """Three requests may wait for their answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.patience = Patience(Deadlines(self.clock), max_requests_in_hand=3)
        self.connect(StringTransport())

    def connect(self, transport: StringTransport) -> None:
        super().connect(transport)
        self.ledger = Ledger()
        self.ledger.open(self.record)
        self.toy.limits = ServiceLimits("toy", ResourceLimiter(), self.ledger, self.clock)

    def refused(self) -> dict[str, int]:
        """What was counted."""
        return dict(self.ledger.totals("toy").refused_requests)

    def test_too_many(self) -> None:
        """Each request past them is refused in its turn, and counted; the others are answered."""
        self.say(b"WAIT\n")
        self.assertEqual(self.say(b"SAY 1\nSAY 2\nSAY 3\nSAY 4\nSAY 5\n"), "")
        self.toy.waiting[0].callback("0")
        answers = self.answer().splitlines()
        self.assertEqual(answers, ["OK 0", "OK 1", "OK 2", "OK 3", REFUSED, REFUSED])
        self.assertEqual(self.refused(), {"max_requests_in_hand": 2})
        self.assertEqual(self.say(b"SAY 6\n"), "OK 6\n")

    def test_peer_does_not_read(self) -> None:
        """Requests that wait for the peer to read count as well."""
        self.toy.pauseProducing()
        self.say(b"SAY 1\n" * 4)
        self.toy.resumeProducing()
        self.assertEqual(self.answer().splitlines()[3:], [REFUSED])

    def test_no_error_in_a_row(self) -> None:
        """However many are refused, the connection goes on."""
        self.say(b"WAIT\n" + b"SAY 1\n" * (MAX_ERRORS + 10))
        self.toy.waiting[0].callback("0")
        self.assertEqual(self.answer().count(REFUSED), MAX_ERRORS + 8)
        self.assertFalse(self.transport.disconnecting)

    def test_what_follows_a_request(self) -> None:
        """The lines of a body are no requests, however many they are."""
        body = b"1\n" * 50
        self.assertEqual(self.say(b"TAKE 100\n" + body + b"SAY 2\n"), "OK 100\nOK 2\n")
        self.assertEqual(self.toy.taken, [body])
        self.assertEqual(self.refused(), {})

    def test_a_body_that_is_refused(self) -> None:
        """When bytes follow the line that is refused the connection ends."""
        self.say(b"WAIT\nSAY 1\nSAY 2\nTAKE 6\nSAY 3\n")
        self.toy.waiting[0].callback("0")
        self.assertEqual(self.answer().splitlines(), ["OK 0", "OK 1", "OK 2", REFUSED])
        self.assertTrue(self.transport.disconnecting)

    def test_no_limit(self) -> None:
        """Without such a limit all are answered; and a refusal needs nobody who counts."""
        self.patience = Patience(Deadlines(self.clock), max_requests_in_hand=0)
        self.connect(StringTransport())
        self.assertEqual(self.say(b"SAY 1\n" * 5000).count("OK 1\n"), 5000)
        self.patience = Patience(Deadlines(self.clock), max_requests_in_hand=1)
        self.connect(StringTransport())
        self.toy.limits = None
        self.assertEqual(self.say(b"SAY 1\nSAY 2\n").count("ERR limit"), 1)


class LoginTests(SessionCase):
    """Ten seconds to open a session, or to go on with one."""

    def setUp(self) -> None:
        super().setUp()
        self.deadlines = Deadlines(self.clock)
        self.factory: Any = self.serving(anonymous=False)

    def serving(self, anonymous: bool) -> SessionFactory:
        return SessionFactory(
            self.clock,
            self.sessions,
            self.authenticator,
            anonymous,
            patience=Patience(self.deadlines),
            login_timeout=10.0,
        )

    def test_cut(self) -> None:
        """Who asks this and that, and does not log in, is cut; who logs in and opens nothing, too."""
        stranger, idler = Client(self), self.logged_in()
        for _ in range(9):
            stranger.ask("OPEN")
            self.clock.advance(1)
        self.assertFalse(stranger.transport.disconnected)
        self.clock.advance(1)
        for client in (stranger, idler):
            self.assertTrue(client.transport.disconnected)
            self.assertEqual(client.record.detail, "no session within 10 s")
            self.assertIs(client.record.reason, Reason.DEADLINE)

    def test_in_time(self) -> None:
        """Who has opened or resumed a session is never asked again, even behind its CLOSE."""
        opener, session_id = self.opened()
        resumer = self.logged_in()
        resumer.wants(f"RESUME {session_id}")
        opener.wants("CLOSE")
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")
        self.clock.advance(100)
        self.assertFalse(opener.transport.disconnected or resumer.transport.disconnected)

    def test_a_login_that_waits(self) -> None:
        """While the password is being checked the time is ours, and the client is not cut for it."""
        checked: Deferred[str] = Deferred()
        self.patch(self.authenticator, "login", lambda *_: checked)
        client = Client(self)
        self.clock.advance(9)
        self.assertEqual(client.say(b"LOGIN alice open sesame\n"), "")
        self.clock.advance(1)
        self.assertFalse(client.transport.disconnected)
        checked.callback("alice")
        client.wants("OPEN")
        self.clock.advance(OUR_TIME + GRAIN)
        self.assertFalse(client.transport.disconnected)

    def test_gone(self) -> None:
        """Nothing waits for who has left."""
        client = Client(self)
        self.assertEqual(repr(self.deadlines), "<Deadlines 1>")
        client.lose()
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")

    def test_configured(self) -> None:
        """A listener says how long, and how much."""
        options = SessionOptions(login_timeout=Duration(5), read_timeout=Duration(2), max_requests_in_hand=1)
        context = FakeContext(self.clock, session_manager=self.sessions, known_users=self.authenticator)
        self.factory = build(options, context)
        trickling, stranger = Client(self), Client(self)
        trickling.say(b"OP")
        self.clock.advance(2)
        self.assertTrue(trickling.transport.disconnected)
        self.assertEqual(stranger.say(b"OPEN\nOPEN\n").count("ERR limit"), 1)
        self.clock.advance(3)
        self.assertEqual(stranger.record.detail, "no session within 5 s")

    def test_anonymous(self) -> None:
        """Where anybody may open a session nobody has to."""
        self.factory = self.serving(anonymous=True)
        Client(self)
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")
