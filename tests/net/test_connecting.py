"""Connections to servers, made without a detour, on real sockets."""

from __future__ import annotations

import socket
from errno import ECONNREFUSED, EMFILE, ENOBUFS, ENOENT, ENOSPC
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP6ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
)
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.net import connecting
from tcpsuite.net.connecting import StraightEndpoint, server_endpoint
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.shortage import is_shortage
from tcpsuite.net.socket_options import SocketOptions
from tcpsuite.net.transport import adopt
from tcpsuite.options import Size
from tests.support.gateways import PATIENCE, accept, address, listening, turn


class Client(Protocol):
    """Gives all that came until the end."""

    def __init__(self) -> None:
        self.got = b""
        self.ended: Deferred[Any] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.value)


def connect(where: str, factory: Any = None, **options: Any) -> Deferred[Any]:
    """Begin to connect."""
    endpoint = server_endpoint(reactor, where, SocketOptions(**options))
    return endpoint.connect(factory or Factory.forProtocol(Client))


def at(family: int, place: Any) -> socket.socket:
    """A server that the test plays."""
    server = socket.socket(family)
    server.settimeout(PATIENCE)
    server.bind(place)
    server.listen()
    return server


@pytest.mark.parametrize(
    ("text", "straight"),
    [
        ("tcp:192.0.2.1:80", True),
        ("tcp:host=192.0.2.1:port=80", True),
        (r"tcp:2001\:db8\:\:1:80", True),
        (r"tcp:fe80\:\:1%lo:80", True),
        ("unix:/run/x.sock", True),
        ("unix:path=/run/x.sock", True),
        ("tcp:db.example:80", False),
        ("tcp:192.0.2.1:80:timeout=3", False),
        ("tcp:192.0.2.1:80:bindAddress=192.0.2.9", False),
        ("unix:/run/x.sock:lockfile=1", False),
    ],
)
def test_what_is_connected_to_straight_away(text: str, straight: bool) -> None:
    """A numeric address or a path with nothing else said is; all else is left to Twisted's own endpoint."""
    assert repr(server_endpoint(reactor, text)).startswith(f"<{'Straight' if straight else 'SetUp'}Endpoint")


@pytest_twisted.ensureDeferred
async def test_to_each_kind_of_address(tmp_path) -> None:
    """Bytes pass both ways, the protocol knows its peer, and the server's FIN arrives."""
    path = str(tmp_path / "s")
    for family, place, text, kind in (
        (socket.AF_INET, ("127.0.0.1", 0), "tcp:127.0.0.1:{}", IPv4Address),
        (socket.AF_INET6, ("::1", 0), r"tcp:\:\:1:{}", IPv6Address),
        (socket.AF_UNIX, path, f"unix:{path}", UNIXAddress),
        (socket.AF_INET, ("127.0.0.1", 0), "tcp:localhost:{}", IPv4Address),
    ):
        with at(family, place) as server:
            client = await connect(text.format(server.getsockname()[1]))
            with accept(server) as accepted:
                client.transport.write(b"question")
                assert await deferToThread(accepted.recv, 100) == b"question"
                accepted.sendall(b"answer")
                peer = client.transport.getPeer()
                assert isinstance(peer, kind)
            assert isinstance(await client.ended, ConnectionDone)
            assert client.got == b"answer"


@pytest_twisted.ensureDeferred
async def test_a_server_on_this_machine_is_there_at_once() -> None:
    """Where the kernel has connected already, nobody waits for the reactor."""
    with listening() as server:
        connected = connect(address(server))
        assert connected.called
        client = await connected
        accept(server).close()
        await client.ended


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_slow_to_answer() -> None:
    """Where the handshake takes its time the Deferred fires when it is over."""
    # One connection fills a backlog of none: the handshake of the next one waits.
    with listening(0) as server, socket.create_connection(server.getsockname()):
        connected = connect(address(server))
        await turn()
        assert not connected.called
        with accept(server):
            client = await connected.addTimeout(PATIENCE, reactor)
        with accept(server):
            client.transport.loseConnection()
            await client.ended


@pytest_twisted.ensureDeferred
async def test_a_server_that_fails_before_it_answers() -> None:
    """A refusal that comes later is a refusal all the same."""
    with listening(0) as server, socket.create_connection(server.getsockname()):
        connected = connect(address(server))
    with pytest.raises(Refused):
        await connected.addTimeout(PATIENCE, reactor)


@pytest_twisted.ensureDeferred
async def test_failures_are_those_of_twisted(tmp_path) -> None:
    """Types, numbers and words are what Twisted's endpoints give, and none comes at once."""
    with listening() as server:
        gone = address(server)
    for where, kind, number, text in (
        (gone, Refused, ECONNREFUSED, "connection refused"),
        (f"unix:{tmp_path}/none", ConnectError, ENOENT, "no such file or directory"),
        (f"unix:/{'x' * 200}", ConnectError, None, "path too long"),
        (r"tcp:fe80\:\:1%nowhere:1", socket.gaierror, None, "not known"),
    ):
        connected = connect(where)
        assert not connected.called
        with pytest.raises(kind) as raised:
            await connected
        assert getattr(raised.value, "osError", None) == number
        assert text in failure_text(Failure(raised.value))


