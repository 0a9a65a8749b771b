"""Listeners on real sockets: what they accept, count, refuse, drain and cut."""

from __future__ import annotations

import socket
from itertools import count
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from tcpsuite.core.connections import Ledger, Reason
from tcpsuite.core.limits import Ceiling, ResourceLimiter
from tcpsuite.errors import StartError
from tcpsuite.net.admission import Admission
from tcpsuite.net.listener import Listener
from tcpsuite.services.echo import EchoFactory
from tests.support.client import connect

LOOPBACK = "tcp:0:interface=127.0.0.1"


class Looked:
    """An admission without connections, of which only the looks for them are of interest."""

    def __init__(self, clock):
        self.clock = clock
        self.looks = []
        self.looks_untaken = []

    def idle(self, timeout):
        """Looked for them."""
        self.looks.append(self.clock.seconds())

    def untaken(self, timeout):
        """Looked for clients that take nothing."""
        self.looks_untaken.append(self.clock.seconds())

    async def when_empty(self):
        """At once."""


class Bench:
    """One listener of an echo service, and the clients of a test."""

    def __init__(self):
        self.ledger = Ledger()
        self.ended = []
        self.listeners = []

    def listener(self, *endpoints, idle_timeout=0, limit=10, clock=reactor):
        listener = Listener("front", "echo", endpoints or [LOOPBACK], idle_timeout, clock)
        listener.admission = Admission(
            listener="front",
            service_name="echo",
            service=EchoFactory(),
            limiter=ResourceLimiter(),
            ceiling=Ceiling(limit),
            pause=listener.rest,
            ledger=self.ledger,
            ended=self.ended.append,
            ids=map(str, count(1)),
            clock=clock,
        )
        self.listeners.append(listener)
        return listener

    async def close(self):
        for listener in self.listeners:
            await listener.stop(0)


@pytest.fixture
def bench(tmp_path):
    """Closes its listeners at the end, connections and all."""
    bench = Bench()
    yield bench
    pytest_twisted.blockon(Deferred.fromCoroutine(bench.close()))


@pytest_twisted.ensureDeferred
async def test_serves_and_counts(bench):
    """What moves is counted on the socket, and the record ends when the client does."""
    listener = bench.listener()
    assert listener.state == "closed"
    await listener.start()
    assert listener.state == "listening"
    client = await connect(listener.addresses[0])
    assert await client.ask(b"x" * 100_000, 100_000) == b"x" * 100_000
    await client.leave()
    await listener.admission.when_empty()
    [record] = bench.ended
    assert (record.bytes_in, record.bytes_out, record.reason) == (100_000, 100_000, Reason.CLIENT_CLOSED)
    assert bench.ledger.totals("front").bytes_in == 100_000


@pytest_twisted.ensureDeferred
async def test_listens_on_several_endpoints(bench, tmp_path):
    """One listener may have TCP and UNIX endpoints; both are counted."""
    listener = bench.listener(LOOPBACK, f"unix:{tmp_path}/echo.sock")
    await listener.start()
    assert listener.addresses[1] == f"unix:{tmp_path}/echo.sock"
    for number in (0, 1):
        client = await connect(listener.addresses[number])
        assert await client.ask(b"hello", 5) == b"hello"
        await client.leave()
    await listener.admission.when_empty()
    assert [record.bytes_out for record in bench.ended] == [5, 5]
    assert bench.ended[1].peer == "unix"


