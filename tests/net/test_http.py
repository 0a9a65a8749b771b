"""Every phase of an HTTP connection has an end, and every body a largest size."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.net.http import PIPELINED, BoundedChannel
from tcpsuite.net.http_site import BoundedSite

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(body: bytes, *headers: bytes) -> bytes:
    lines = (b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Page(Resource):
    """Gives the body back, at once or when it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.wait = False
        self.waiting: list[Any] = []
        self.bodies: list[bytes] = []

    def render_GET(self, request: Any) -> Any:
        if self.wait:
            self.waiting.append(request)
            return NOT_DONE_YET
        return b"page"

    def render_POST(self, request: Any) -> bytes:
        self.bodies.append(request.content.read())
        return b"taken"


class BoundedCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.page = Page()
        self.site = BoundedSite(self.page, reactor=self.clock, max_body=10)
        self.site.doStart()
        self.connect()

    def connect(self) -> None:
        self.record = Connection("1", "192.0.2.1:4711", "192.0.2.1", "web", "files", 0.0, 0.0)
        channel = self.site.buildProtocol(None)
        assert isinstance(channel, BoundedChannel)
        self.channel, channel.connection = channel, self.record
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)
        self.addCleanup(self.lose)

    def lose(self) -> None:
        if self.channel in self.site.channels:
            self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def send(self, data: bytes) -> bytes:
        """What is answered to ``data``."""
        self.transport.clear()
        self.channel.dataReceived(data)
        answer: bytes = self.transport.value()
        return answer

    def turn(self) -> None:
        """One turn of the reactor, where a Clock takes all that need no time."""
        for call in tuple[Any, ...](self.clock.getDelayedCalls()):
            if call.getTime() <= self.clock.seconds():
                call.func(*call.args)
                if call.active():
                    call.cancel()

    def trickle(self, data: bytes, seconds: float) -> None:
        """Send a byte every so many seconds, until all is sent or the connection closes."""
        for byte in data:
            if self.transport.disconnecting:
                break
            self.channel.dataReceived(bytes([byte]))
            self.clock.advance(seconds)


