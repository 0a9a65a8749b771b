"""An upstream from the words of the file."""

from __future__ import annotations

import random
from itertools import count

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import LeastConnections, RoundRobin
from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.errors import ConnectFailed, PoolExhausted, StartError
from tcpsuite.net.assembly import build_upstream
from tcpsuite.net.checks.tcp import TCPCheck
from tcpsuite.net.health_options import HealthOptions
from tcpsuite.net.healthcheck import HealthChecker
from tcpsuite.net.members import Members
from tcpsuite.net.options import ServerOptions, UpstreamOptions
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.pool_options import PoolOptions
from tcpsuite.net.resets import reset_redis
from tcpsuite.net.upstream import Upstream
from tcpsuite.options import ClientEndpoint, Duration, Provider
from tcpsuite.testing.endpoints import ScriptedEndpoint

OPTIONS = UpstreamOptions(
    servers=(
        ServerOptions("a", ClientEndpoint("tcp:192.0.2.1:1"), 2),
        ServerOptions("b", ClientEndpoint("tcp:192.0.2.2:1")),
    )
)


def no_balancer(chance):
    """Builds what is no balancer."""
    return object()


def no_pool(server, endpoint, reactor, **options):
    """Builds what is no pool."""
    return object()


called: list[tuple[Server, dict[str, object]]] = []


def own_pool(server, endpoint, reactor, **options):
    """Notes what it is called with."""
    called.append((server, options))
    return ConnectionPool(server, endpoint, reactor, **options)


class BuildTests(SynchronousTestCase):
    """From the words of the file."""

    def setUp(self):
        self.reactor = MemoryReactorClock()

    def build(self, **changes):
        return build_upstream("db", evolve(OPTIONS, **changes), self.reactor, random.Random(1))

    def test_what_the_file_says_is_built(self):
        """Servers, strategy and checks are those of the options."""
        upstream = self.build(strategy=Provider("least_connections"))
        self.assertIsInstance(upstream.balancer, LeastConnections)
        self.assertEqual([(server.name, server.weight) for server in upstream.servers], [("a", 2), ("b", 1)])
        self.assertEqual(upstream.status()["strategy"], "least_connections")
        upstream.start()
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.assertEqual(upstream.status()["servers"][0]["checks"], {"ok": 0, "failed": 0})

    def test_one_timer_for_the_attempts_of_all_servers(self):
        """However many servers are connected to at once, the reactor has one timer for their time-outs."""
        servers = tuple(ServerOptions(name, ClientEndpoint(f"tcp:{name}.example:1")) for name in "ab")
        pools = self.build(servers=servers).pools.values()
        acquired = [pool.acquire() for pool in pools]
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        for lease in acquired:
            lease.cancel()
            self.failureResultOf(lease, CancelledError)

    def test_without_checks_nobody_is_asked(self):
        """With health.mode = "none" no connection is made, and with on_demand none ahead of a client."""
        upstream = self.build(health=HealthOptions("none"))
        upstream.start()
        self.reactor.advance(60)
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertIsInstance(upstream.balancer, RoundRobin)

    def test_a_pool_that_lends_again_is_waited_for(self):
        """Where connections are lent again acquire_timeout ends a wait; elsewhere connect_timeout does."""
        for mode, limit, error in (("message", 2.0, PoolExhausted), ("preconnect", 8.0, ConnectFailed)):
            upstream = self.build(
                servers=(ServerOptions("a", ClientEndpoint("tcp:a.example:1")),),
                pool=PoolOptions(mode, min_connections=0, acquire_timeout=Duration(2.0)),
                connect_timeout=Duration(8.0),
            )
            acquired = upstream.acquire()
            self.reactor.advance(limit - 0.1)
            self.assertNoResult(acquired)
            self.reactor.advance(0.5)
            self.failureResultOf(acquired, error)

    def test_a_warm_supply_is_made_at_the_start(self):
        """With preconnect each server is connected to, as often as the option says."""
        upstream = self.build(
            # To a name leads what a reactor of memory has, too.
            servers=tuple(ServerOptions(name, ClientEndpoint(f"tcp:{name}.example:1")) for name in "ab"),
            pool=PoolOptions("preconnect", min_connections=3),
            health=HealthOptions("none"),
        )
        upstream.start()
        self.assertEqual(len(self.reactor.tcpClients), 6)

    def test_somebodys_own_balancer_and_check(self):
        """``module:attribute`` names a callable that is called as the built-in ones are."""
        upstream = self.build(
            strategy=Provider("tcpsuite.core.balancing:RoundRobin"),
            health=HealthOptions(type=Provider("tcpsuite.net.checks.tcp:TCPCheck")),
        )
        self.assertIsInstance(upstream.balancer, RoundRobin)

    def test_what_is_no_provider_cannot_be_started(self):
        """An object that lacks the interface, or is not there, is named in the error."""
        for strategy in (f"{__name__}:no_balancer", f"{__name__}:nothing"):
            with self.assertRaisesRegex(StartError, f"upstream db: {strategy} cannot be used"):
                self.build(strategy=Provider(strategy))
        reset = f"{__name__}:nothing"
        with self.assertRaisesRegex(StartError, f"upstream db: {reset} cannot be used"):
            self.build(pool=PoolOptions("session", reset=Provider(reset)))
        for pool in (f"{__name__}:no_pool", f"{__name__}:nothing"):
            with self.assertRaisesRegex(StartError, f"upstream db: {pool} cannot be used"):
                self.build(pool=PoolOptions(provider=Provider(pool)))

    def test_somebodys_own_pool(self):
        """It is called for each server with what the file says, and the hooks that it names; so may ours."""
        called.clear()
        pool = PoolOptions(
            "session",
            max_connections=7,
            prepare=Provider(f"{__name__}:own_hook"),
            reset=Provider("redis"),
            provider=Provider(f"{__name__}:own_pool"),
        )
        upstream = self.build(pool=pool, connect_timeout=Duration(3.0))
        self.assertEqual([server.name for server, _ in called], ["a", "b"])
        for _, said in called:
            self.assertEqual(
                said,
                {
                    "settings": PoolSettings("session", max_connections=7),
                    "connect_timeout": 3.0,
                    "prepare": own_hook,
                    "reset": reset_redis,
                },
            )
        self.assertEqual(repr(upstream.pools["b"]), "<FencedPool ConnectionPool of server b of upstream db>")
        ours = self.build(pool=PoolOptions(provider=Provider("tcpsuite.net.pool:ConnectionPool")))
        self.assertEqual(ours.pools["a"].stats()["leases"], 0)


