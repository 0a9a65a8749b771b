"""An admission before a service that keeps what it is told."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    ISSLTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer

from tcpsuite.core.connections import Ledger
from tcpsuite.core.limits import BANDWIDTHS, Ceiling, Limits, ResourceLimiter
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.admission import Admission
from tcpsuite.net.socket_options import HIGH_WATER
from tcpsuite.net.stream import Counting
from tcpsuite.net.throttling import Throttling

TWO = Limits(2)


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


class AdmissionCase(SynchronousTestCase):
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

    def admission(self, limit=10, dry_run=(), refusal=None, limits=TWO):
        limiter = ResourceLimiter(limits, exempt_loopback=False, dry_run=dry_run)
        throttled = any(getattr(limits, each) for each in BANDWIDTHS)
        return Admission(
            listener="front",
            service_name="test",
            service=self.factory,
            limiter=limiter,
            ceiling=Ceiling(limit),
            pause=self.pauses.append,
            ledger=self.ledger,
            ended=self.ended.append,
            ids=map(str, count(1)),
            clock=self.clock,
            refusal=refusal,
            throttling=Throttling(limiter, self.clock, HIGH_WATER) if throttled else None,
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
