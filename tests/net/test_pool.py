"""The pool on transports of strings, and on real sockets."""

from __future__ import annotations

import random
import socket

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, DNSLookupError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.pooling.events import Created
from tcpsuite.core.servers import Server
from tcpsuite.errors import Closed, ConnectFailed, Cut
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.held import EARLY_LIMIT, Held
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.pools import SingleUsePoolContract, Taker
from tests.support.gateways import address, listening, reset, turn

SERVER = Server("a", "tcp:192.0.2.1:1")


class OnDemandContractTests(SingleUsePoolContract, SynchronousTestCase):
    """A pool that connects when asked."""

    def make_pool(self, endpoint, clock):
        return ConnectionPool(SERVER, endpoint, clock)


class PreconnectContractTests(SingleUsePoolContract, SynchronousTestCase):
    """A pool with a warm supply."""

    def make_pool(self, endpoint, clock):
        return ConnectionPool(
            SERVER, endpoint, clock, settings=PoolSettings("preconnect"), chance=random.Random(1)
        )


class PoolCase(SynchronousTestCase):
    """A pool and its server."""

    mode = "on_demand"

    def setUp(self):
        self.clock = Clock()
        self.endpoint = ScriptedEndpoint()
        settings = PoolSettings(self.mode)
        self.pool = ConnectionPool(
            SERVER, self.endpoint, self.clock, settings=settings, chance=random.Random(1)
        )
        self.pool.start()

    def take(self):
        """A taker's protocol, on a lease that is there at once."""
        taker = Taker()
        self.successResultOf(self.pool.acquire()).attach(taker)
        return taker


class OnDemandTests(PoolCase):
    """Connections made when they are asked for."""

    def test_a_cut_refuses_who_is_held(self):
        """Who is held by a pause when connections are cut is refused; the pause goes on."""
        self.pool.pause()
        held = self.pool.acquire()
        self.pool.cut()
        self.failureResultOf(held, Cut)
        held = self.pool.acquire()
        self.assertNoResult(held)
        self.pool.close()
        self.failureResultOf(held, Closed)

    def test_connects_when_asked(self):
        """Nothing is made until somebody asks."""
        self.assertEqual(self.endpoint.asked, 0)
        acquired = self.pool.acquire()
        self.assertEqual(self.endpoint.asked, 1)
        self.assertEqual(repr(self.pool), "<ConnectionPool a connecting=1 refilling=0 warm=0 leased=0>")
        self.endpoint.accept()
        lease = self.successResultOf(acquired)
        self.assertEqual(repr(lease), "<PooledLease a <Held early=0>>")
        self.assertIs(lease.server, SERVER)

    def test_says_why_it_could_not_connect(self):
        """The error has the system's words, the resolver's, or says how long it waited."""
        for error, text in [(None, "connection refused"), (DNSLookupError("no such name"), "no such name")]:
            acquired = self.pool.acquire()
            self.endpoint.refuse(error)
            self.assertIn(text, str(self.failureResultOf(acquired, ConnectFailed).value))
        acquired = self.pool.acquire()
        self.clock.advance(5)
        failure = self.failureResultOf(acquired, ConnectFailed)
        self.assertEqual(str(failure.value), "no answer within 5 s")
        self.assertEqual(self.endpoint.cancelled, 1)

    def test_an_endpoint_that_raises(self):
        """What an endpoint raises is why it could not connect, and costs no place."""

        def broken(_factory):
            raise ZeroDivisionError("no such thing")

        self.patch(self.endpoint, "connect", broken)
        failure = self.failureResultOf(self.pool.acquire(), ConnectFailed)
        self.assertEqual(str(failure.value), "no such thing")
        self.assertEqual(self.pool.stats()["connecting"], 0)

    def test_gives_no_more_time_than_its_own(self):
        """A taker that would wait for long is told after the connect time-out all the same."""
        acquired = self.pool.acquire(1000)
        self.clock.advance(5)
        self.failureResultOf(acquired, ConnectFailed)

    def test_an_observer_that_ends_what_it_is_told_of(self):
        """A lease whose connection an observer has cut is over, and says so."""

        def cut(event):
            if isinstance(event, Created):
                self.endpoint.transports[-1].lose(ConnectionLost())

        pool = ConnectionPool(SERVER, self.endpoint, self.clock, observer=cut)
        acquired = pool.acquire()
        self.endpoint.accept()
        self.assertFalse(self.successResultOf(self.successResultOf(acquired).ended()).ok)

    def test_stops_reading_what_nobody_takes(self):
        """At the limit of early bytes the server is not read; who attaches gets them, and reading goes on."""
        acquired = self.pool.acquire()
        server = self.endpoint.accept()
        server.say(b"x" * (EARLY_LIMIT - 1))
        self.assertEqual(server.producerState, "producing")
        server.say(b"y")
        self.assertEqual(server.producerState, "paused")
        taker = Taker()
        self.successResultOf(acquired).attach(taker)
        self.assertEqual(server.producerState, "producing")
        server.say(b"z")
        self.assertEqual(taker.events, ["made", b"x" * (EARLY_LIMIT - 1) + b"y", b"z"])


