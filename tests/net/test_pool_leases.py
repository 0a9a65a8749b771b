"""What becomes of a lease, and of the connection under it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.errors import LeaseError
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.takers import Taker
from tests.support.gateways import accept, address, listening, turn

if TYPE_CHECKING:
    from twisted.python.failure import Failure

SERVER = Server("a", "tcp:192.0.2.1:1")


class LeaseTests(SynchronousTestCase):
    """The one connection of a pool that lends it again."""

    def setUp(self):
        self.endpoint = ScriptedEndpoint()
        settings = PoolSettings("message", min_connections=0, max_connections=1)
        self.pool = ConnectionPool(SERVER, self.endpoint, Clock(), settings=settings)
        acquired = self.pool.acquire()
        self.server = self.endpoint.accept()
        self.lease = self.successResultOf(acquired)

    def test_a_greeting_that_was_heard_is_nobodys_any_more(self):
        """What came before the taker, and was handed to it, does not cost the connection at its release."""
        self.server.say(b"220 ready")
        taker = Taker()
        self.lease.attach(taker)
        self.pool.release(self.lease)
        self.assertEqual(taker.events, ["made", b"220 ready"])
        self.assertEqual((self.pool.stats()["idle"], self.server.disconnecting), (1, False))

    def test_a_greeting_that_nobody_heard_costs_the_connection(self):
        """It would be the first that the next taker gets."""
        self.server.say(b"220 ready")
        self.pool.release(self.lease)
        self.assertEqual((self.pool.stats()["closed_released"], self.server.disconnecting), (1, True))

    def test_what_comes_within_an_answer_comes_behind_it(self):
        """A server that answers inside the write, as one in memory may, is heard, and in order."""
        server = self.server

        class Quick(Taker):
            def dataReceived(self, data):
                super().dataReceived(data)
                if data == b"one":
                    server.say(b"two")

        server.say(b"one")
        taker = Quick()
        self.lease.attach(taker)
        server.say(b"three")
        self.assertEqual(taker.events, ["made", b"one", b"two", b"three"])

    def test_a_loss_while_it_is_attached_is_told_once(self):
        """A taker whose connection ends inside its own ``connectionMade`` hears of that end once."""
        server = self.server

        class Brief(Taker):
            def connectionMade(self):
                super().connectionMade()
                server.lose()

        taker = Brief()
        self.lease.attach(taker)
        self.assertEqual(len(taker.events), 2)

    def test_what_was_never_a_lease_of_a_pool_is_refused(self):
        """To release something else is a mistake, and is told as one."""
        with self.assertRaisesRegex(LeaseError, "another pool's"):
            self.pool.release(object())  # type: ignore[arg-type]

    def test_a_hook_whose_time_is_over_attaches_nothing(self):
        """What a validation does too late touches nobody's connection."""
        leases = [self.lease]
        settings = PoolSettings("session", min_connections=0, max_connections=1)
        pool = ConnectionPool(SERVER, self.endpoint, Clock(), settings=settings, reset=leases.append)
        acquired = pool.acquire()
        self.endpoint.accept()
        pool.release(self.successResultOf(acquired))
        self.assertEqual((len(leases), pool.stats()["idle"]), (2, 1))
        with self.assertRaises(LeaseError):
            leases[-1].attach(Taker())


class Ending(Protocol):
    """Says when its connection is gone."""

    def __init__(self, lost: Any) -> None:
        self.lost = lost

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost()


@pytest.mark.parametrize("mode", ["on_demand", "message"])
@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_over_is_freed_at_once(mode: str) -> None:
    """Twenty connections that were leased, attached and lost leave nothing to the garbage collector."""
    with listening() as server:
        where = Server("a", address(server))
        endpoint = server_endpoint(reactor, where.address)
        settings = PoolSettings(mode, min_connections=0, max_connections=1)
        pool = ConnectionPool(where, endpoint, reactor, settings=settings)
        lost: list[bool] = []

        async def one() -> None:
            acquired = pool.acquire()
            far = accept(server)
            lease = await acquired
            lease.attach(Ending(lambda: lost.append(True)))
            far.close()
            del lease
            while not lost:
                await turn()
            lost.clear()

        await one()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await one()
            assert gc.collect() == 0
        finally:
            gc.enable()
        await pool.close()
