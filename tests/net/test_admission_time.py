"""Admission: connections that take too long for something."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
)
from twisted.internet.testing import StringTransport

from tcpsuite.core.connections import Reason
from tcpsuite.core.limits import Limits
from tcpsuite.options import Size
from tests.support.admissions import AdmissionCase


class AdmissionTimeTests(AdmissionCase):
    """Whoever is idle, takes nothing, or does not end, is cut in time."""

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

    def test_closed_through_its_throttle(self):
        """One whose bandwidth is bounded is closed behind what waits for it, whoever would produce more."""
        admission = self.admission(limits=Limits(2, bandwidth_per_connection=Size(10_000)))
        admitted, transport = self.connect(admission)
        throttle = self.services[0].transport
        throttle.registerProducer(StringTransport(), True)
        throttle.write(b"x" * 1000)
        admitted.close(Reason.IDLE, "")
        self.assertFalse(transport.disconnecting)
        self.clock.pump([0.02] * 10)
        self.assertEqual((len(transport.value()), transport.disconnecting), (1000, True))

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

    def test_who_may_rest_is_not_cut(self):
        """A connection that may rest is neither ended for its silence nor cut for what its client leaves."""
        admission = self.admission()
        _, stuck = self.connect(admission)
        self.ledger.get("1").rests = lambda: True
        stuck.bytes_out = 1000
        stuck.in_flight = stuck.unsent = lambda: 1000
        for _ in range(30):
            admission.untaken(10)
            admission.idle(10)
            self.clock.advance(1)
        self.assertFalse(stuck.aborted or stuck.disconnecting)

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

    def test_a_connection_that_nobody_counts_is_never_idle(self):
        """Without counters nothing is known of its traffic, so it is not taken for idle."""
        admission = self.admission()
        protocol = admission.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        transport = StringTransport()
        protocol.makeConnection(transport)
        self.clock.advance(1000)
        admission.idle(10)
        self.assertFalse(transport.disconnecting)
