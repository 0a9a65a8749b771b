"""How an HTTP connection ends whose client has stopped sending, and is still reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tcpsuite.core.connections import Reason
from tcpsuite.net.http import PIPELINED, Phase
from tcpsuite.net.http_site import BoundedSite
from tests.net.test_http import GET, BoundedCase, Page, post

if TYPE_CHECKING:
    from twisted.python.failure import Failure

PATIENCE = 20.0
"""Seconds until a server that does not close has failed the test."""


class HalfClosedTests(BoundedCase):
    def test_interface(self) -> None:
        """The transport is told that it may be half-closed."""
        verifyObject(IHalfCloseableProtocol, self.channel)

    def test_answered(self) -> None:
        """What is being answered is answered, and what was asked behind it; then it is closed."""
        self.page.wait = True
        self.send(GET + GET)
        self.channel.readConnectionLost()
        for count in (1, 2):
            self.assertFalse(self.transport.disconnecting)
            self.page.waiting.pop().finish()
            self.assertEqual(self.transport.value().count(b"HTTP/1.1 200 "), count)
        self.assertTrue(self.transport.disconnecting)

    def test_answered_with_a_tail(self) -> None:
        """Part of a request behind the last whole one gets no answer, and takes none away."""
        for tail in (b"\r\n", b"GET", GET[:-2], post(b"12345")[:-2]):
            self.page.wait = True
            self.send(GET + tail)
            self.channel.readConnectionLost()
            self.page.waiting.pop().finish()
            self.assertEqual(self.transport.value().count(b"HTTP/1.1 "), 1)
            self.assertTrue(self.transport.disconnecting, tail)
            self.lose()
            self.connect()

    def test_tail_answered_at_once(self) -> None:
        """Requests that waited behind a slow one, and are answered at once, are all answered."""
        self.page.wait = True
        self.send(GET + GET + GET)
        self.channel.readConnectionLost()
        self.page.wait = False
        self.page.waiting.pop().finish()
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200 "), 3)
        self.assertTrue(self.transport.disconnecting)

    def test_between_turns(self) -> None:
        """Requests that wait for their turn are answered."""
        self.send(GET * 3 * PIPELINED)
        self.channel.readConnectionLost()
        self.assertFalse(self.transport.disconnecting)
        self.clock.pump([0, 0, 0])
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200 "), 3 * PIPELINED)
        self.assertTrue(self.transport.disconnecting)

    def test_between_requests(self) -> None:
        """Without a request it is closed, with the time of an idle connection to take what was answered."""
        self.send(GET)
        self.channel.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.record.reason)
        self.clock.advance(59)
        self.assertFalse(self.transport.disconnected)

    def test_in_a_request(self) -> None:
        """In the middle of a request it is cut: nobody answers a half."""
        for part in (GET[:5], post(b"12345")[:-2]):
            self.assertEqual(self.send(part), b"")
            self.channel.readConnectionLost()
            self.assertTrue(self.transport.disconnecting, part)
            self.assertEqual(self.transport.value(), b"")
            self.lose()
            self.connect()
        self.assertEqual(self.page.bodies, [])

    def test_refused(self) -> None:
        """Who was refused, and has read it, is gone."""
        self.send(b"nonsense\r\n")
        self.channel.readConnectionLost()
        self.assertIs(self.channel.phase, Phase.CLOSING)
        self.assertIs(self.record.reason, Reason.PROTOCOL_ERROR)
        self.channel.writeConnectionLost()


@implementer(IHalfCloseableProtocol)
class HalfClosing(Protocol):
    """Sends, closes its side, and reads to the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.got = b""
        self.ended: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self.data)
        transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def readConnectionLost(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.got)


@pytest.mark.parametrize("data", [GET, GET + GET, post(b"12345"), GET + b"\r\n"])
@pytest_twisted.ensureDeferred
async def test_half_closed_socket(data: bytes) -> None:
    """A client that closes its side of a real connection reads the whole answer."""
    from twisted.internet import reactor

    site = BoundedSite(Page(), reactor=reactor)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    try:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        client: Any = await connectProtocol(endpoint, HalfClosing(data))
        answer = await client.ended.addTimeout(PATIENCE, reactor)
        assert answer.count(b"HTTP/1.1 200 OK") == data.count(b"HTTP/1.1")
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_gone_while_it_is_answered() -> None:
    """A client that is really gone is noticed when it is answered."""
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    page = Page()
    page.wait = True
    site = BoundedSite(page, reactor=reactor)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    try:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        client: Any = await connectProtocol(endpoint, Protocol())
        client.transport.write(GET)
        while not page.waiting:
            await deferLater(reactor, 0.01)
        left = page.waiting[0].notifyFinish()
        lost: Deferred[None] = Deferred()
        left.addErrback(lambda _: lost.callback(None))
        client.transport.loseConnection()
        while not lost.called:
            page.waiting[0].write(b"x" * 1000)
            await deferLater(reactor, 0.01)
        assert not site.channels
    finally:
        await port.stopListening()