class BoundedTests(BoundedCase):
    def test_whole_and_byte_by_byte(self) -> None:
        """A request is answered alike in one piece, byte by byte, and with the next one behind it."""
        whole = self.send(GET)
        self.assertIn(b"\r\n\r\npage", whole)
        self.transport.clear()
        for byte in GET:
            self.channel.dataReceived(bytes([byte]))
        self.assertEqual(self.transport.value().count(b"\r\n\r\npage"), 1)
        self.assertEqual(self.send(GET + GET[:9]).count(b"\r\n\r\npage"), 1)
        self.assertEqual(self.send(GET[9:] + GET + GET).count(b"\r\n\r\npage"), 3)

    def test_pipelined(self) -> None:
        """Of many requests that come at once some are answered in each turn of the reactor, unread meanwhile
        is what comes behind them.
        """
        for tail in (b"", GET[:9]):
            self.transport.clear()
            self.channel.dataReceived(GET * (2 * PIPELINED + 1) + tail)
            states = {PIPELINED: "paused", 2 * PIPELINED: "paused", 2 * PIPELINED + 1: "producing"}
            for count, state in states.items():
                self.assertEqual(self.transport.value().count(b"HTTP/1.1 200 "), count)
                self.assertEqual(self.transport.producerState, state)
                self.turn()
            self.lose()
            self.connect()

    def test_pipelined_with_bodies(self) -> None:
        """It is the same when they have bodies, and when they waited behind a slow one."""
        self.page.wait = True
        self.channel.dataReceived(GET + post(b"12345") * 3 * PIPELINED)
        self.page.waiting.pop().finish()
        for turns in (1, 2, 3, 4):
            count = min(turns * PIPELINED, 3 * PIPELINED + 1)
            self.assertEqual(self.transport.value().count(b"HTTP/1.1 200 "), count)
            self.turn()
        self.assertEqual(len(self.page.bodies), 3 * PIPELINED)

    def test_lost_between_turns(self) -> None:
        """A connection that is lost between two turns leaves no timer behind."""
        self.send(GET * 3 * PIPELINED)
        self.lose()

    def test_drained_between_turns(self) -> None:
        """A request that waits for its turn when the last port closes is answered, and is the last."""
        self.send(GET * 3 * PIPELINED)
        self.site.doStop()
        self.clock.advance(0)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200 "), PIPELINED + 1)
        self.assertTrue(self.transport.disconnecting)

    def test_headers_deadline(self) -> None:
        """Headers that are not complete 30 seconds after their first byte are answered 408, however many
        bytes come meanwhile.
        """
        self.trickle(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1000, 1)
        self.assertEqual(self.clock.seconds(), 30)
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 408 "))
        self.assertIs(self.record.reason, Reason.DEADLINE)

    def test_headers_in_time(self) -> None:
        """Headers that take 29 seconds are answered."""
        self.channel.dataReceived(GET[:5])
        self.clock.advance(29)
        self.assertIn(b"page", self.send(GET[5:]))
        self.assertIsNone(self.record.reason)

    def test_second_request_deadline(self) -> None:
        """The headers of a later request have 30 seconds of their own."""
        self.send(GET)
        self.clock.advance(50)
        self.channel.dataReceived(b"G")
        self.clock.advance(29.9)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(self.transport.disconnecting)

    def test_begun_with_the_request_before(self) -> None:
        """Headers that begin in the segment of the request before have their 30 seconds too."""
        self.send(GET + b"GET / HTTP/1.1\r\nHost:")
        self.clock.advance(31)
        self.assertIs(self.record.reason, Reason.DEADLINE)

    def test_idle(self) -> None:
        """A connection without a request is closed after 60 seconds, and for good 5 seconds later."""
        self.send(GET)
        self.clock.advance(59)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(2)
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.disconnected)
        self.assertIs(self.record.reason, Reason.IDLE)
        self.clock.advance(5)
        self.assertTrue(self.transport.disconnected)

    def test_answer_takes_its_time(self) -> None:
        """While a resource answers there is no deadline; behind its answer the connection is idle again."""
        self.page.wait = True
        self.send(GET)
        self.clock.advance(1000)
        self.assertFalse(self.transport.disconnecting)
        self.page.waiting.pop().finish()
        self.clock.advance(61)
        self.assertTrue(self.transport.disconnecting)

    def test_body(self) -> None:
        """A body of the largest size is taken."""
        self.assertIn(b"taken", self.send(post(b"0123456789")))
        self.assertEqual(self.page.bodies, [b"0123456789"])

    def test_large_body(self) -> None:
        """A body that is announced too large is refused at the headers; what follows is dropped."""
        answer = self.send(post(b"0123456789a", b"Expect: 100-continue") + GET)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "))
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.page.bodies, [])
        self.assertIs(self.record.reason, Reason.PROTOCOL_ERROR)
        self.assertEqual(self.send(GET), b"")

    def test_large_chunked_body(self) -> None:
        """A body of unknown length is refused when it grows too large."""
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(self.send(head + b"a\r\n0123456789\r\n"), b"")
        answer = self.send(b"1\r\na\r\n0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "))
        self.assertEqual(answer.count(b"HTTP/1.1"), 1)
        self.assertEqual(self.page.bodies, [])

    def test_body_deadline(self) -> None:
        """A body that stands still is answered 408 after 30 seconds."""
        self.send(post(b"0123456789")[:-5])
        self.clock.advance(29)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(2)
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 408 "))
        self.assertIs(self.record.reason, Reason.DEADLINE)

    def test_body_rate(self) -> None:
        """Each KiB of a body buys a second more than 30, and no less does."""
        self.site.max_body = 1 << 20
        self.send(post(b"x" * 100_000)[:-50_000])
        self.clock.advance(31)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(50)
        self.assertTrue(self.transport.disconnecting)

    def test_not_http(self) -> None:
        """What is no HTTP is answered 400 once, and the record says so."""
        answer = self.send(b"hello\r\n\r\nhello\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "))
        self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
        self.assertIs(self.record.reason, Reason.PROTOCOL_ERROR)

    def test_long_line(self) -> None:
        """A header line of more than 16 KiB is answered 431, in one piece and in many."""
        long = b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000
        self.assertTrue(self.send(long).startswith(b"HTTP/1.1 431 "))
        self.lose()
        self.connect()
        for start in range(0, len(long), 1000):
            self.channel.dataReceived(long[start : start + 1000])
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 431 "))

    def test_lengths(self) -> None:
        """A length that no file has, or that is none, is answered 400 before it is taken for a number."""
        for length in (b"9" * 5000, b"9" * 20, b"-1", b"+5", b"5, 5", b"0x5", b"", b"\xb2"):
            answer = self.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\nhello")
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), length)
            self.lose()
            self.connect()
        self.assertEqual(self.page.bodies, [])
        self.assertTrue(self.send(post(b"")[:-5] + b" " + b"9" * 19 + b"\r\n\r\n").startswith(b"HTTP/1.1 4"))

    def test_transfer_encodings(self) -> None:
        """A body is chunked, in HTTP/1.1, or has a length: what stands behind any other is no request."""
        length, chunked = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
        for first, headers, status in (
            (b"HTTP/1.1", b"Transfer-Encoding: identity\r\n", 501),
            (b"HTTP/1.1", b"transfer-encoding:gzip, chunked\r\n", 501),
            (b"HTTP/1.1", b"Transfer-Encoding: identity\r\n" + length, 501),
            (b"HTTP/1.1", b"Transfer-Encoding:\r\n" + length, 501),
            (b"HTTP/1.1", b"Transfer-Encoding:\r\n identity\r\n", 501),
            (b"HTTP/1.1", chunked + chunked, 400),
            (b"HTTP/1.1", chunked + length, 400),
            (b"HTTP/1.1", length + chunked, 400),
            (b"HTTP/1.1", length + length, 400),
            (b"HTTP/1.0", chunked, 400),
        ):
            answer = self.send(b"POST / " + first + b"\r\nHost: x\r\n" + headers + b"\r\n" + GET)
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), (headers, answer))
            self.assertEqual(answer.count(b"HTTP/1.1 "), 1, headers)
            self.lose()
            self.connect()
        self.assertEqual(self.page.bodies, [])

    def test_many_lines(self) -> None:
        """Headers of more than 16 KiB together are refused."""
        self.assertTrue(
            self.send(b"GET / HTTP/1.1\r\n" + b"X: 0123456789\r\n" * 2000).startswith(b"HTTP/1.1 400")
        )

    def test_closed_behind_the_answer(self) -> None:
        """A client that wants its connection closed gets its answer first, and the record says who closed."""
        answer = self.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertIn(b"page", answer)
        self.assertTrue(self.transport.disconnecting)
        self.assertIs(self.record.reason, Reason.SERVICE_CLOSED)

    def test_without_a_record(self) -> None:
        """A connection that came through no listener needs no record."""
        self.channel.connection = None
        self.assertTrue(self.send(b"nonsense\r\n").startswith(b"HTTP/1.1 400"))

    def test_drain_idle(self) -> None:
        """When the last port closes, a connection without a request is closed."""
        self.site.doStop()
        self.assertTrue(self.transport.disconnecting)

    def test_drain_answering(self) -> None:
        """When the last port closes, a request that is being answered gets its answer, and is the last."""
        self.page.wait = True
        self.send(GET)
        self.site.doStop()
        self.assertFalse(self.transport.disconnecting)
        self.page.waiting.pop().finish()
        self.assertTrue(self.transport.disconnecting)

    def test_drain_headers(self) -> None:
        """When the last port closes, a request whose headers have begun is answered and is the last."""
        self.send(GET[:5])
        self.site.doStop()
        answer = self.send(GET[5:])
        self.assertIn(b"Connection: close", answer)
        self.assertTrue(self.transport.disconnecting)

    def test_tls_speaks_http_1(self) -> None:
        """Over TLS only HTTP/1.1 is offered."""
        self.assertEqual(self.site.acceptableProtocols(), [b"http/1.1"])

    def test_refused_once(self) -> None:
        """A request is refused once, whoever refuses it again."""
        self.channel.refuse(403, "not here")
        self.channel.refuse(404, "nothing here")
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 "), 1)
        self.assertEqual(self.record.detail, "403: not here")

    def test_drain_body(self) -> None:
        """When the last port closes, a request whose body comes is answered, and is the last."""
        self.send(post(b"0123456789")[:-5])
        self.site.doStop()
        self.assertIn(b"taken", self.send(b"56789"))
        self.assertTrue(self.transport.disconnecting)

    def test_repr(self) -> None:
        """A site says how many connections it has."""
        self.assertIn("channels=1", repr(self.site))
