"""Whatever happens to an upstream, in whatever order."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from tcpsuite.core.balancing import RoundRobin
from tcpsuite.core.choosing import candidates
from tcpsuite.core.ejection import Ejector
from tcpsuite.core.health import Transition
from tcpsuite.core.queueing import Queue
from tcpsuite.core.servers import Administration, Server
from tcpsuite.net.members import Members
from tcpsuite.net.operating import Operator
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.search import Patience
from tcpsuite.net.upstream import Upstream
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.pools import Taker
from tests.support.upstreams import Client

MOST = 3
"""Clients that may wait."""

PLACES = st.integers(0, 9)


class UpstreamMachine(RuleBasedStateMachine):
    """No server has more connections than it takes, nobody waits for whom there is a server, and behind the
    end every client has had one answer and nothing is left.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.endpoints: list[ScriptedEndpoint] = []
        self.servers = [
            Server("a", "tcp:10.0.0.1:1", max_connections=1),
            Server("b", "tcp:10.0.0.2:1", 3, max_connections=2),
            Server("c", "tcp:10.0.0.3:1", backup=True),
        ]
        self.members = Members(
            "db",
            self.servers,
            {server.name: self.pool(server) for server in self.servers},
            self.clock,
            ejector=Ejector("abc", errors=2),
            slow_start=5.0,
            cut_when_down=True,
        )
        self.operator = Operator(self.members, ["10.0.0.0/24"], self.pool)
        self.queue = Queue(MOST)
        self.upstream = Upstream(
            "db",
            self.members,
            RoundRobin(random.Random(1)),
            self.clock,
            patience=Patience(hold_timeout=3.0),
            queue=self.queue,
            operator=self.operator,
        )
        self.upstream.start()
        self.clients: list[Client] = []
        self.answers: dict[Client, int] = {}

    def pool(self, server: Server) -> ConnectionPool:
        self.endpoints.append(ScriptedEndpoint())
        return ConnectionPool(server, self.endpoints[-1], self.clock)

    def one_of(self, place: int) -> Server:
        return self.members.servers[place % len(self.members.servers)]

    @rule(again=st.booleans())
    def come(self, again: bool) -> None:
        """A client comes; it may come once more when it has its answer."""
        client = Client(self.upstream)
        self.clients.append(client)
        self.answers[client] = 0

        def answered(lease: object) -> None:
            self.answers[client] += 1
            if not isinstance(lease, Exception):
                lease.attach(Taker())  # type: ignore[attr-defined]
            if again:
                self.come(False)

        client.acquired.addErrback(lambda failure: failure.value).addCallback(answered)

    @precondition(lambda self: self.clients)
    @rule(place=PLACES)
    def leave(self, place: int) -> None:
        self.clients[place % len(self.clients)].acquired.cancel()

    @rule(place=PLACES, accepted=st.booleans())
    def answer(self, place: int, accepted: bool) -> None:
        connecting = [endpoint for endpoint in self.endpoints if endpoint.connecting]
        if connecting:
            endpoint = connecting[place % len(connecting)]
            (endpoint.accept if accepted else endpoint.refuse)()

    @rule(place=PLACES, error=st.sampled_from([None, ConnectionLost()]))
    def lose(self, place: int, error: Exception | None) -> None:
        open_ = [each for endpoint in self.endpoints for each in endpoint.transports if each.connected]
        if open_:
            open_[place % len(open_)].lose(error)

    @rule(place=PLACES)
    def move(self, place: int) -> None:
        server = self.one_of(place)
        server.up = not server.up
        self.members.moved(server, Transition(server.up, self.clock.seconds(), "a check"))

    @rule(place=PLACES, to=st.sampled_from(Administration))
    def administer(self, place: int, to: Administration) -> None:
        self.operator.administer(self.one_of(place).name, to)

    @rule(place=PLACES, weight=st.sampled_from([0, 1, 5]))
    def weigh(self, place: int, weight: int) -> None:
        self.operator.set_weight(self.one_of(place).name, weight)

    @precondition(lambda self: len(self.members.servers) < 5)
    @rule()
    def add(self) -> None:
        self.servers.append(Server(f"d{len(self.servers)}", "tcp:10.0.0.4:1", max_connections=1))
        self.operator.add(self.servers[-1])

    @precondition(lambda self: len(self.members.servers) > 1)
    @rule(place=PLACES)
    def remove(self, place: int) -> None:
        self.operator.remove(self.one_of(place).name, force=True)

    @rule()
    def pause(self) -> None:
        self.upstream.pause()

    @rule(rate=st.sampled_from([0.0, 1.0, 10.0]))
    def resume(self, rate: float) -> None:
        self.upstream.resume(rate)

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 11.0]))
    def wait(self, seconds: float) -> None:
        for endpoint in self.endpoints:
            endpoint.settle()
        self.clock.advance(seconds)

    @invariant()
    def nobody_has_more_than_it_takes(self) -> None:
        for server, endpoint in zip(self.servers, self.endpoints, strict=True):
            assert server.active == endpoint.connecting + endpoint.open
            assert not server.max_connections or server.active <= server.max_connections

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Unless clients are held back, nobody waits while there is a server that has failed nobody."""
        assert len(self.queue) <= MOST
        if candidates(self.members.servers) and not self.queue.held_back:
            connecting = sum(endpoint.connecting for endpoint in self.endpoints)
            unfailed = [client for client, times in self.answers.items() if not times and not client.attempts]
            assert len(unfailed) <= connecting

    @invariant()
    def answered_once(self) -> None:
        assert max(self.answers.values(), default=0) <= 1

    def teardown(self) -> None:
        stopping = Deferred.fromCoroutine(self.upstream.stop())
        for _ in range(3):
            self.wait(0.0)
        assert stopping.called
        assert set(self.answers.values()) <= {1}, "everybody has had an answer"
        assert [server.active for server in self.servers] == [0] * len(self.servers)
        assert self.upstream.status()["retries"]["under_way"] == 0
        assert self.clock.getDelayedCalls() == []


UpstreamMachineTests = UpstreamMachine.TestCase
UpstreamMachineTests.settings = settings(deadline=None, stateful_step_count=80)