class SettingsTests(SynchronousTestCase):
    """What a pool is told."""

    def test_impossible(self):
        """Settings that no pool can follow are refused at once, with the names and numbers."""
        settings = PoolSettings("preconnect", min_connections=3, max_connections=2)
        with self.assertRaisesRegex(ValueError, r"min_connections \(3\) is over max_connections \(2\)"):
            ConnectionPool(SERVER, ScriptedEndpoint(), Clock(), settings=settings)


class PreconnectTests(PoolCase):
    """Two warm connections."""

    mode = "preconnect"

    def setUp(self):
        super().setUp()
        self.servers = [self.endpoint.accept(), self.endpoint.accept()]

    def test_a_greeting_is_the_first_that_a_client_gets(self):
        """What a warm connection has said comes before what it says later."""
        self.servers[0].say(b"220 ")
        self.servers[0].say(b"ready")
        taker = self.take()
        self.servers[0].say(b"later")
        self.assertEqual(taker.events, ["made", b"220 ready", b"later"])

    def test_one_that_was_closed_is_never_met(self):
        """A warm one that the server closed or reset is replaced, and its client gets another."""
        self.servers[0].finish()
        self.assertTrue(self.servers[0].disconnecting)
        taker = self.take()
        self.servers[1].say(b"alive")
        self.assertEqual(taker.events, ["made", b"alive"])
        self.endpoint.settle()
        self.clock.advance(0.2)
        self.assertEqual(self.endpoint.connecting, 2)
        self.endpoint.accept().lose(ConnectionLost())
        acquired = self.pool.acquire()
        self.assertNoResult(acquired)
        self.endpoint.accept()
        self.successResultOf(self.pool.acquire())

    def test_an_old_one_is_replaced(self):
        """After five seconds the warm ones are closed and others made."""
        self.clock.advance(4.9)
        self.assertFalse(self.servers[0].disconnecting)
        self.clock.advance(0.1)
        self.assertEqual([server.disconnecting for server in self.servers], [True, True])
        self.assertEqual(self.endpoint.connecting, 2)

    def test_a_dead_server_is_asked_ever_less_often(self):
        """While nobody answers, tries come further and further apart."""
        for server in self.servers:
            server.lose(ConnectionLost())
        asked = []
        for _ in range(60):
            self.clock.advance(1)
            asked.append(self.endpoint.asked)
            while self.endpoint.connecting:
                self.endpoint.refuse()
        self.assertLess(asked[-1], 2 + 2 * 14)
        self.assertGreater(asked[-1], asked[30])

    def test_a_late_alarm(self):
        """Behind one whose time is over, which a busy turn has not closed yet, no dead one is lent unseen."""
        self.clock.advance(1)
        self.servers[0].lose(ConnectionLost())
        self.clock.advance(1)
        younger = self.endpoint.accept()
        self.patch(Held, "hung_up", lambda held: held.transport is younger)
        self.clock.rightNow += 4  # no timer has rung
        acquired = self.pool.acquire()
        self.assertNoResult(acquired)
        self.assertTrue(younger.disconnecting)
        while self.endpoint.connecting:
            self.endpoint.accept()
        self.successResultOf(acquired)

    def test_no_goodbye(self):
        """A server that does not answer the end of a warm one holds it for ten seconds, and no longer."""
        self.clock.advance(5)
        self.assertEqual([server.disconnected for server in self.servers], [False, False])
        self.clock.advance(10.1)
        self.assertEqual([server.disconnected for server in self.servers], [True, True])

    def test_leases_are_counted_until_they_end(self):
        """A lease is counted while it is open, and not a moment longer."""
        self.take()
        self.assertEqual(self.pool.stats()["leased"], 1)
        self.servers[0].lose()
        self.assertEqual(self.pool.stats()["leased"], 0)

    def test_a_supply_that_is_cut_is_made_again(self):
        """What is being made for the supply is cut too, and made anew in time; what is warm stays."""
        self.take()
        self.assertEqual((self.pool.stats()["warm"], self.endpoint.connecting), (1, 1))
        self.pool.cut()
        self.assertEqual((self.pool.stats()["warm"], self.endpoint.connecting), (1, 0))
        self.clock.advance(0.25)
        self.assertEqual(self.endpoint.connecting, 1)