@pytest_twisted.ensureDeferred
async def test_a_reset_is_recorded_as_one(bench):
    """A client that resets ends with that reason, and without a traceback."""
    listener = bench.listener()
    await listener.start()
    client = await connect(listener.addresses[0])
    await client.ask(b"x", 1)
    client.transport.abortConnection()
    await client.lost
    await listener.admission.when_empty()
    assert bench.ended[0].reason is Reason.CLIENT_RESET


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_named_and_nothing_stays_open(bench):
    """The error says which listener, which endpoint and why; what was open before is closed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = bench.listener(LOOPBACK, f"tcp:{port}:interface=127.0.0.1")
        with pytest.raises(StartError) as raised:
            await listener.start()
    assert f"listener front: tcp:{port}:interface=127.0.0.1: " in str(raised.value)
    assert "in use" in str(raised.value)
    assert listener.addresses == []


@pytest_twisted.ensureDeferred
async def test_a_drain_serves_who_was_in_the_backlog(bench):
    """Who the kernel has connected before the drain begins is served, though nobody had accepted it yet."""
    listener = bench.listener(limit=200)
    await listener.start()
    host, _, port = listener.addresses[0].partition(":")
    clients = [socket.create_connection((host, int(port)), timeout=5) for _ in range(150)]
    for client in clients:
        client.sendall(b"hello")
    stopped = Deferred.fromCoroutine(listener.stop(60))
    await deferToThread(lambda: [client.recv(5) for client in clients])
    for client in clients:
        client.close()
    await stopped
    assert [record.bytes_out for record in bench.ended] == [5] * len(clients)


@pytest_twisted.ensureDeferred
async def test_the_ceiling_leaves_clients_in_the_backlog(bench):
    """Beyond the ceiling a client is connected by the kernel and answered when another one has left."""
    listener = bench.listener(limit=1)
    await listener.start()
    first = await connect(listener.addresses[0])
    await first.ask(b"1", 1)
    assert listener.state == "full"
    second = await connect(listener.addresses[0])
    answer = second.ask(b"2", 1)
    await deferLater(reactor, 0)
    assert not answer.called
    first.transport.loseConnection()
    assert await answer == b"2"


@pytest_twisted.ensureDeferred
async def test_accepting_rests_while_there_is_any_cause(bench):
    """Who comes waits in the backlog until the last cause is gone, of which the ceiling may be one."""
    listener = bench.listener(limit=1)
    await listener.start()
    listener.rest(True, "memory")
    listener.rest(True, "lag")
    assert listener.state == "overloaded"
    first, second = await connect(listener.addresses[0]), await connect(listener.addresses[0])
    answer, later = first.ask(b"1", 1), second.ask(b"2", 1)
    listener.rest(False, "memory")
    await deferLater(reactor, 0)
    assert not answer.called
    listener.rest(False, "lag")
    assert await answer == b"1"
    assert listener.state == "full"
    listener.rest(True, "memory")
    first.transport.loseConnection()
    await first.lost
    while not bench.ended:
        await deferLater(reactor, 0)
    assert (listener.state, later.called) == ("overloaded", False)
    listener.rest(False, "memory")
    assert await later == b"2"


@pytest_twisted.ensureDeferred
async def test_an_idle_connection_ends(bench):
    """The sweep ends what does not move."""
    listener = bench.listener(idle_timeout=0.001)
    await listener.start()
    client = await connect(listener.addresses[0])
    assert await client.lost is ConnectionDone
    await listener.admission.when_empty()
    assert bench.ended[0].reason is Reason.IDLE


@pytest_twisted.ensureDeferred
async def test_who_may_be_idle_for_long_is_looked_at_seldom():
    """A sixteenth of the time-out lies between two looks, and a second at least."""
    for timeout, expected in ((160, [1, 11, 21]), (8, list(range(1, 31))), (0, [])):
        clock = Clock()
        listener = Listener("front", "echo", [], timeout, clock)
        admission: Any = Looked(clock)
        listener.admission = admission
        await listener.start()
        clock.pump([1] * 30)
        assert admission.looks == expected
        assert admission.looks_untaken == []
        await listener.stop(0)


@pytest_twisted.ensureDeferred
async def test_who_may_take_nothing_for_long_is_looked_at_seldom():
    """An eighth of the time-out lies between two looks, and a second at least; they need no idle time-out."""
    for timeout, expected in ((80, [1, 11, 21]), (2, list(range(1, 31)))):
        clock = Clock()
        listener = Listener("front", "echo", [], 0, clock, write_timeout=timeout)
        admission: Any = Looked(clock)
        listener.admission = admission
        await listener.start()
        clock.pump([1] * 30)
        assert (admission.looks_untaken, admission.looks) == (expected, [])
        await listener.stop(0)


@pytest_twisted.ensureDeferred
async def test_a_drain_lets_connections_finish(bench):
    """While draining no one new gets in, and who is in is served until he leaves."""
    listener = bench.listener()
    await listener.start()
    client = await connect(listener.addresses[0])
    await client.ask(b"before", 6)
    stopped = Deferred.fromCoroutine(listener.stop(30))
    await deferLater(reactor, 0)
    assert listener.state == "draining"
    assert listener.addresses == []
    assert await client.ask(b"after", 5) == b"after"
    assert not stopped.called
    client.transport.loseConnection()
    await stopped
    assert bench.ended[0].reason is Reason.CLIENT_CLOSED


@pytest_twisted.ensureDeferred
async def test_a_drain_ends_at_its_deadline(bench):
    """Who stays beyond the deadline is cut, with that reason."""
    listener = bench.listener()
    await listener.start()
    client = await connect(listener.addresses[0])
    await client.ask(b"x", 1)
    await listener.stop(0.01)
    assert await client.lost is ConnectionLost
    assert bench.ended[0].reason is Reason.DRAINED


@pytest_twisted.ensureDeferred
async def test_cut_ends_a_drain(bench):
    """A drain is over when the operator has had enough."""
    listener = bench.listener()
    await listener.start()
    client = await connect(listener.addresses[0])
    await client.ask(b"x", 1)
    stopped = Deferred.fromCoroutine(listener.stop(3600))
    listener.cut(Reason.CUT, "in a hurry")
    await stopped
    assert await client.lost is ConnectionLost
    assert repr(listener) == "<Listener front draining tcp:0:interface=127.0.0.1>"
