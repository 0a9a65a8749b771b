"""The base of line services: one request a line, one answer each, in order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from tcpsuite.core.connections import Reason
from tcpsuite.services.lines import LINGER, MAX_AHEAD, MAX_ERRORS
from tcpsuite.services.patience import READ_TIMEOUT
from tests.support.toy import LineCase, TCPTransport


class AnswerTests(LineCase):
    def test_ok(self) -> None:
        """An answer is OK and its text, or OK alone; verbs are verbs in any case."""
        self.assertEqual(self.say(b"SAY hello  there \n"), "OK hello  there \n")
        self.assertEqual(self.say(b"nothing\r\n"), "OK\n")
        self.assertEqual(self.say("Say naïve\n".encode()), "OK naïve\n")

    def test_arguments(self) -> None:
        """What may be left out may be; too few, too many or empty ones are answered with the usage."""
        self.assertEqual(self.say(b"PAIR a\n"), "OK - a\n")
        self.assertEqual(self.say(b"PAIR a b\n"), "OK b a\n")
        for line in (b"PAIR", b"PAIR ", b"PAIR a b c", b"PAIR a  b", b"PAIR  a", b"PAIR a "):
            self.assertEqual(self.say(line + b"\n"), "ERR usage PAIR first [second]\n", line)
        self.assertEqual(self.say(b"NOTHING x\n"), "ERR usage NOTHING\n")
        self.assertEqual(self.say(b"SAY\n"), "ERR usage SAY text\n")

    def test_unknown(self) -> None:
        """An unknown verb is answered with those that there are."""
        answer = self.say(b"BOGUS 1 2\n")
        self.assertTrue(answer.startswith("ERR unknown "))
        self.assertIn("SAY PAIR NOTHING", answer)
        self.assertTrue(self.say(b"\n").startswith("ERR unknown "))
        self.assertFalse(self.transport.disconnecting)

    def test_unreadable(self) -> None:
        """A line that cannot be read is an error, and the next one is read."""
        self.assertTrue(self.say(b"SAY \xff\nSAY 1\n").startswith("ERR not-utf8 "))
        self.assertEqual(self.say(b"SAY " + b"x" * 20_000)[:13], "ERR too-long ")
        self.assertEqual(self.say(b"x" * 20_000 + b"\nSAY 2\n"), "OK 2\n")

    def test_faults(self) -> None:
        """A remote fault is an error; one of ours too, with a traceback in the log.  What is wrong with a
        store is not told to strangers.
        """
        self.assertEqual(self.say(b"FAIL remote\n"), "ERR failed no answer\n")
        self.assertEqual(self.say(b"FAIL store\n"), "ERR store the store failed, try again\n")
        self.assertEqual(self.say(b"FAIL own\n"), "ERR internal the server failed; its log says why\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_twenty_errors(self) -> None:
        """Twenty errors in a row close the connection; an answer between them starts again."""
        self.assertEqual(self.say(b"X\n" * (MAX_ERRORS - 1) + b"SAY 1\n").count("ERR"), MAX_ERRORS - 1)
        self.say(b"X\n" * (MAX_ERRORS - 1))
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.say(b"X\nSAY 1\n").count("\n"), 1)
        self.assertTrue(self.transport.disconnecting)
        self.assertIs(self.record.reason, Reason.PROTOCOL_ERROR)
        self.assertEqual(self.say(b"SAY 1\n"), "")

    def test_faults_of_others(self) -> None:
        """However often what a client needs is away, that is no error of its own."""
        self.say(b"FAIL store\n" * MAX_ERRORS + b"FAIL remote\n" * MAX_ERRORS)
        self.assertEqual(self.say(b"SAY 1\n"), "OK 1\n")

    def test_http(self) -> None:
        """The request line of HTTP gets one error, and nothing that follows is looked at."""
        answer = self.say(b"POST / HTTP/1.1\r\nSAY 1\r\n")
        self.assertEqual(answer, "ERR http this is not an HTTP server\n")
        self.assertTrue(self.transport.disconnecting)

    def test_http_that_cannot_be_read(self) -> None:
        """A URL may be longer than a line, or no UTF-8: it is HTTP all the same, in one piece or in many."""
        for request in (
            b"POST /" + b"a" * 16_500 + b" HTTP/1.1\r\n",
            b"patch /" + b"a" * 100_000 + b" HTTP/1.1\r\n",
            b"GET /\xff HTTP/1.1\r\n",
            "GET /\u00a0 HTTP/1.1\r\n".encode(),
        ):
            for size in (len(request) + 20, 1000):
                self.lose()
                self.connect(StringTransport())
                stream = request + b"\r\nSAY 1\nNOTHING\n"
                answer = "".join(
                    self.say(stream[start : start + size]) for start in range(0, len(stream), size)
                )
                self.assertEqual(answer, "ERR http this is not an HTTP server\n", request[:10])
                self.assertTrue(self.transport.disconnecting)
                self.assertIs(self.record.reason, Reason.PROTOCOL_ERROR)

    def test_http_by_its_header(self) -> None:
        """Whatever the method is called, the Host header gives HTTP away."""
        answer = self.say(b"FETCH / HTTP/1.1\r\nhost: 127.0.0.1:7090\r\n\r\nSAY 1\n")
        first, second, rest = answer.split("\n")
        self.assertTrue(first.startswith("ERR unknown "))
        self.assertEqual((second, rest), ("ERR http this is not an HTTP server", ""))
        self.assertTrue(self.transport.disconnecting)

    def test_quit(self) -> None:
        """A command may say goodbye; what stands behind it is dropped."""
        self.assertEqual(self.say(b"QUIT\nSAY 1\n"), "OK\n")
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.assertIs(self.record.reason, Reason.SERVICE_CLOSED)


STREAM = b"SAY a\nTAKE 6\nSAY 1\nPAIR x\nTAKE 0\nWAY\nTAKE 3\nbadSAY b\nCOUNT\nSAY \xff\nSAY c\n"
ANSWERS = "OK a|OK 6|OK - x|OK 0|ERR unknown|ERR bad|OK b|OK|0|1|2|ERR not-utf8|OK c"


class PieceTests(LineCase):
    def assert_answers(self, answer: str) -> None:
        lines = answer.splitlines()
        for line, expected in zip(lines, ANSWERS.split("|"), strict=True):
            self.assertTrue(line.startswith(expected), (line, expected))

    def test_whole(self) -> None:
        """All requests in one piece are answered in order."""
        self.assert_answers(self.say(STREAM))

    def test_byte_by_byte(self) -> None:
        """Byte by byte, they are answered alike."""
        self.assert_answers("".join(self.say(bytes([byte])) for byte in STREAM))

    def test_tail(self) -> None:
        """The beginning of a further request changes nothing."""
        self.assert_answers(self.say(STREAM + b"SA"))
        self.assertEqual(self.say(b"Y d\n"), "OK d\n")

    @given(st.lists(st.integers(0, len(STREAM))))
    def test_any_pieces(self, cuts: list[int]) -> None:
        """Wherever they are cut, they are answered alike."""
        self.lose()
        self.connect(StringTransport())
        places = [0, *sorted(cuts), len(STREAM)]
        self.assert_answers("".join(self.say(STREAM[a:b]) for a, b in pairwise(places)))


class WaitTests(LineCase):
    def test_in_order(self) -> None:
        """A request that takes time holds those behind it."""
        self.assertEqual(self.say(b"WAIT\nSAY 2\n"), "")
        self.toy.waiting[0].callback("1")
        self.assertEqual(self.answer(), "OK 1\nOK 2\n")

    def test_reads_ahead(self) -> None:
        """While a request is answered the peer is read, up to a bound, and read again behind it."""
        self.say(b"WAIT\n")
        line = b"SAY " + b"1" * 123 + b"\n"
        self.say(line * (MAX_AHEAD // 128))
        self.assertEqual(self.transport.producerState, "producing")
        self.say(line)
        self.assertEqual(self.transport.producerState, "paused")
        self.toy.waiting[0].callback("0")
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(self.answer().count("1\n"), MAX_AHEAD // 128 + 1)

    def test_lost(self) -> None:
        """A connection that is lost cancels what is being answered."""
        self.say(b"WAIT\nSAY 1\n")
        self.lose(ConnectionLost())
        self.assertEqual(self.toy.cancelled, 1)
        self.assertEqual(self.answer(), "")

    def test_half_closed(self) -> None:
        """A peer that sends no more gets all its answers, and then the end."""
        self.say(b"WAIT\nSAY 2\nSAY")
        self.toy.readConnectionLost()
        self.assertFalse(self.transport.disconnecting)
        self.toy.waiting[0].callback("1")
        self.assertEqual(self.answer(), "OK 1\nOK 2\n")
        self.assertTrue(self.transport.disconnecting)
        self.assertIs(self.record.reason, Reason.CLIENT_CLOSED)

    def test_half_closed_at_rest(self) -> None:
        """A peer that has asked nothing and sends no more is done."""
        self.toy.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)


class PressureTests(LineCase):
    def test_peer_does_not_read(self) -> None:
        """While the peer does not read its answers, nothing more is read or answered."""
        self.toy.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.say(b"SAY 1\nSAY 2\n"), "")
        self.toy.resumeProducing()
        self.assertEqual(self.answer(), "OK 1\nOK 2\n")
        self.assertEqual(self.transport.producerState, "producing")

    def test_full_while_answering(self) -> None:
        """A request that is answered meanwhile is the last until there is room."""
        self.say(b"WAIT\nSAY 2\n")
        self.toy.pauseProducing()
        self.toy.waiting[0].callback("1")
        self.assertEqual(self.answer(), "OK 1\n")
        self.toy.resumeProducing()
        self.assertEqual(self.answer(), "OK 2\n")

    def test_stream(self) -> None:
        """A long answer comes as the peer takes it, and the next one behind it."""
        self.toy.blocks = 1000
        self.toy.dataReceived(b"COUNT\nSAY 1\n")
        producer: Any = self.transport.producer
        self.assertIsNot(producer, self.toy)
        producer.pauseProducing()
        self.assertEqual(self.answer(), "OK\n0\n")
        self.assertEqual(self.answer(), "")
        producer.resumeProducing()
        rest = self.answer()
        self.assertTrue(rest.endswith("\n999\nOK 1\n"))
        self.assertIs(self.transport.producer, self.toy)

    def test_stream_begun_when_full(self) -> None:
        """Room that was missing for the answers before a long one is not missed behind it."""
        self.toy.dataReceived(b"WAIT\nCOUNT\nSAY 1\n")
        self.toy.waiting[0].callback("0")
        self.assertTrue(self.answer().endswith("OK 1\n"))

    def test_lost_while_streaming(self) -> None:
        """A peer that leaves in the middle of a long answer leaves nothing behind."""
        self.toy.blocks = 1000
        self.toy.dataReceived(b"COUNT\n")
        producer: Any = self.transport.producer
        producer.stopProducing()
        self.lose(ConnectionLost())


class BodyTests(LineCase):
    def test_is_no_request(self) -> None:
        """What follows a request is its body, whatever it looks like."""
        self.assertEqual(self.say(b"TAKE 6\nSAY 1\nSAY 2\n"), "OK 6\nOK 2\n")
        self.assertEqual(self.toy.taken, [b"SAY 1\n"])

    def test_refused(self) -> None:
        """A refusal at the line ends the connection: the body is no requests."""
        for line in (b"TAKE x\n", b"TAKE\n", b"TAKE 1 2\n", b"take \xff\n", b"TAKE " + b"9" * 20_000):
            self.lose()
            self.connect(StringTransport())
            self.assertEqual(self.say(line + b"SAY 1\n").count("\n"), 1, line)
            self.assertTrue(self.transport.disconnecting)
            self.assertEqual(self.say(b"SAY 2\n"), "")
            self.assertIs(self.record.reason, Reason.PROTOCOL_ERROR)

    def test_refused_behind_it(self) -> None:
        """A refusal behind the last byte of the body leaves the connection as it is."""
        self.assertEqual(self.say(b"TAKE 3\nbadSAY 1\n"), "ERR bad this is bad\nOK 1\n")

    def test_cut(self) -> None:
        """A body that ends too early is refused, or told to nobody when nobody is there."""
        self.say(b"TAKE 6\nSAY")
        self.toy.readConnectionLost()
        self.assertEqual(self.answer(), "ERR cut the connection ended before the last byte\n")
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.connect(StringTransport())
        self.say(b"TAKE 6\nSAY")
        self.lose(ConnectionLost())
        self.assertEqual(self.toy.taken, [])

    def test_too_slow(self) -> None:
        """A body has 30 seconds, and one more for each KiB of it."""
        self.say(b"TAKE 1000000\n" + b"x" * 10 * 1024)
        self.clock.pump([1.0] * int(READ_TIMEOUT + 9))
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnected)
        self.assertIs(self.record.reason, Reason.DEADLINE)


class TimeTests(LineCase):
    def test_slow_line(self) -> None:
        """A line has 30 seconds from its first byte; further bytes renew nothing."""
        for _ in range(29):
            self.say(b"x")
            self.clock.advance(1)
        self.assertFalse(self.transport.disconnected)
        self.say(b"x")
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnected)
        self.assertIs(self.record.reason, Reason.DEADLINE)

    def test_second_line(self) -> None:
        """A line behind another has 30 seconds of its own, and a complete one none."""
        self.say(b"SA")
        self.clock.advance(20)
        self.say(b"Y 1\nSAY")
        self.clock.advance(20)
        self.assertEqual(self.say(b" 2\n"), "OK 2\n")
        self.clock.advance(1000)
        self.assertFalse(self.transport.disconnected)

    def test_not_while_answering(self) -> None:
        """What waits behind a request that takes time is not late."""
        self.say(b"WAIT\nSAY")
        self.clock.advance(1000)
        self.toy.waiting[0].callback("1")
        self.assertEqual(self.say(b" 2\n"), "OK 1\nOK 2\n")


class LingerTests(LineCase):
    """A reset must not overtake the last error."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connect(TCPTransport())

    def test_peer_leaves(self) -> None:
        """Over TCP an error that ends the connection closes our half, and the peer closes the other."""
        self.say(b"GET / HTTP/1.1\r\n")
        transport: Any = self.transport
        self.assertTrue(transport.half_closed)
        self.assertFalse(transport.disconnecting)
        self.toy.writeConnectionLost()
        self.assertEqual(self.say(b"SAY 1\n"), "")
        self.toy.readConnectionLost()
        self.assertTrue(transport.disconnecting)

    def test_peer_stays(self) -> None:
        """A peer that does not leave is left after some seconds."""
        self.say(b"GET / HTTP/1.1\r\n")
        self.toy.writeConnectionLost()
        self.clock.advance(LINGER)
        self.assertTrue(self.transport.disconnecting)

    def test_already_half_closed(self) -> None:
        """A peer that sends nothing more cannot cause a reset."""
        self.toy.dataReceived(b"WAIT\nTAKE x\n")
        self.toy.readConnectionLost()
        self.toy.waiting[0].callback("1")
        self.assertTrue(self.transport.disconnecting)

    def test_tls(self) -> None:
        """TLS cannot be half closed."""

        @implementer(ISSLTransport)
        class TLSTransport(TCPTransport):
            getPeerCertificate = None

        self.lose()
        self.connect(TLSTransport())
        self.say(b"GET / HTTP/1.1\r\n")
        self.assertTrue(self.transport.disconnecting)