@pytest_twisted.ensureDeferred
async def test_cancelled_while_it_connects() -> None:
    """The socket is closed, now, and the Deferred fails."""
    with listening(0) as server, socket.create_connection(server.getsockname()):
        connected = connect(address(server))
        connected.cancel()
        with pytest.raises(ConnectingCancelledError):
            await connected


@pytest_twisted.ensureDeferred
async def test_a_reactor_that_stops() -> None:
    """What is being connected is given up when the reactor tells everyone to go."""
    with listening(0) as server, socket.create_connection(server.getsockname()):
        writers = cast("Any", reactor).getWriters
        before = writers()
        connected = connect(address(server))
        (attempt,) = set(writers()) - set(before)
        assert address(server).removeprefix("tcp:127.0.0.1:") in repr(attempt)
        attempt.connectionLost(Failure(ConnectionDone()))
        attempt.connectionLost(Failure(ConnectionDone()))
        assert writers() == before
        with pytest.raises(ConnectingCancelledError):
            await connected


@pytest_twisted.ensureDeferred
async def test_cancelled_before_it_is_said_that_it_failed(tmp_path) -> None:
    """Nothing is left of it; the Deferred fails as that of any attempt that is cancelled."""
    connected = connect(f"unix:{tmp_path}/none")
    connected.cancel()
    with pytest.raises(ConnectingCancelledError):
        await connected


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_none() -> None:
    """Twisted's own endpoint fails with OverflowError, too; nothing is raised, and no socket left."""
    endpoint = StraightEndpoint(reactor, IPv4Address("TCP", "127.0.0.1", 99_999))
    connected = endpoint.connect(Factory.forProtocol(Client))
    assert not connected.called
    with pytest.raises(OverflowError):
        await connected


@pytest_twisted.ensureDeferred
async def test_a_scoped_address() -> None:
    """The peer's host has its scope behind it, as Twisted's own endpoint tells it."""
    with at(socket.AF_INET6, ("::1", 0)) as server:
        port = server.getsockname()[1]
        peers = []
        for endpoint in (
            server_endpoint(reactor, rf"tcp:\:\:1%1:{port}"),
            TCP6ClientEndpoint(reactor, "::1%1", port),
        ):
            client = await cast("Any", endpoint.connect(Factory.forProtocol(Client)))
            peers.append(client.transport.getPeer())
            accept(server).close()
            await client.ended
    assert peers[0] == peers[1]
    assert peers[0].host == "::1%1"


def test_a_reactor_that_takes_no_more() -> None:
    """A socket that the reactor cannot watch is closed."""

    class Full:
        def addReader(self, reader: Any) -> None:
            raise OSError(ENOSPC, "")

    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(OSError, match=str(ENOSPC)):
            adopt(Full(), ours, Client(), "")
        assert ours.fileno() == -1


@pytest_twisted.ensureDeferred
async def test_sockets_are_set_up() -> None:
    """Straight or not, socket and transport are as the options say."""
    with listening() as server:
        for where in (address(server), address(server).replace("127.0.0.1", "localhost")):
            client = await connect(where, nodelay=False, high_water=Size(123_456))
            accept(server).close()
            assert not client.transport.getTcpNoDelay()
            assert client.transport.bufferSize == 123_456
            await client.ended


class ShortageTests(SynchronousTestCase):
    """For want of something here."""

    def failure(self, name: str, number: int) -> Failure:
        """How it fails when ``name`` fails with that number."""

        def short(*_: Any) -> None:
            raise OSError(number, "")

        clock: Any = Clock()
        self.patch(connecting if name == "put" else socket, name, short)
        connected = server_endpoint(clock, "tcp:192.0.2.1:1").connect(Factory.forProtocol(Client))
        self.assertNoResult(connected)
        clock.advance(0)
        failure: Failure = self.failureResultOf(connected)
        return failure

    def test_no_descriptor(self) -> None:
        """Without a descriptor it fails so that it is seen whose fault it is, in the system's words."""
        failure = self.failure("socket", EMFILE)
        self.assertTrue(is_shortage(failure))
        self.assertEqual(failure_text(failure), "too many open files")

    def test_an_option_that_the_kernel_refuses(self) -> None:
        """What the kernel says of an option is why it fails, and the socket is closed."""
        self.assertEqual(failure_text(self.failure("put", ENOBUFS)), "no buffer space available")


@pytest_twisted.ensureDeferred
async def test_an_option_that_the_kernel_refuses_later(monkeypatch) -> None:
    """A connection that Twisted has made is reset when its socket cannot be set up."""

    def refuse(*_: Any) -> None:
        raise OSError(ENOBUFS, "No buffer space available")

    monkeypatch.setattr(connecting, "set_up", refuse)
    with listening() as server:
        with pytest.raises(OSError, match="No buffer space"):
            await connect(address(server).replace("127.0.0.1", "localhost"))
        with accept(server) as accepted:
            await turn()
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