class CheckedTests(SynchronousTestCase):
    """Health checks and warm connections, by the upstream's start and stop."""

    def test_start_and_stop(self):
        """Both begin at the start, and nothing is left behind the stop."""
        clock, endpoint, server = MemoryReactorClock(), ScriptedEndpoint(), Server("a", "tcp:192.0.2.1:1")
        pool = ConnectionPool(server, endpoint, clock, settings=PoolSettings("preconnect"))
        checker = HealthChecker("db", [server], TCPCheck(clock, 2.0), clock)
        members = Members("db", [server], {"a": pool}, clock, watch=lambda moved: checker)
        upstream = Upstream("db", members, RoundRobin(random.Random(1)), clock)
        upstream.start()
        clock.advance(1)
        self.assertEqual((endpoint.connecting, len(clock.tcpClients)), (2, 1))
        stopping = Deferred.fromCoroutine(upstream.stop())
        clock.advance(0)
        self.successResultOf(stopping)
        self.assertEqual(endpoint.connecting, 0)
        self.assertEqual(clock.getDelayedCalls(), [])


class Saying(Protocol):
    """Says one thing, and hears one answer."""

    transport: ITransport

    def __init__(self, said):
        self.said = said
        self.answer: Deferred[bytes] = Deferred()

    def connectionMade(self):
        self.transport.write(self.said)

    def dataReceived(self, data):
        self.answer.callback(data)


def saying(said):
    """What is done with a lease: say this, and wait for the answer."""

    def say(lease):
        protocol = Saying(said)
        lease.attach(protocol)
        return protocol.answer

    return say


own_hook = saying(b"mine")


class Agreeing(Protocol):
    """Remembers what it hears, and agrees with everything, in the words of Redis."""

    transport: ITransport

    def __init__(self, number, heard):
        self.number = number
        self.heard = heard

    def dataReceived(self, data):
        self.heard.append((self.number, data))
        self.transport.write(b"+RESET\r\n")


class AgreeingServer(Factory):
    """Numbers its connections, and keeps what is heard on each."""

    def __init__(self):
        self.heard: list[tuple[int, bytes]] = []
        self._numbers = count(1)

    def buildProtocol(self, addr):
        return Agreeing(next(self._numbers), self.heard)


@pytest.mark.parametrize(
    ("pool", "between"),
    [
        (PoolOptions("session", reset=Provider("redis")), [(1, b"*1\r\n$5\r\nRESET\r\n")]),
        (PoolOptions("session", reset=Provider(f"{__name__}:own_hook")), [(1, b"mine")]),
        (
            PoolOptions("message", validate=Provider(f"{__name__}:own_hook"), validate_idle=Duration(0.0)),
            [(1, b"mine")],
        ),
        (PoolOptions("message", prepare=Provider(f"{__name__}:own_hook")), []),
        (PoolOptions("message"), []),
        (PoolOptions("message", reset=Provider("redis")), []),
    ],
    ids=[
        "redis",
        "own reset",
        "own validation",
        "own preparation",
        "neither",
        "a reset that the mode does not look at",
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_named_is_called_between_two_leases(pool, between):
    """The second client has the connection of the first, behind what the file says is to be asked of it."""
    factory = AgreeingServer()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    server = ServerOptions("a", ClientEndpoint(f"tcp:127.0.0.1:{port.getHost().port}"))
    options = UpstreamOptions(
        (server,), pool=evolve(pool, min_connections=1, max_connections=1), health=HealthOptions("none")
    )
    upstream = build_upstream("db", options, reactor, random.Random(1))
    upstream.start()
    try:
        for said in (b"first", b"second"):
            assert await upstream.execute(saying(said)) == b"+RESET\r\n"
    finally:
        await upstream.stop()
        await port.stopListening()
    if pool.prepare:
        assert factory.heard.pop(0) == (1, b"mine"), "before the first"
    first, second = (factory.heard.index((1, said)) for said in (b"first", b"second"))
    assert factory.heard[first + 1 : second] == between
