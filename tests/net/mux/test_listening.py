"""A listener whose endpoint carries streams, on real sockets."""

from __future__ import annotations

import socket
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol, connectionDone

from tcpsuite.core.connections import Ledger, Reason
from tcpsuite.core.limits import Ceiling, ResourceLimiter
from tcpsuite.net.admission import Admission
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.listener import Listener
from tcpsuite.net.mux.connection import NOT_SENT
from tcpsuite.net.mux.trunks import close_trunks, trunks_of
from tcpsuite.net.socket_options import SocketOptions
from tcpsuite.options import Size
from tcpsuite.services.echo import EchoFactory

if TYPE_CHECKING:
    from collections.abc import Iterator


PATIENCE = 20.0
"""Seconds until something that should have happened counts as never."""


class Client(Protocol):
    """Tells what has come, and when it is gone."""

    transport: Any

    def __init__(self) -> None:
        self.data: Deferred[bytes] = Deferred()
        self.gone: Deferred[str] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        answer, self.data = self.data, Deferred()
        answer.callback(data)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        self.gone.callback(type(reason.value).__name__)


class Bench:
    """A listener of an echo, and streams to it."""

    def __init__(self, *endpoints: str) -> None:
        self.ledger = Ledger()
        self.ended: list[Any] = []
        self.listener = Listener("front", "echo", endpoints, 0, reactor)
        self.listener.admission = Admission(
            listener="front",
            service_name="echo",
            service=EchoFactory(),
            limiter=ResourceLimiter(),
            ceiling=Ceiling(10),
            pause=self.listener.rest,
            ledger=self.ledger,
            ended=self.ended.append,
            ids=map(str, count(1)),
            clock=reactor,
        )

    async def open(self) -> Client:
        """A stream that has been echoed on."""
        address = self.listener.addresses[0]
        endpoint = server_endpoint(reactor, f"mux:tcp:{address}", SocketOptions(high_water=Size(4096)))
        client: Any = await endpoint.connect(Factory.forProtocol(Client))
        client.transport.write(b"hello")
        assert await client.data.addTimeout(PATIENCE, reactor) == b"hello"
        assert isinstance(client, Client)
        return client


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Started, and stopped behind the test."""
    bench = Bench("mux:tcp:0:interface=127.0.0.1")
    pytest_twisted.blockon(Deferred.fromCoroutine(bench.listener.start()))
    yield bench
    stops = [bench.listener.stop(0), close_trunks(reactor)]
    stopped = gatherResults([Deferred.fromCoroutine(each) for each in stops])
    pytest_twisted.blockon(stopped.addTimeout(PATIENCE, reactor))
    trunks_of(reactor).clear()


@pytest_twisted.ensureDeferred
async def test_sockets_are_set_up(bench):
    """Both ends keep little in the kernel, streams have the mark that was asked for, records an address."""
    client = await bench.open()
    (carrier,) = bench.listener.doors[0].carriers
    for connection in (carrier, client.transport._connection):
        sock = connection.transport.socket
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOT_SENT
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert client.transport.bufferSize == 4096
    (record,) = bench.ledger
    assert (record.host, record.bytes_in, record.bytes_out) == ("127.0.0.1", 5, 5)


@pytest_twisted.ensureDeferred
async def test_stopped_while_streams_are_open(bench):
    """Those that do not end in their time are cut, with a reset of their own, and then what carried them."""
    client = await bench.open()
    await Deferred.fromCoroutine(bench.listener.stop(0.05)).addTimeout(PATIENCE, reactor)
    assert await client.gone.addTimeout(PATIENCE, reactor) == "ConnectionLost"
    assert [record.reason for record in bench.ended] == [Reason.DRAINED]
    assert len(bench.listener.doors[0].carriers) == 0


@pytest_twisted.ensureDeferred
async def test_stopped_when_the_last_ends(bench):
    """It ends with the last stream, without waiting for its time to be over."""
    client = await bench.open()
    stopping = Deferred.fromCoroutine(bench.listener.stop(60))
    client.transport.write(b"still")
    assert await client.data == b"still"
    client.transport.loseConnection()
    await stopping.addTimeout(PATIENCE, reactor)
    assert [record.reason for record in bench.ended] == [Reason.CLIENT_CLOSED]


@pytest_twisted.ensureDeferred
async def test_rests(bench):
    """While accepting rests for want of something, a stream waits, on a connection that there is."""
    await bench.open()
    bench.listener.rest(True, "memory")
    opening = Deferred.fromCoroutine(bench.open())
    while len(bench.ledger) < 2:
        await turn()
    for _ in range(10):
        await turn()
    assert not opening.called
    bench.listener.rest(False, "memory")
    await opening


def turn() -> Deferred[None]:
    """The reactor's next turn."""
    passed: Deferred[None] = Deferred()
    reactor.callLater(0, passed.callback, None)
    return passed
