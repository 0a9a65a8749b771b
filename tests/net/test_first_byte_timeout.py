"""Clients who say nothing where the client has to begin."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from tcpsuite.core.connections import Connection, Ledger, Reason
from tcpsuite.core.deadlines import GRAIN
from tcpsuite.core.limits import Ceiling, ResourceLimiter
from tcpsuite.net.admission import Admission
from tcpsuite.net.stream import Counting


class Counted(Counting, StringTransport):
    """A transport of strings that counts, and says whether it was cut."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class FirstByteTests(SynchronousTestCase):
    """A listener whose clients have ten seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ended: list[Connection] = []

    def admission(self, seconds: float = 10.0, limit: int = 10) -> Admission:
        return Admission(
            listener="front",
            service_name="test",
            service=Factory.forProtocol(Protocol),
            limiter=ResourceLimiter(),
            ceiling=Ceiling(limit),
            pause=lambda wanted: None,
            ledger=Ledger(),
            ended=self.ended.append,
            ids=map(str, count(1)),
            clock=self.clock,
            first_byte_timeout=seconds,
        )

    def connect(self, admission: Admission, transport: Any) -> Protocol:
        protocol = admission.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4711))
        assert protocol is not None
        protocol.makeConnection(transport)
        return protocol

    def test_who_says_nothing_is_cut(self) -> None:
        """When the time is over, and not before; the record says why."""
        transport = Counted()
        protocol = self.connect(self.admission(), transport)
        self.clock.advance(9.9)
        self.assertFalse(transport.aborted)
        self.clock.advance(0.1 + GRAIN)
        self.assertTrue(transport.aborted)
        protocol.connectionLost(Failure(ConnectionAborted()))
        (record,) = self.ended
        self.assertEqual((record.reason, record.detail), (Reason.DEADLINE, "no byte within 10 s"))

    def test_a_single_byte_is_enough(self) -> None:
        """From then on it is the service that knows what may take how long."""
        transport = Counted()
        self.connect(self.admission(), transport)
        transport.bytes_in = 1
        self.clock.advance(60)
        self.assertFalse(transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_leaves_is_forgotten(self) -> None:
        """Nothing waits for one who has gone."""
        protocol = self.connect(self.admission(), Counted())
        protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_time_begins_when_one_is_served(self) -> None:
        """Who waits for a place is not read, and cannot be blamed."""
        admission = self.admission(limit=1)
        first, late = Counted(), Counted()
        holder = self.connect(admission, first)
        first.bytes_in = 1
        self.connect(admission, late)
        self.clock.advance(30)
        self.assertFalse(late.aborted)
        holder.connectionLost(Failure(ConnectionAborted()))
        self.clock.advance(9.9)
        self.assertFalse(late.aborted)
        self.clock.advance(0.1 + GRAIN)
        self.assertTrue(late.aborted)

    def test_off_and_unknown(self) -> None:
        """Without such a time nobody is waited for, nor on a transport that counts nothing; over TLS there is
        the handshake instead.
        """
        self.connect(self.admission(seconds=0.0), Counted())
        self.connect(self.admission(), StringTransport())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        transport = Counted()
        directlyProvides(transport, ISSLTransport)
        protocol: Any = self.connect(self.admission(), transport)
        protocol.handshakeCompleted()
        self.assertEqual(self.clock.getDelayedCalls(), [])
