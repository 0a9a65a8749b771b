"""What is decided about an HTTP request when its headers are there."""

from __future__ import annotations

import pytest_twisted
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net.http_request import BoundedRequest
from tcpsuite.net.http_site import BoundedSite
from tests.net.test_http import GET, Page, post
from tests.support.exchange import exchange


class Picky(BoundedRequest):
    """Takes large bodies at one place, and refuses another."""

    def headers_received(self) -> None:
        if self.uri == b"/large":
            self.max_body = 1000
        elif self.method == b"GET":
            self.channel.refuse(403, "not here")


class HeadersReceivedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = Page()
        clock = Clock()
        self.site = BoundedSite(self.page, reactor=clock, max_body=10, request=Picky)
        self.transport = StringTransport()
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        self.addCleanup(self.channel.connectionLost, Failure(ConnectionDone()))

    def test_larger_body(self) -> None:
        """A request may raise its own limit when its headers are there."""
        self.channel.dataReceived(post(b"x" * 500).replace(b"POST / ", b"POST /large "))
        self.assertEqual(self.page.bodies, [b"x" * 500])

    def test_refused(self) -> None:
        """A request without a body can be refused at its headers, and is not answered a second time."""
        self.channel.dataReceived(GET)
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 403 "))
        self.assertEqual(self.transport.value().count(b"HTTP/1.1"), 1)


@pytest_twisted.ensureDeferred
async def test_refusal_arrives() -> None:
    """A client that goes on sending a large body reads the refusal, not a reset."""
    from twisted.internet import reactor

    site = BoundedSite(Page(), reactor=reactor, max_body=10)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    try:
        answer = await exchange(f"127.0.0.1:{port.getHost().port}", post(b"x" * 3_000_000))
        assert answer.startswith(b"HTTP/1.1 413 ")
    finally:
        await port.stopListening()
