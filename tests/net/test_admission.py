"""Admission: limits, the ceiling, records, and how each connection ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocolNegotiationFactory,
)
from twisted.internet.protocol import Protocol
from zope.interface import directlyProvides, implementer

from tcpsuite.core.connections import Counted, Reason
from tcpsuite.core.limits import Ceiling
from tcpsuite.net.refusing import Refusal
from tests.support.admissions import AdmissionCase, Service


class AdmissionTests(AdmissionCase):
    """A listener of one service, `limit` connections at once, two of each address."""

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
