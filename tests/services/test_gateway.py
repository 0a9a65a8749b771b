"""The gateway, on transports of strings; tests/net/test_relay.py has it on real sockets."""

from __future__ import annotations

import random
import socket
import threading

import pytest_twisted
from OpenSSL import SSL
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from tcpsuite.core.balancing import RoundRobin
from tcpsuite.core.connections import Connection, Counted, Reason
from tcpsuite.core.servers import Server
from tcpsuite.net import relay
from tcpsuite.net.members import Members
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.upstream import Upstream
from tcpsuite.options import UpstreamName
from tcpsuite.services.gateway import GatewayFactory, GatewayOptions, build, example
from tcpsuite.testing.contexts import FakeContext
from tcpsuite.testing.endpoints import ScriptedEndpoint, ScriptedTransport
from tests.support.gateways import Gateway, listening, reset, turn


def _producer(transport: ScriptedTransport) -> IPushProducer:
    """What feeds it."""
    assert transport.producer is not None
    producer: IPushProducer = transport.producer
    return producer


class GatewayCase(SynchronousTestCase):
    """One client, and one server that has not answered yet."""

    def setUp(self):
        self.clock = Clock()
        self.endpoint = ScriptedEndpoint()
        self.server = Server("a", "tcp:192.0.2.1:1")
        pool = ConnectionPool(self.server, self.endpoint, self.clock)
        balancer = RoundRobin(random.Random(1))
        self.upstream = Upstream(
            "db", Members("db", [self.server], {"a": pool}, self.clock), balancer, self.clock
        )
        self.factory = GatewayFactory(self.upstream, self.clock)
        self.record = Connection("1", "192.0.2.7:4711", "192.0.2.7", "gate", "gateway", 0.0, 0.0)
        self.record.traffic = Counted()
        self.client = self.connect()

    def tearDown(self):
        for transport in (self.client, *self.endpoint.transports):
            transport.settle()
            transport.lose()
        self.clock.advance(0)
        self.assertEqual(self.server.active, 0)
        self.assertEqual(self.factory.relays, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def connect(self, *provided):
        """A client's transport."""
        protocol, transport = self.factory.buildProtocol(None), ScriptedTransport()
        directlyProvides(transport, *provided)
        protocol.connection = self.record
        transport.protocol = protocol
        protocol.makeConnection(self.wrapped(transport))
        return transport

    def wrapped(self, transport):
        """What the gateway is given of a client's transport."""
        return transport


class JoinedTests(GatewayCase):
    """A client and a server that are joined."""

    def setUp(self):
        super().setUp()
        self.far = self.endpoint.accept()

    def test_bytes_pass_both_ways(self):
        """What one side says the other gets."""
        self.client.say(b"question")
        self.far.say(b"answer")
        self.assertEqual(self.far.value(), b"question")
        self.assertEqual(self.client.value(), b"answer")
        self.assertEqual(self.record.server, "a")

    def test_who_takes_nothing_stops_the_other(self):
        """While a transport is full the other side is not read; each way by itself."""
        for full, other in ((self.client, self.far), (self.far, self.client)):
            _producer(full).pauseProducing()
            self.assertEqual((full.producerState, other.producerState), ("producing", "paused"))
            _producer(full).resumeProducing()
            self.assertEqual(other.producerState, "producing")

    def test_nothing_is_read_on_behind_a_fin(self):
        """A side that has finished is not read again when the other has taken what was queued."""
        producer = _producer(self.far)
        self.client.finish()
        self.client.producerState = "finished"
        producer.resumeProducing()
        self.assertEqual(self.client.producerState, "finished")

    def test_a_fin_is_relayed_and_the_other_half_goes_on(self):
        """The FIN of one side closes one half of the other; when both have come both close in order."""
        self.far.finish()
        self.assertTrue(self.client.finished)
        self.assertIsNone(self.client.producer)
        self.assertFalse(self.client.disconnecting)
        self.client.say(b"still here")
        self.assertEqual(self.far.value(), b"still here")
        self.client.finish()
        self.assertEqual((self.client.disconnecting, self.client.disconnected), (True, False))
        self.assertEqual((self.far.disconnecting, self.far.disconnected), (True, False))
        self.assertIs(self.record.reason, Reason.SERVER_CLOSED)

    def test_a_reset_is_relayed_in_the_next_turn(self):
        """Either side's reset becomes the other's, behind what was written in this turn."""
        self.far.lose(ConnectionLost())
        self.assertFalse(self.client.disconnected)
        self.clock.advance(0)
        self.assertTrue(self.client.disconnected)
        self.assertIs(self.record.reason, Reason.SERVER_RESET)

    def test_a_reset_of_both_is_no_matter(self):
        """Two resets in one turn leave nothing to do."""
        self.client.lose(ConnectionLost())
        self.far.lose(ConnectionLost())
        self.clock.advance(0)
        self.assertIs(self.record.reason, Reason.CLIENT_RESET)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_that_is_closed_from_here_closes_its_server(self):
        """When a listener closes a client, the server is closed in order; the listener's reason stands."""
        self.record.because(Reason.IDLE)
        self.client.lose()
        self.assertEqual((self.far.disconnecting, self.far.disconnected), (True, False))
        self.assertIs(self.record.reason, Reason.IDLE)

    def test_a_server_that_does_not_let_go_is_cut(self):
        """A server that takes nothing more is reset after the time-out, when its client was closed."""
        self.client.lose()
        self.assertFalse(self.far.disconnected)
        self.clock.advance(30)
        self.assertTrue(self.far.disconnected)

    def test_a_server_that_still_takes_is_not_cut(self):
        """When its client is gone, a server has its time as long as what is queued for it gets less; what is
        on its way to either side is told to the record.
        """
        queued = {self.client: 1, self.far: 3}
        self.patch(relay, "unsent", queued.__getitem__)
        assert self.record.on_its_way is not None
        self.assertEqual(self.record.on_its_way(), 4)
        self.client.lose()
        for left in (2, 1):
            self.clock.advance(29)
            queued[self.far] = left
            self.clock.advance(1)
        self.assertFalse(self.far.disconnected)
        self.clock.advance(30)
        self.assertTrue(self.far.disconnected)

    def test_a_client_that_is_cut_from_here_cuts_its_server(self):
        """When a listener cuts a client, the server is reset."""
        self.record.because(Reason.DRAINED)
        self.client.abortConnection()
        self.client.settle()
        self.clock.advance(0)
        self.assertTrue(self.far.disconnected)
        self.assertIs(self.record.reason, Reason.DRAINED)

    def test_silence_behind_a_fin_is_cut(self):
        """Thirty seconds behind a FIN in which nothing moves end it; what moves begins them anew."""
        self.client.finish()
        self.clock.advance(29)
        self.record.traffic = Counted(0, 100)
        self.clock.advance(1)
        self.assertFalse(self.client.disconnected)
        self.clock.advance(30)
        self.assertTrue(self.client.disconnected)
        self.assertTrue(self.far.disconnected)
        self.assertIs(self.record.reason, Reason.FIN_TIMEOUT)
        self.assertEqual(self.record.detail, "nothing moved for 30 s after the client's FIN")

    def test_a_reset_waits_for_who_still_takes(self):
        """The reset of a side that is not read counts when the other took nothing between two looks."""
        queued = {self.client: 0, self.far: 9}
        self.patch(relay, "unsent", queued.__getitem__)
        self.patch(relay, "was_reset", lambda transport: transport is self.client)
        self.factory.doStart()
        self.clock.advance(4)
        self.assertFalse(self.far.disconnected, "nobody is held back")
        _producer(self.far).pauseProducing()
        for left in (7, 3):
            self.clock.advance(2)
            queued[self.far] = left
        self.clock.advance(2)
        self.assertFalse(self.far.disconnected)
        self.clock.advance(2)
        self.assertTrue(self.far.disconnected)
        self.assertTrue(self.client.disconnected)
        self.assertEqual(
            (self.record.reason, self.record.detail),
            (Reason.CLIENT_RESET, "while the other side took nothing"),
        )
        self.factory.doStop()

    def test_what_is_still_to_be_read_is_read(self):
        """The reset of a side that is not read just now cuts nothing off; behind its FIN it ends both."""
        self.patch(relay, "unsent", lambda transport: 0)
        self.patch(relay, "was_reset", lambda transport: transport is self.client)
        self.factory.doStart()
        _producer(self.far).pauseProducing()
        self.clock.advance(2)
        self.assertFalse(self.client.disconnected)
        self.client.finish()
        self.clock.advance(2)
        self.assertTrue(self.client.disconnected)
        self.assertEqual((self.record.reason, self.record.detail), (Reason.CLIENT_RESET, "behind its FIN"))
        self.factory.doStop()

    def test_says_its_state(self):
        """A relay tells how far each side is."""
        joined = self.client.protocol._relay
        self.assertEqual(repr(joined), "<Relay client open, server open>")
        self.client.finish()
        self.far.lose(ConnectionLost())
        self.assertEqual(repr(joined), "<Relay client finished, server gone>")
        self.clock.advance(0)


FAULT = SSL.Error([("SSL routines", "", "wrong version number")])
"""What TLS has to say of a peer."""


class TLSTests(GatewayCase):
    """A client over TLS, which as Twisted has it knows no half-close."""

    def connect(self):
        return super().connect(ISSLTransport)

    def join(self):
        self.client.protocol.handshakeCompleted()
        return self.endpoint.accept()

    def test_no_server_is_taken_before_the_handshake(self):
        """A client that has not shown that it speaks TLS costs no server a connection."""
        self.assertEqual(self.endpoint.asked, 0)
        self.assertTrue(verifyObject(IHandshakeListener, self.client.protocol))
        self.client.lose(FAULT)
        self.assertEqual((self.endpoint.asked, self.record.reason), (0, None))

    def test_what_a_client_does_to_tls_is_no_reset(self):
        """A fault of TLS on the client's side is left to its listener to name; the server is reset."""
        far = self.join()
        self.client.lose(FAULT)
        self.clock.advance(0)
        self.assertTrue(far.disconnected)
        self.assertIsNone(self.record.reason)

    def test_what_a_server_does_to_tls_is_said(self):
        """A fault of TLS on the server's side resets the client, and stands in the record."""
        self.join().lose(FAULT)
        self.clock.advance(0)
        self.assertTrue(self.client.disconnected)
        said = "TLS: wrong version number"
        self.assertEqual((self.record.reason, self.record.detail), (Reason.SERVER_RESET, said))
        self.assertEqual((self.server.resets, self.server.last_error), (1, said))

    def test_a_fin_towards_tls_is_the_end(self):
        """A server's FIN closes a TLS client behind what is queued, and then the server too."""
        far = self.join()
        far.say(b"answer")
        far.finish()
        self.assertFalse(self.client.finished)
        self.assertTrue(self.client.disconnecting)
        self.client.settle()
        self.assertTrue(far.disconnecting)
        self.assertIs(self.record.reason, Reason.SERVER_CLOSED)


class BuildTests(SynchronousTestCase):
    """From the words of the file."""

    def test_what_the_file_says_is_built(self):
        """The factory has the upstream of that name, and the options' values."""
        clock = Clock()
        upstream = Upstream("db", Members("db", [], {}, clock), RoundRobin(random.Random(1)), clock)
        options = GatewayOptions(UpstreamName("db"))
        factory = build(options, FakeContext(clock, upstreams={"db": upstream}))
        assert isinstance(factory, GatewayFactory)
        self.assertIs(factory.upstream, upstream)
        self.assertEqual((factory.fin_timeout, factory.early_data), (30.0, 16 * 1024))
        self.assertEqual(example(options, "127.0.0.1", 7000), "nc 127.0.0.1 7000")


@pytest_twisted.ensureDeferred
async def test_a_reset_while_connecting_leaves_nothing():
    """A real client that resets while its server's backlog is full takes the attempt along."""
    # One connection fills a backlog of none: the handshake of the next one waits.
    with listening(0) as server, socket.create_connection(server.getsockname()):
        async with Gateway(server) as gateway:
            connecting = threading.Event()

            def scene():
                client = gateway.connect()
                client.sendall(b"hello")
                connecting.wait(20)
                reset(client)

            playing = deferToThread(scene)
            while not gateway.upstream.servers[0].active:
                await turn()
            connecting.set()
            await playing
    assert gateway.records[0].reason is Reason.CLIENT_RESET
    assert gateway.upstream.servers[0].failures == 0
