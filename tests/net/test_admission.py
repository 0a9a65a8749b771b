"""Admission: limits, the ceiling, records, idle connections, and how each connection ends."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocolNegotiationFactory,
    ISSLTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer

from tcpsuite.core.connections import Counted, Ledger, Reason
from tcpsuite.core.limits import Ceiling, Limits, ResourceLimiter
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.admission import Admission
from tcpsuite.net.refusing import Refusal
from tcpsuite.net.stream import Counting


class CountingTransport(Counting, StringTransport):
    """A transport of strings with counters to set, that says how it was closed."""

    aborted = False

    def unregisterProducer(self):
        """As on a socket, where none may have been registered."""
        self.producer = None

    def abortConnection(self):
        self.aborted = True


@implementer(IRecorded, IHalfCloseableProtocol)
class Service(Protocol):
    """Keeps what it is told."""

    connection: Any = None

    def __init__(self) -> None:
        self.told: list[Any] = []

    def dataReceived(self, data):
        self.told.append(data)

    def readConnectionLost(self):
        self.told.append("fin")

    def writeConnectionLost(self):
        self.told.append("written")

    def connectionLost(self, reason=connectionDone):
        self.told.append(reason.type)


class AdmissionTests(SynchronousTestCase):
    """A listener of one service, `limit` connections at once, two of each address."""

    def setUp(self):
        self.clock = Clock()
        self.ledger: Any = Ledger()
        self.ended = []
        self.pauses = []
        self.services = []
        factory: Any = Factory()
        self.factory = factory
        self.factory.buildProtocol = self.serve
        self.factory.noisy = False

    def serve(self, address):
        self.services.append(Service())
        return self.services[-1]

    def admission(self, limit=10, dry_run=(), refusal=None):
        return Admission(
            listener="front",
            service_name="test",
            service=self.factory,
            limiter=ResourceLimiter(Limits(2), exempt_loopback=False, dry_run=dry_run),
            ceiling=Ceiling(limit),
            pause=self.pauses.append,
            ledger=self.ledger,
            ended=self.ended.append,
            ids=map(str, count(1)),
            clock=self.clock,
            refusal=refusal,
        )

    def connect(self, admission, host="192.0.2.1", port=4711, secure=False):
        """What a port does with an accepted connection; gives its protocol and transport."""
        protocol = admission.buildProtocol(IPv4Address("TCP", host, port))
        transport = CountingTransport()
        if secure:
            directlyProvides(transport, ISSLTransport)
        protocol.makeConnection(transport)
        return protocol, transport

    def lose(self, protocol, error):
        protocol.connectionLost(Failure(error))

    def test_opens_a_record(self):
        """An admitted connection has a record that says who it is, and the service gets to see it."""
        _, transport = self.connect(self.admission())
        transport.bytes_in, transport.bytes_out = 3, 4
        record = self.ledger.get("1")
        self.assertEqual((record.peer, record.host), ("192.0.2.1:4711", "192.0.2.1"))
        self.assertEqual((record.listener, record.service), ("front", "test"))
        self.assertEqual((record.bytes_in, record.bytes_out), (3, 4))
        self.assertFalse(record.secure)
        self.assertIs(self.services[0].connection, record)

    def test_names_of_protocols(self):
        """TLS is told the names of the service's protocols, if they have any."""
        self.assertFalse(IProtocolNegotiationFactory.providedBy(self.admission()))
        directlyProvides(self.factory, IProtocolNegotiationFactory)
        self.factory.acceptableProtocols = lambda: [b"http/1.1"]
        admission: Any = self.admission()
        self.assertTrue(IProtocolNegotiationFactory.providedBy(admission))
        self.assertEqual(admission.acceptableProtocols(), [b"http/1.1"])

    def test_a_unix_peer_has_no_address(self):
        """A UNIX peer is named so, and counts as the host without a name."""
        admission = self.admission()
        protocol = admission.buildProtocol(UNIXAddress(None))
        self.assertEqual((protocol.record.peer, protocol.record.host), ("unix", ""))

    def test_hands_all_to_the_service(self):
        """Bytes and half-closes reach the service without a step between."""
        protocol, _ = self.connect(self.admission())
        self.assertEqual(protocol.dataReceived, self.services[0].dataReceived)
        IHalfCloseableProtocol(protocol).readConnectionLost()
        protocol.writeConnectionLost()
        self.assertEqual(self.services[0].told, ["fin", "written"])

    def test_hands_the_end_of_a_handshake_to_the_service(self):
        """A service that listens for the end of TLS's handshake is told of it, another is not said to."""
        protocol, _ = self.connect(self.admission())
        self.assertFalse(IHandshakeListener.providedBy(protocol))

        @implementer(IHandshakeListener)
        class Listening(Service):
            def handshakeCompleted(self):
                self.told.append("shaken")

        service = Listening()
        self.factory.buildProtocol = lambda _: service
        protocol, _ = self.connect(self.admission(), port=4712)
        IHandshakeListener(protocol).handshakeCompleted()
        self.assertEqual(service.told, ["shaken"])

    def test_a_handshake_has_its_time(self):
        """A client that has not shaken hands over TLS within ten seconds is reset, whatever it is served."""
        admission = self.admission()
        late, waiting = self.connect(admission, secure=True)
        done, served = self.connect(admission, secure=True)
        IHandshakeListener(done).handshakeCompleted()
        gone, _ = self.connect(admission, "192.0.2.2", secure=True)
        self.lose(gone, ConnectionLost())
        plain, _ = self.connect(admission, "192.0.2.2")
        self.assertFalse(IHandshakeListener.providedBy(plain))
        self.clock.advance(9.9)
        self.assertFalse(waiting.aborted)
        self.clock.advance(0.1)
        self.assertTrue(waiting.aborted)
        self.assertFalse(served.aborted)
        self.assertTrue(IHalfCloseableProtocol.providedBy(late))
        self.lose(late, ConnectionAborted())
        ended = self.ended[-1]
        self.assertEqual((ended.reason, ended.detail), (Reason.DEADLINE, "no TLS handshake within 10 s"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_handshake_waits_for_its_place(self):
        """Who is held at the ceiling is not read, and has its time from when there is a place."""
        admission = self.admission(limit=1)
        first, _ = self.connect(admission)
        held, transport = self.connect(admission, secure=True)
        self.clock.advance(60)
        self.lose(first, ConnectionDone())
        self.clock.advance(9)
        self.assertFalse(transport.aborted)
        self.clock.advance(1)
        self.assertTrue(transport.aborted)
        self.lose(held, ConnectionAborted())

    def test_a_service_without_half_close_is_not_said_to_honour_it(self):
        """The transport closes on a FIN when the service does not know half-closes."""
        self.factory.buildProtocol = lambda _: Protocol()
        protocol, _ = self.connect(self.admission())
        self.assertFalse(IHalfCloseableProtocol.providedBy(protocol))

    def test_the_end_is_recorded_with_its_reason(self):
        """A FIN, a reset, an abort and a fault of ours are told apart; the record keeps the final counts."""
        for error, reason in [
            (ConnectionDone(), Reason.CLIENT_CLOSED),
            (ConnectionLost(), Reason.CLIENT_RESET),
            (ConnectionAborted(), Reason.SERVICE_CLOSED),
            (ZeroDivisionError(), Reason.ERROR),
        ]:
            protocol, transport = self.connect(self.admission())
            transport.bytes_in = 7
            self.clock.advance(2)
            self.lose(protocol, error)
            record = self.ended[-1]
            self.assertEqual((record.reason, record.duration(99)), (reason, 2))
            self.assertEqual(record.traffic, Counted(7, 0))
            self.assertEqual(self.services[-1].told, [type(error)])
        self.assertEqual(len(self.ledger), 0)

    def test_the_word_of_the_service_counts(self):
        """Why a connection ended is what the service said before, not what the socket said then."""
        protocol, _ = self.connect(self.admission())
        self.services[0].connection.because(Reason.SERVICE_CLOSED, "bye")
        self.lose(protocol, ConnectionLost())
        self.assertEqual((self.ended[0].reason, self.ended[0].detail), (Reason.SERVICE_CLOSED, "bye"))

    def test_a_limit_refuses(self):
        """One connection too many is closed at once, counted and reported; a place left is free again."""
        admission = self.admission()
        first, _ = self.connect(admission)
        self.connect(admission)
        self.assertIsNone(admission.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)))
        self.assertEqual(self.ended[0].reason, Reason.LIMITED)
        self.assertIn("2 connections open", self.ended[0].detail)
        self.assertEqual(self.ledger.totals("front").refused, {"connections_per_ip": 1})
        self.connect(admission, "192.0.2.2")
        self.lose(first, ConnectionDone())
        self.connect(admission)
        self.assertEqual(len(admission), 3)

    def test_a_limit_that_is_tried(self):
        """What a limit that is only tried would have refused is served, and counted as that."""
        admission = self.admission(dry_run=["connections_per_ip"])
        connected = [self.connect(admission)[0] for _ in range(3)]
        totals = self.ledger.totals("front")
        self.assertEqual((totals.refused, totals.would_refuse), ({}, {"connections_per_ip": 1}))
        self.assertEqual([each.record.limited_as for each in connected], ["192.0.2.1"] * 3)

    def test_refused_as_configured(self):
        """Who is refused gets what the listener has for that, and is no open connection; those that are held
        go when the last port closes.
        """
        refusal = Refusal("tarpit", self.factory, self.clock, Ceiling(1), 10.0)
        admission = self.admission(refusal=refusal)
        admission.doStart()
        for _ in range(3):
            _, transport = self.connect(admission)
        self.assertEqual((len(admission), len(refusal), transport.disconnected), (2, 1, False))
        admission.doStop()
        self.assertTrue(transport.aborted)

    def test_the_ceiling_rests_accepting(self):
        """At the ceiling accepting rests; it goes on when a connection has ended."""
        admission = self.admission(limit=1)
        first, _ = self.connect(admission)
        self.assertEqual(self.pauses[-1], True)
        self.lose(first, ConnectionDone())
        self.assertEqual(self.pauses[-1], False)

    def test_what_was_accepted_beyond_the_ceiling_waits(self):
        """A connection beyond the ceiling is neither refused nor read; it is served when there is a place."""
        admission = self.admission(limit=1)
        first, _ = self.connect(admission)
        _, second = self.connect(admission, "192.0.2.2")
        self.assertEqual((len(self.services), second.producerState), (1, "paused"))
        self.lose(first, ConnectionDone())
        self.assertEqual((len(self.services), second.producerState), (2, "producing"))
        self.assertEqual(self.pauses[-1], True)

    def test_one_that_leaves_while_it_waits_takes_no_place(self):
        """A held connection that goes away is gone, and the one being served keeps its place."""
        admission = self.admission(limit=1)
        first, _ = self.connect(admission)
        held, _ = self.connect(admission, "192.0.2.2")
        self.lose(held, ConnectionLost())
        self.assertEqual((len(admission), len(self.services)), (1, 1))
        self.lose(first, ConnectionDone())
        self.connect(admission)
        self.assertEqual(len(self.services), 2)

    def test_a_service_that_refuses_closes(self):
        """A factory that gives no protocol closes the connection."""
        self.factory.buildProtocol = lambda _: None
        protocol, transport = self.connect(self.admission())
        self.assertTrue(transport.disconnecting)
        self.lose(protocol, ConnectionDone())
        self.assertEqual(self.ended[0].reason, Reason.SERVICE_CLOSED)

    def test_a_service_that_fails_is_our_fault(self):
        """A factory that raises is logged with its traceback, and the connection reset and counted."""
        self.factory.buildProtocol = lambda _: 1 // 0
        protocol, transport = self.connect(self.admission())
        self.assertTrue(transport.aborted)
        self.lose(protocol, ConnectionAborted())
        self.assertEqual(self.ended[0].reason, Reason.ERROR)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_idle_connections_are_closed_and_then_cut(self):
        """A connection on which nothing moves is closed; if it is still there at the next look, it is cut."""
        admission = self.admission()
        _, quiet = self.connect(admission)
        _, busy = self.connect(admission)
        for _ in range(10):
            self.clock.advance(1)
            busy.bytes_out += 1
            admission.idle(10)
        self.assertEqual((quiet.disconnecting, quiet.aborted), (True, False))
        admission.idle(10)
        self.assertTrue(quiet.aborted)
        self.assertFalse(busy.disconnecting)
        self.assertEqual(self.ledger.get("1").reason, Reason.IDLE)

    def test_who_takes_nothing_is_cut(self):
        """A peer that has taken nothing of what waits for it is cut, a quarter of its time late at most; who
        takes a little is not.
        """
        admission = self.admission()
        _, stuck = self.connect(admission)
        _, slow = self.connect(admission)
        queued = 1000
        stuck.unsent = lambda: 1000
        slow.unsent = lambda: queued
        for second in range(1, 16):
            self.assertEqual(stuck.aborted, second > 13, second)
            self.clock.advance(1)
            queued -= 1
            admission.idle(10)
        self.assertFalse(stuck.disconnecting)
        self.assertFalse(slow.aborted or slow.disconnecting)
        self.assertEqual(self.ledger.get("1").reason, Reason.IDLE)

    def test_who_takes_nothing_of_what_is_sent_is_cut(self):
        """A client of whom nothing arrives is cut when that time is over; one who takes a little is not, nor
        one who waits for a place, or was sent nothing.
        """
        admission = self.admission(limit=3)
        stuck, slow, quiet, held = (self.connect(admission, f"192.0.2.{host}")[1] for host in range(1, 5))
        for transport in (stuck, slow, held):
            transport.bytes_out = 1000
        left = 1000
        stuck.in_flight = held.in_flight = lambda: 1000
        slow.in_flight = lambda: left
        for _ in range(11):
            self.assertFalse(stuck.aborted)
            admission.untaken(10)
            self.clock.advance(1)
            left -= 1
        self.assertTrue(stuck.aborted)
        self.assertFalse(slow.aborted or quiet.aborted or held.aborted)
        record = self.ledger.get("1")
        self.assertIs(record.reason, Reason.WRITE_TIMEOUT)
        self.assertEqual(record.detail, "took nothing for 10 s of what was sent to it")

    def test_a_connection_that_does_not_end_is_cut_whatever_was_said(self):
        """A service that has said goodbye to a peer that takes nothing does not hold it for ever."""
        admission = self.admission()
        _, transport = self.connect(admission)
        record = self.services[0].connection
        record.because(Reason.SERVICE_CLOSED, "bye")
        transport.loseConnection()
        self.clock.advance(10)
        admission.idle(10)
        self.assertFalse(transport.aborted)
        admission.idle(10)
        self.assertTrue(transport.aborted)
        self.assertEqual(record.reason, Reason.SERVICE_CLOSED)

    def test_closing_does_not_wait_for_a_producer(self):
        """An idle connection is closed without its producer, which would be resumed and go on."""
        admission = self.admission()
        protocol, transport = self.connect(admission)
        transport.registerProducer(protocol, True)
        self.clock.advance(10)
        admission.idle(10)
        self.assertIsNone(transport.producer)

    def test_one_that_waits_for_a_place_is_not_idle(self):
        """It is we who do not read it; its idle time counts from when it is served."""
        admission = self.admission(limit=1)
        first, _ = self.connect(admission)
        _, waiting = self.connect(admission, "192.0.2.2")
        self.clock.advance(60)
        admission.idle(10)
        self.assertFalse(waiting.disconnecting)
        self.lose(first, ConnectionDone())
        admission.idle(10)
        self.assertFalse(waiting.disconnecting)
        self.clock.advance(10)
        admission.idle(10)
        self.assertTrue(waiting.disconnecting)

    def test_a_service_that_fails_at_its_start_harms_no_other(self):
        """When a held connection's service raises, the one that made room for it is recorded all the same."""
        admission = self.admission(limit=1)
        first, _ = self.connect(admission)

        class Broken(Protocol):
            def connectionMade(self):
                raise ZeroDivisionError

        self.factory.buildProtocol = lambda _: Broken()
        held, transport = self.connect(admission, "192.0.2.2")
        self.lose(first, ConnectionDone())
        self.assertEqual(self.ended[0].reason, Reason.CLIENT_CLOSED)
        self.assertTrue(transport.aborted)
        self.lose(held, ConnectionAborted())
        self.assertEqual(self.ended[1].reason, Reason.ERROR)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_connection_that_nobody_counts_is_never_idle(self):
        """Without counters nothing is known of its traffic, so it is not taken for idle."""
        admission = self.admission()
        protocol = admission.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        transport = StringTransport()
        protocol.makeConnection(transport)
        self.clock.advance(1000)
        admission.idle(10)
        self.assertFalse(transport.disconnecting)

    def test_says_when_it_is_empty(self):
        """Whoever waits for the last connection is told when it is gone, at once when there is none."""
        admission = self.admission()
        self.successResultOf(admission.when_empty())
        first, _ = self.connect(admission)
        second, transport = self.connect(admission)
        empty = admission.when_empty()
        self.lose(first, ConnectionDone())
        self.assertNoResult(empty)
        admission.cut(Reason.DRAINED, "time is up")
        self.assertTrue(transport.aborted)
        self.lose(second, ConnectionAborted())
        self.successResultOf(empty)
        self.assertEqual(self.ended[-1].reason, Reason.DRAINED)
        self.assertEqual(repr(admission), "<Admission front open=0 held=0>")