class AtOnce(ScriptedEndpoint):
    """Connects in no time, as a server on this machine does."""

    def connect(self, protocolFactory):
        attempt = super().connect(protocolFactory)
        self.accept()
        return attempt


class AtOnceTests(SynchronousTestCase):
    """An endpoint that has connected when it returns."""

    def pool(self, **settings):
        self.clock = Clock()
        self.endpoint = AtOnce()
        return ConnectionPool(SERVER, self.endpoint, self.clock, settings=PoolSettings(**settings))

    def test_the_lease_is_there_at_once(self):
        """Nobody waits for what is there, and no timer is left behind."""
        pool, taker = self.pool(), Taker()
        self.successResultOf(pool.acquire()).attach(taker)
        self.endpoint.transports[0].say(b"hello")
        self.assertEqual(taker.events, ["made", b"hello"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_large_supply_is_filled_up_step_by_step(self):
        """However large the supply, a few are begun in a turn, and no call waits for another."""
        pool = self.pool(mode="preconnect", min_connections=500, max_connections=1000)
        pool.start()
        self.assertEqual(pool.stats()["warm"], 4)
        for _ in range(500):
            self.clock.advance(0)
        self.assertEqual(pool.stats()["warm"], 500)


def _pool(listener, **settings):
    server = Server("a", address(listener))
    endpoint = server_endpoint(reactor, server.address)
    return ConnectionPool(server, endpoint, reactor, settings=PoolSettings(**settings), connect_timeout=1.0)


class Ended(Protocol):
    """Gives all that came until the end."""

    def __init__(self):
        self.got = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data):
        self.got += data

    def connectionLost(self, reason=connectionDone):
        self.ended.callback(self.got)


async def _until(condition):
    while not condition():
        await turn()


@pytest.mark.parametrize("greeting", [b"", b"x" * (EARLY_LIMIT * 4)], ids=["silent", "talkative"])
@pytest.mark.parametrize("end", [socket.socket.close, reset], ids=["closed", "reset"])
@pytest_twisted.ensureDeferred
async def test_an_end_that_only_the_kernel_knows_of_is_not_met(end, greeting):
    """A warm connection whose end has arrived, but was not yet read, goes to no client."""
    with listening() as listener:
        pool = _pool(listener, mode="preconnect", min_connections=1)
        pool.start()
        await _until(lambda: pool.stats()["warm"])
        dead, _ = listener.accept()
        dead.sendall(greeting)
        end(dead)
        lease = await pool.acquire()
        alive, _ = listener.accept()
        taker = Ended()
        lease.attach(taker)
        alive.sendall(b"alive")
        alive.close()
        assert await taker.ended == b"alive"
        await pool.close()


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_says_so():
    """Where nobody listens, the system's own words come back."""
    with listening() as listener:
        pool = _pool(listener)
    with pytest.raises(ConnectFailed, match="connection refused"):
        await pool.acquire()
    await pool.close()
