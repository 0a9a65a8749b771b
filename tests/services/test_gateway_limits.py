"""How long the gateway's connections may last, how long its clients wait, and how it times servers."""

from __future__ import annotations

import random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.threads import deferToThread
from zope.interface import directlyProvides, implementer

from tcpsuite.core.balancing import First
from tcpsuite.core.connections import Counted, Reason
from tcpsuite.interfaces import ILoadBalancer, ITimed
from tcpsuite.net.first_byte import MOST_ASKED
from tcpsuite.net.search import Patience
from tcpsuite.options import Duration, Provider
from tcpsuite.services.gateway import JITTER, GatewayFactory
from tcpsuite.testing.endpoints import ScriptedTransport
from tests.support.gateways import Gateway, accept, finish, listening, read_all, read_until_reset
from tests.support.upstreams import UpstreamCase, record


class GatewayCase(UpstreamCase):
    """A gateway in front of them, and its clients."""

    def connect(self, factory, *provided):
        """A client's transport; what becomes of it stands in ``protocol.connection``."""
        protocol, transport = factory.buildProtocol(None), ScriptedTransport()
        directlyProvides(transport, *provided)
        protocol.connection = record()
        protocol.connection.traffic = Counted()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def end(self, *clients):
        """They close, and so do their servers."""
        for client in clients:
            client.settle()
            client.lose()
        for endpoint in self.endpoints.values():
            endpoint.settle()
        self.clock.advance(0)


