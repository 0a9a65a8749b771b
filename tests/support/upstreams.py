"""An upstream whose servers the test plays."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import First
from tcpsuite.core.connections import Connection
from tcpsuite.core.servers import Server
from tcpsuite.net.members import Members
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.search import Patience
from tcpsuite.net.upstream import Upstream
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.pools import Taker

if TYPE_CHECKING:
    from tcpsuite.interfaces import ILease, ILoadBalancer
    from tcpsuite.testing.endpoints import ScriptedTransport


def record(number: int = 1) -> Connection:
    """A client's record."""
    return Connection(str(number), f"192.0.2.7:{number}", "192.0.2.7", "gate", "gateway", 0.0, 0.0)


class Client:
    """Somebody who wants a connection; ``record`` tells what became of it."""

    def __init__(self, upstream: Upstream, number: int = 1) -> None:
        self.record = record(number)
        self.acquired: Deferred[ILease] = upstream.acquire(self.record.host, self.record)

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """What was tried for it: which server, and what went wrong."""
        return [(attempt.server, attempt.error) for attempt in self.record.attempts]


class UpstreamCase(SynchronousTestCase):
    """Servers of which the first that may be is picked.  Behind each test nothing is left: no connection that
    is counted, nobody who waits, no retry under way, no timer.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.numbers = 0
        self.build()

    def build(
        self,
        names: str = "abc",
        *,
        max_connections: int = 0,
        balancer: ILoadBalancer | None = None,
        patience: Patience | None = None,
        slow_start: float = 0.0,
        cut_when_down: bool = False,
        ejector: Any = None,
        second_look: Any = None,
        watch: Any = lambda moved: None,
        **options: Any,
    ) -> None:
        """Servers of these names; an upstream that has them."""
        self.servers = {
            name: Server(name, f"tcp:192.0.2.1:{ord(name)}", max_connections=max_connections)
            for name in names
        }
        self.endpoints = {name: ScriptedEndpoint() for name in names}
        self.members = Members(
            "db",
            self.servers.values(),
            {name: self.pool(server) for name, server in self.servers.items()},
            self.clock,
            watch=watch,
            ejector=ejector,
            second_look=second_look,
            slow_start=slow_start,
            cut_when_down=cut_when_down,
        )
        self.upstream = Upstream(
            "db",
            self.members,
            balancer or First(random.Random(1)),
            self.clock,
            patience=patience,
            **options,
        )

    def pool(self, server: Server) -> ConnectionPool:
        """The pool of a server, whose endpoint the test plays."""
        endpoint = self.endpoints.setdefault(server.name, ScriptedEndpoint())
        return ConnectionPool(server, endpoint, self.clock)

    def tearDown(self) -> None:
        for endpoint in self.endpoints.values():
            for transport in endpoint.transports:
                transport.lose()
        stopping = Deferred.fromCoroutine(self.upstream.stop())
        self.clock.advance(0)
        self.successResultOf(stopping)
        self.assertEqual({name: server.active for name, server in self.servers.items() if server.active}, {})
        self.assertEqual(self.upstream.status()["queue"]["waiting"], 0)
        self.assertEqual(self.upstream.status()["retries"]["under_way"], 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        super().tearDown()

    def client(self) -> Client:
        """One more client, that asks for a connection."""
        self.numbers += 1
        return Client(self.upstream, self.numbers)

    def clients(self, number: int) -> list[Client]:
        """So many of them."""
        return [self.client() for _ in range(number)]

    def served(self, client: Client) -> Taker:
        """What has the client's connection, which must be there."""
        taker = Taker()
        self.successResultOf(client.acquired).attach(taker)
        return taker

    def join(self, name: str) -> tuple[Client, ScriptedTransport]:
        """A new client, who is connected to that server, and its connection."""
        client = self.client()
        transport = self.endpoints[name].accept()
        self.served(client)
        return client, transport

    def down(self, *names: str, up: bool = False) -> None:
        """These servers go down, or up, without a word of why."""
        for name in names:
            self.servers[name].up = up
        self.members.refresh()
