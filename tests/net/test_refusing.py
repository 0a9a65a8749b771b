"""What becomes of connections that a limit refuses."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor as installed_reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer

from tcpsuite.core.deadlines import GRAIN
from tcpsuite.core.limits import Ceiling
from tcpsuite.errors import LocalError
from tcpsuite.interfaces import IRefusing, Verdict
from tcpsuite.net.refusing import LINGER, LOOK_INTERVAL, Refusal
from tests.support.gateways import reset, turn
from tests.support.toy import TCPTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress

reactor: Any = installed_reactor
VERDICT = Verdict(False, "connections_per_ip", "too many", key="192.0.2.1")


@implementer(IRefusing)
class Speaking(Factory):
    """The factory of a service that has words for who is refused."""

    def last_words(self, verdict):
        return f"sorry, {verdict.reason}\n".encode()


class RefusalTests(SynchronousTestCase):
    """Each way to refuse; two connections may be held."""

    def setUp(self):
        self.clock = Clock()
        self.held = Ceiling(2)

    def refusal(self, way, service=None):
        return Refusal(way, service or Factory(), self.clock, self.held, tarpit_time=10.0)

    def connect(self, refusal, transport=None):
        """What a port does with a connection that is refused."""
        protocol = refusal.of(VERDICT)
        transport = transport or TCPTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def lose(self, protocol):
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_close(self):
        """It is closed as soon as it is accepted."""
        self.assertIsNone(self.refusal("close").of(VERDICT))

    def test_reset(self):
        """It is reset."""
        _, transport = self.connect(self.refusal("reset"))
        self.assertTrue(transport.disconnected)

    def test_tarpit(self):
        """It is held unread and in silence, and then reset; its place is another's when it is gone."""
        refusal = self.refusal("tarpit")
        protocol, transport = self.connect(refusal)
        self.assertEqual((transport.producerState, transport.value()), ("paused", b""))
        self.assertEqual((repr(refusal), self.held.active), ("<Refusal tarpit held=1>", 1))
        self.clock.advance(9.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(transport.disconnected)
        self.lose(protocol)
        self.assertEqual((len(refusal), self.held.active), (0, 0))

    def test_a_full_tarpit(self):
        """When as many are held as may be, the next one is closed; who leaves makes room."""
        refusal = self.refusal("tarpit")
        first, _ = self.connect(refusal)
        self.connect(refusal)
        protocol, transport = self.connect(refusal)
        self.assertTrue(transport.disconnecting)
        self.lose(protocol)
        self.assertEqual(self.held.active, 2)
        self.lose(first)
        _, transport = self.connect(refusal)
        self.assertFalse(transport.disconnecting)
        refusal.cut()
        self.assertTrue(transport.disconnected)

    def test_gone_before(self):
        """Of one that leaves by itself no timer is left."""
        protocol, _ = self.connect(self.refusal("tarpit"))
        self.lose(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answer(self):
        """It is told why, and closed when it has closed: what it says meanwhile is not listened to."""
        protocol, transport = self.connect(self.refusal("answer", Speaking()))
        self.assertEqual(transport.value(), b"sorry, too many\n")
        self.assertTrue(transport.half_closed)
        self.assertFalse(transport.disconnecting)
        protocol.dataReceived(b"GET /\n")
        self.assertEqual(transport.producerState, "producing")
        closing = IHalfCloseableProtocol(protocol)
        closing.writeConnectionLost()
        closing.readConnectionLost()
        self.assertTrue(transport.disconnecting)
        self.lose(protocol)

    def test_an_answer_that_nobody_takes(self):
        """Who does not close has a moment, and is reset."""
        protocol, transport = self.connect(self.refusal("answer", Speaking()))
        self.clock.advance(LINGER + 0.1)
        self.assertTrue(transport.disconnected)
        self.lose(protocol)

    def test_an_answer_over_tls(self):
        """Words would want a handshake, which costs more than it is worth: it is closed."""
        transport: Any = TCPTransport()
        directlyProvides(transport, ISSLTransport)
        protocol, _ = self.connect(self.refusal("answer", Speaking()), transport)
        self.assertEqual((transport.value(), transport.disconnecting), (b"", True))
        self.lose(protocol)
        self.assertEqual(self.held.active, 0)

    def test_a_service_without_words(self):
        """One whose service has no words is closed."""
        self.assertIsNone(self.refusal("answer").of(VERDICT))

    def test_no_way(self):
        """There are no other ways."""
        self.assertRaises(LocalError, self.refusal, "scold")


class Tarpit(Factory):
    """The factory of a port that refuses everybody."""

    noisy = False

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal

    def buildProtocol(self, addr: IAddress) -> Protocol | None:  # type: ignore[override]
        """Somebody is refused."""
        return self._refusal.of(VERDICT)


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
@pytest_twisted.ensureDeferred
async def test_who_leaves_a_tarpit(leave: Callable[[socket.socket], object]) -> None:
    """Of who has left, in order or not, though with something unread, nothing is held within a second or so;
    who stays is held on.
    """
    clock = Clock()
    refusal = Refusal("tarpit", Factory(), clock, Ceiling(2), tarpit_time=3600.0)
    port = reactor.listenTCP(0, Tarpit(refusal), interface="127.0.0.1")
    clients = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(2)]
    while len(refusal) < 2:
        await turn()
    clients[0].sendall(b"unread")
    leave(clients[0])
    clock.advance(LOOK_INTERVAL + GRAIN)
    await turn()
    assert len(refusal) == 1
    clock.pump([LOOK_INTERVAL] * 5)
    await turn()
    assert len(refusal) == 1
    clients[1].close()
    clock.advance(LOOK_INTERVAL)
    await turn()
    assert (len(refusal), clock.getDelayedCalls()) == (0, [])
    await port.stopListening()