class MaxDurationTests(GatewayCase):
    """Connections last a hundred seconds, or up to a tenth less."""

    def factory(self, chance=0.0, seconds=100.0):
        drawn = random.Random()
        self.patch(drawn, "random", lambda: chance)
        return GatewayFactory(self.upstream, self.clock, max_duration=seconds, chance=drawn)

    def test_cut_when_it_has_lasted_so_long(self):
        """Both sides are reset, however busy they are, and the record says why."""
        client = self.connect(self.factory())
        server = self.endpoints["a"].accept()
        self.clock.advance(99.9)
        client.say(b"more")
        self.assertFalse(client.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(client.disconnected)
        found = client.protocol.connection
        self.assertEqual(
            (found.reason, found.detail), (Reason.MAX_DURATION, "connections last 100 s at most")
        )
        self.end(client)
        self.assertTrue(server.disconnected)

    def test_not_all_at_once(self):
        """What began together ends one by one, in the last tenth of that time."""
        ends = []
        for chance in (0.0, 0.5, 0.999):
            client = self.connect(self.factory(chance))
            begun = self.clock.seconds()
            self.endpoints["a"].accept()
            while not client.disconnected:
                self.clock.advance(0.0625)
            ends.append(self.clock.seconds() - begun)
            self.end(client)
        self.assertEqual(JITTER, 0.1)
        self.assertEqual(ends, [100.0, 95.0, 90.0625])

    def test_one_that_waits_for_a_server(self):
        """The time counts from the client's connection: one that still waits then is cut."""
        self.upstream.pause(1000.0)
        client = self.connect(self.factory())
        self.clock.advance(100)
        self.assertTrue(client.disconnected)
        self.end(client)
        self.assertEqual(self.upstream.status()["queue"]["waiting"], 0)
        self.assertIs(client.protocol.connection.reason, Reason.MAX_DURATION)

    def test_one_that_is_still_shaking_hands(self):
        """Over TLS the handshake's time counts too."""
        client = self.connect(self.factory(), ISSLTransport)
        self.clock.advance(100)
        self.assertTrue(client.disconnected)
        self.assertEqual(self.endpoints["a"].asked, 0)
        self.end(client)

    def test_one_that_ends_before(self):
        """A connection that is over has no time-out left behind."""
        client = self.connect(self.factory())
        self.endpoints["a"].accept()
        self.end(client)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNot(client.protocol.connection.reason, Reason.MAX_DURATION)

    def test_one_timer_for_all(self):
        """The reactor has one timer for all of them."""
        factory = self.factory()
        clients = [self.connect(factory) for _ in range(5)]
        for _ in clients:
            self.endpoints["a"].accept()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.end(*clients)

    def test_for_ever(self):
        """Without a duration a connection lasts."""
        client = self.connect(self.factory(seconds=0.0))
        self.endpoints["a"].accept()
        self.clock.advance(1e9)
        self.assertFalse(client.disconnected)
        self.end(client)


class WaitingTests(GatewayCase):
    """A client for which there is no room."""

    def setUp(self):
        super().setUp()
        self.build("a", max_connections=1, patience=Patience(queue_timeout=2.0, pause_timeout=3.0))
        self.factory = GatewayFactory(self.upstream, self.clock)
        self.first = self.connect(self.factory)
        self.endpoints["a"].accept()

    def tearDown(self):
        self.end(self.first)
        super().tearDown()

    def test_waits_and_is_served(self):
        """What it says meanwhile reaches the server when there is room."""
        second = self.connect(self.factory)
        second.say(b"question")
        self.endpoints["a"].transports[0].lose()
        server = self.endpoints["a"].accept()
        self.assertEqual(server.value(), b"question")
        self.assertEqual(second.protocol.connection.held_why, "full")
        self.end(second)

    def test_waits_in_vain(self):
        """It is reset, and the record says for how long there was no room."""
        second = self.connect(self.factory)
        self.clock.advance(2)
        self.assertTrue(second.disconnected)
        found = second.protocol.connection
        self.assertEqual(
            (found.reason, found.detail), (Reason.NO_ROOM, "the servers of db were full for 2 s")
        )
        self.end(second)

    def test_paused_for_too_long(self):
        """A client that is held back for too long is reset for the same reason, in other words."""
        self.upstream.pause()
        second = self.connect(self.factory)
        self.clock.advance(3)
        found = second.protocol.connection
        self.assertEqual(
            (found.reason, found.detail), (Reason.NO_ROOM, "upstream db held clients back for 3 s")
        )
        self.end(second)

    def test_leaves_while_it_waits(self):
        """A client that goes is forgotten: the place goes to the next one."""
        second, third = self.connect(self.factory), self.connect(self.factory)
        self.end(second)
        self.endpoints["a"].transports[0].lose()
        self.endpoints["a"].accept()
        self.assertEqual(third.protocol.connection.server, "a")
        self.assertEqual(second.protocol.connection.server, "")
        self.end(third)


@implementer(ILoadBalancer, ITimed)
class Timed(First):
    """Notes what it is told of answers."""

    def __init__(self, chance):
        super().__init__(chance)
        self.told = []

    def answered(self, server, seconds, now):
        self.told.append((server.name, seconds))


BUILT: list[Timed] = []


def timed(chance):
    """Builds such a balancer, as the configuration does it."""
    BUILT.append(Timed(chance))
    return BUILT[-1]


class TimedTests(GatewayCase):
    """A balancer that wants to know how soon servers answer."""

    def setUp(self):
        super().setUp()
        self.balancer = Timed(random.Random(1))
        self.build(balancer=self.balancer)
        self.factory = GatewayFactory(self.upstream, self.clock)
        self.visitor = self.connect(self.factory)

    def tearDown(self):
        self.end(self.visitor)
        super().tearDown()

    def test_what_is_said_before_there_is_a_server(self):
        """A question that was asked early counts from when it goes to the server: when that is connected."""
        self.visitor.say(b"question")
        self.clock.advance(2)
        server = self.endpoints["a"].accept()
        self.clock.advance(0.25)
        server.say(b"answer")
        self.assertEqual(self.balancer.told, [("a", 0.25)])
        self.assertEqual((server.value(), self.visitor.value()), (b"question", b"answer"))

    def test_once_a_connection(self):
        """A client that asks late has its server timed from then; what comes behind that is not timed."""
        server = self.endpoints["a"].accept()
        self.clock.advance(60)
        self.visitor.say(b"question")
        self.clock.advance(0.5)
        server.say(b"answer")
        self.visitor.say(b"question")
        self.clock.advance(0.75)
        server.say(b"answer")
        self.assertEqual(self.balancer.told, [("a", 0.5)])
        self.assertEqual((server.value(), self.visitor.value()), (b"question" * 2, b"answer" * 2))

    def test_much_said_before_there_is_a_server(self):
        """Whoever has said much before there is a server is not timed, and loses nothing."""
        self.visitor.say(b"x" * (MOST_ASKED + 1))
        server = self.endpoints["a"].accept()
        server.say(b"answer")
        self.assertEqual(self.balancer.told, [])
        self.assertEqual((len(server.value()), self.visitor.value()), (MOST_ASKED + 1, b"answer"))

    def test_a_server_that_never_answers(self):
        """A connection that ends without an answer tells nothing."""
        self.endpoints["a"].accept()
        self.visitor.say(b"question")
        self.end(self.visitor)
        self.assertEqual(self.balancer.told, [])

    def test_nobody_looks_for_others(self):
        """Where the balancer does not ask for it, nothing stands between the server and its side."""
        self.build()
        client = self.connect(GatewayFactory(self.upstream, self.clock))
        self.endpoints["a"].accept()
        received: Any = self.endpoints["a"].transports[-1].protocol.dataReceived
        self.assertEqual(received.__self__.tell, client.write)
        self.end(client)


@pytest.mark.parametrize("speaks_first", [False, True])
@pytest_twisted.ensureDeferred
async def test_timed_on_sockets(speaks_first):
    """Bytes, half-closes and large answers pass as ever when the first byte is timed; it is told once."""
    large = bytes(300_000)

    def scene(client, server):
        if speaks_first:
            server.sendall(b"hello")
            assert client.recv(5) == b"hello"
        client.sendall(b"question")
        assert server.recv(8) == b"question"
        server.sendall(large)
        finish(server)
        assert read_all(client) == large
        client.sendall(b"thanks")
        finish(client)
        assert read_all(server) == b"thanks"

    with listening() as server:
        strategy = Provider(f"{__name__}:timed")
        async with Gateway(server, strategy=strategy) as gateway:
            await gateway.play(scene, server)
    [(name, seconds)] = BUILT.pop().told
    assert name == "s0"
    assert 0 <= seconds < 10
    assert gateway.records[0].bytes_out == len(large) + 5 * speaks_first


@pytest_twisted.ensureDeferred
async def test_no_room_on_sockets():
    """A client that waits in vain for room is reset, and one that waits long enough gets the place."""
    with listening() as server:
        async with Gateway(server, queue_timeout=Duration(1.0), max_connections=1) as gateway:

            def scene(first, accepted):
                with gateway.connect() as second:
                    second.sendall(b"question")
                    assert read_until_reset(second) == b""
                with gateway.connect() as third:
                    third.sendall(b"question")
                    finish(first)
                    finish(accepted)
                    assert (read_all(first), read_all(accepted)) == (b"", b"")
                    with accept(server) as place:
                        assert place.recv(8) == b"question"

            await gateway.play(scene, server)
    reasons = [ended.reason for ended in gateway.records]
    assert reasons.count(Reason.NO_ROOM) == 1
    assert sorted(ended.held_why for ended in gateway.records) == ["", "full", "full"]


@pytest_twisted.ensureDeferred
async def test_served_in_their_order():
    """With room for one and nine clients, all are served, one after the other, in their order."""
    order: list[bytes] = []

    def play(gateway, server):
        clients = []
        for number in range(9):
            client = gateway.connect()
            client.sendall(b"%d" % number)
            clients.append(client)
        for client in clients:
            with accept(server) as accepted:
                order.append(accepted.recv(1))
                accepted.sendall(b"done")
            assert read_all(client) == b"done"
            client.close()

    with listening() as server:
        async with Gateway(server, max_connections=1) as gateway:
            await deferToThread(play, gateway, server)
    assert order == [b"%d" % number for number in range(9)]
    assert [ended.server for ended in gateway.records] == ["s0"] * 9
