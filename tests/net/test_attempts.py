"""Attempts to connect over TLS, which tests/net/test_relay_tls.py has on real sockets, and to prepare."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.errors import Closed, ConnectFailed
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.testing import endpoints
from tcpsuite.testing.endpoints import ScriptedEndpoint, ScriptedTransport
from tcpsuite.testing.takers import Taker


class Encrypted(ScriptedTransport):
    """On which TLS is spoken."""

    def __init__(self):
        super().__init__()
        directlyProvides(self, ISSLTransport)

    def shake_hands(self):
        """TLS is done with that."""
        IHandshakeListener(self.protocol).handshakeCompleted()


class HandshakeTests(SynchronousTestCase):
    """A pool to a server that speaks TLS."""

    def setUp(self):
        self.patch(endpoints, "ScriptedTransport", Encrypted)
        self.clock = Clock()
        self.endpoint = ScriptedEndpoint()
        self.pool = self.make("on_demand")

    def tearDown(self):
        closing = self.pool.close()
        self.clock.advance(0)
        self.endpoint.settle()
        self.successResultOf(closing)
        self.assertEqual((self.endpoint.open, self.clock.getDelayedCalls()), (0, []))

    def make(self, mode):
        settings = PoolSettings(mode, min_connections=1)
        return ConnectionPool(Server("a", "tls:a:1"), self.endpoint, self.clock, settings=settings)

    def begun(self):
        """Somebody who wants a connection, on which the handshake has begun."""
        acquired = self.pool.acquire()
        server = self.endpoint.accept()
        self.assertNoResult(acquired)
        return acquired, server

    def failed(self, acquired):
        """Why it was not made."""
        self.assertEqual(self.pool.stats()["connecting"], 0)
        return str(self.failureResultOf(acquired, ConnectFailed).value)

    def test_connected_when_it_is_done(self):
        """Nobody is given a connection before its handshake is over; what is said right behind is kept."""
        acquired, server = self.begun()
        self.assertEqual(self.pool.stats()["connecting"], 1)
        self.assertTrue(verifyObject(IHandshakeListener, server.protocol))
        server.shake_hands()
        server.say(b"220 ready")
        taker = Taker()
        self.successResultOf(acquired).attach(taker)
        self.clock.advance(5)
        self.assertEqual(taker.events, ["made", b"220 ready"])
        self.assertTrue(server.connected)

    def test_done_before_it_is_given(self):
        """The handshake of an endpoint that waits for it itself is not waited for again."""
        transport = Encrypted()

        def connect(factory):
            transport.protocol = factory.buildProtocol(None)
            transport.protocol.makeConnection(transport)
            transport.shake_hands()
            return succeed(transport.protocol)

        self.patch(self.endpoint, "connect", connect)
        self.successResultOf(self.pool.acquire())
        transport.lose()

    def test_says_why_it_failed(self):
        """The error is that of TLS, in its last words, or tells when the connection ended."""
        for error, text in (
            (
                SSL.Error([("SSL routines", "", "no shared cipher")]),
                "TLS: no shared cipher",
            ),
            (ConnectionDone(), "it closed the connection before the handshake was over"),
            (ConnectionLost(), "the connection was lost before the handshake was over"),
        ):
            acquired, server = self.begun()
            server.lose(error)
            self.assertEqual(self.failed(acquired), text)

    def test_takes_too_long(self):
        """The time to connect is for all of it, and the connection is reset when it is over."""
        acquired = self.pool.acquire()
        self.clock.advance(3)
        server = self.endpoint.accept()
        self.clock.advance(2)
        self.assertEqual(self.failed(acquired), "no TLS handshake within 5 s")
        self.assertTrue(server.disconnected)
        server.lose(ConnectionAborted())

    def test_time_is_told_in_few_words(self):
        """What was left of a budget is told in milliseconds."""
        acquired = self.pool.acquire(0.118721)
        self.clock.advance(0.2)
        self.assertEqual(self.failed(acquired), "no answer within 0.119 s")

    def test_given_up(self):
        """Who leaves during the handshake takes the connection along."""
        acquired, server = self.begun()
        acquired.cancel()
        self.failureResultOf(acquired)
        self.assertTrue(server.disconnected)
        server.lose(ConnectionAborted())
        self.assertEqual(self.pool.stats()["connecting"], 0)

    def test_warm_when_it_is_done(self):
        """No connection counts as warm before its handshake is over."""
        self.pool = self.make("preconnect")
        self.pool.start()
        server: Any = self.endpoint.accept()
        self.assertEqual((self.pool.stats()["refilling"], self.pool.stats()["warm"]), (1, 0))
        server.shake_hands()
        self.assertEqual((self.pool.stats()["refilling"], self.pool.stats()["warm"]), (0, 1))


class PreparationTests(SynchronousTestCase):
    """A pool whose new connections are prepared."""

    def test_one_that_closes_the_pool(self):
        """A preparation that closes the pool takes its own connection along, and whoever waits is told."""
        endpoint, closing = ScriptedEndpoint(), []
        settings = PoolSettings("message", min_connections=0)
        pool = ConnectionPool(
            Server("a", "tcp:a:1"),
            endpoint,
            Clock(),
            settings=settings,
            prepare=lambda lease: closing.append(pool.close()),
        )
        acquired = pool.acquire()
        server = endpoint.accept()
        self.failureResultOf(acquired, Closed)
        self.assertTrue(server.disconnected)
        server.settle()
        self.successResultOf(closing[0])
        self.assertEqual(pool.stats()["open"], 0)
