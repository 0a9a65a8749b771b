"""Socket options on real sockets: what the file says is what the kernel has, on both sides of a gateway."""

from __future__ import annotations

import os
import random
import socket
from typing import Any

import pytest
import pytest_twisted
from attrs import fields
from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.endpoints import _SystemdParser, clientFromString, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.app import build
from tcpsuite.config import load
from tcpsuite.core.connections import Connection
from tcpsuite.errors import StartError
from tcpsuite.net.assembly import build_upstream
from tcpsuite.net.options import UpstreamOptions
from tcpsuite.net.socket_options import (
    HIGH_WATER,
    OF_LISTENERS,
    TO_SERVERS,
    ListenerSocketOptions,
    SocketOptions,
    apply,
)
from tcpsuite.options import Duration, OptionError, Size
from tests.support.client import Client, connect
from tests.support.gateways import address, listening, turn
from tests.support.sockets import backlog, settings, write_certificate

LOOPBACK = "tcp:0:interface=127.0.0.1"

TABLE = """
nodelay = false
keepalive_idle = "33s"
keepalive_interval = 7
keepalive_count = 4
user_timeout = "12345ms"
receive_buffer = "40KiB"
send_buffer = "50KiB"
high_water = "100KiB"
"""

SET = {
    "nodelay": False,
    "keepalive": True,
    "keepalive_idle": 33,
    "keepalive_interval": 7,
    "keepalive_count": 4,
    "user_timeout": 12.345,
    "receive_buffer": 40 * 1024,
    "send_buffer": 50 * 1024,
}

DEFAULT = {
    "nodelay": True,
    "keepalive": True,
    "keepalive_idle": 60,
    "keepalive_interval": 10,
    "keepalive_count": 6,
    "user_timeout": 0,
}


@pytest.fixture
def start(tmp_path):
    """Starts an echo listener on the endpoints, with what a ``socket`` table says; stops it at the end."""
    suites = []

    def start(*listens, table=""):
        file = tmp_path / "suite.toml"
        endpoints = list(listens or [LOOPBACK])
        file.write_text(
            f'state_directory = "state"\n[listener.x]\nservice = "echo"\nendpoint = {endpoints}\n'
            f"[listener.x.socket]\n{table}\n[admin]\nendpoint = ''\n"
        )
        suites.append(build(load(str(file)).config, reactor))
        suites[-1].privilegedStartService()
        suites[-1].startService()
        return suites[-1]

    yield start
    for suite in suites:
        suite.cut()
        pytest_twisted.blockon(suite.stopService())


async def accepted(suite: Any, client: Client) -> Any:
    """The transport that was accepted for ``client``, who has it to himself."""
    assert await client.ask(b"hello", 5) == b"hello"
    (record,) = suite.ledger
    return record.traffic


def listening_sockets(suite: Any) -> list[socket.socket]:
    """Those that its one listener has opened."""
    return [port.socket for port in suite.listeners["x"]._ports]


@pytest_twisted.ensureDeferred
async def test_a_client_is_set_up_without_being_asked_for(start):
    """By default a client's socket does not wait for acknowledgements, and is probed when it is silent."""
    suite = start()
    client = await connect(suite.listeners["x"].addresses[0])
    stream = await accepted(suite, client)
    found = settings(stream.socket)
    assert {name: found[name] for name in DEFAULT} == DEFAULT
    assert stream.bufferSize == HIGH_WATER == FileDescriptor.bufferSize
    (listening_socket,) = listening_sockets(suite)
    with socket.socket() as plain:
        assert settings(listening_socket)["receive_buffer"] == settings(plain)["receive_buffer"]
        assert settings(listening_socket)["send_buffer"] == settings(plain)["send_buffer"]


@pytest_twisted.ensureDeferred
async def test_a_client_is_set_up_as_the_file_says(start):
    """What stands in the table of a listener is what the socket of its client has."""
    suite = start(table=TABLE)
    client = await connect(suite.listeners["x"].addresses[0])
    stream = await accepted(suite, client)
    assert settings(stream.socket) == SET
    assert stream.bufferSize == 100 * 1024


@pytest_twisted.ensureDeferred
async def test_keep_alive_can_be_switched_off(start):
    """A listener without keep-alive probes nobody."""
    suite = start(table="keepalive = false")
    client = await connect(suite.listeners["x"].addresses[0])
    assert settings((await accepted(suite, client)).socket)["keepalive"] is False


@pytest_twisted.ensureDeferred
async def test_a_client_over_tls_is_set_up(start, tmp_path):
    """So is the socket beneath TLS, and the mark is that of the transport which queues."""
    suite = start(f"ssl:0:privateKey={write_certificate(tmp_path)}:interface=127.0.0.1", table=TABLE)
    host, _, port = suite.listeners["x"].addresses[0].rpartition(":")
    way = rf"tls:localhost:{port}:trustRoots={tmp_path}:endpoint=tcp\:{host}\:{port}"
    client = await connectProtocol(clientFromString(reactor, way), Client())
    stream = await accepted(suite, client)
    assert settings(stream.socket) == SET
    assert stream.bufferSize == 100 * 1024
    await client.leave()


@pytest_twisted.ensureDeferred
async def test_a_socket_of_systemds_is_set_up(start, monkeypatch):
    """A socket that was opened by somebody else is set up too, and keeps its backlog."""
    with listening(backlog=99) as theirs:
        fds = ListenFDs([os.dup(theirs.fileno())])
        monkeypatch.setattr(_SystemdParser, "_sddaemon", fds)
        suite = start("systemd:domain=INET:index=0", table=TABLE)
        client = await connect(suite.listeners["x"].addresses[0])
        assert settings((await accepted(suite, client)).socket) == SET
        assert backlog(theirs) == 99


@pytest_twisted.ensureDeferred
async def test_a_unix_endpoint_has_no_use_for_it(start, tmp_path):
    """Beside a TCP endpoint a UNIX one serves with what it has: the mark."""
    suite = start(LOOPBACK, f"unix:{tmp_path}/x.sock", table=TABLE)
    client = await connect(suite.listeners["x"].addresses[1])
    stream = await accepted(suite, client)
    assert stream.socket.family == socket.AF_UNIX
    assert stream.bufferSize == 100 * 1024
    assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    assert settings(listening_sockets(suite)[0]) == SET


@pytest_twisted.ensureDeferred
async def test_the_backlog_is_that_of_the_file_or_of_the_endpoint(start, tmp_path):
    """Every kind of TCP endpoint gets the backlog of the table, unless one stands in it, in whatever way."""
    (tmp_path / "pem").mkdir()
    certificate = write_certificate(tmp_path / "pem")
    bare = [
        "tcp:0", "tcp6:0", f"ssl:0:privateKey={certificate}", f"tls:{tmp_path}/pem:0", "haproxy:tcp:0",
        "tcpsuite:0",
    ]  # fmt: skip
    own = [
        "tcp:0:backlog=77", "tcp:0:127.0.0.1:77", "tcp6:0:77", "haproxy:tcp:0:backlog=77",
        f"ssl:0:{certificate}:backlog=77", "tcpsuite:0::77", "tcpsuite:0:backlog=77:reusePort=1",
    ]  # fmt: skip
    suite = start(*bare, *own, table="backlog = 300")
    found = [backlog(each) for each in listening_sockets(suite)]
    assert found == [300] * len(bare) + [77] * len(own)
    assert [backlog(each) for each in listening_sockets(start())] == [1024]


@pytest_twisted.ensureDeferred
async def test_what_the_endpoint_says_comes_first(start):
    """What a tcpsuite: string says comes before the table, behind haproxy: too; the rest is the table's."""
    ours = "tcpsuite:0:interface=127.0.0.1:keepaliveIdle=33s"
    suite = start(ours, f"haproxy:{ours}", f"HAProxy:{ours}", table="keepalive_count = 9")
    for each in listening_sockets(suite):
        assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
        assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 9


@pytest_twisted.ensureDeferred
async def test_who_says_nothing_is_not_accepted(start):
    """With defer_accept a client is let in with the first bytes it sends; without, when it connects."""
    suite = start(table="defer_accept = '30s'")
    (sock,) = listening_sockets(suite)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) >= 30
    other = start()
    clients = {}
    for each in (suite, other):
        clients[each] = await connect(each.listeners["x"].addresses[0])
    while not len(other.ledger):
        await turn()
    assert len(suite.ledger) == 0
    assert await clients[suite].ask(b"hello", 5) == b"hello"
    assert len(suite.ledger) == 1


@pytest_twisted.ensureDeferred
async def test_what_the_kernel_refuses_fails_the_start(start, monkeypatch):
    """A refusal of the kernel's is told with the listener and the endpoint, and nothing stays open."""
    monkeypatch.setattr(socket, "TCP_KEEPIDLE", 9999)
    suite = build(
        load(settings=[f"listener.x.endpoint={LOOPBACK}", "listener.x.service=echo"]).config, reactor
    )
    listener = suite.listeners["x"]
    with pytest.raises(StartError, match=r"listener x: tcp:0:interface=127\.0\.0\.1: protocol not av"):
        await listener.start()
    assert listener.addresses == []


class Taker(Protocol):
    """Takes a connection to a server."""

    transport: Any


async def connected(options: UpstreamOptions) -> Any:
    """The transport of a connection that an upstream makes; and the upstream."""
    upstream = build_upstream("u", options, reactor, random.Random(1))
    record = Connection(id="1", peer="", host="", listener="", service="", started=0.0, opened_at=0.0)
    taker = Taker()
    (await upstream.acquire("", record)).attach(taker)
    return taker.transport, upstream


def upstream_options(tmp_path, where: str, table: str = "") -> UpstreamOptions:
    """As a file gives them."""
    file = tmp_path / "upstream.toml"
    servers = f'servers = [{{ name = "a", address = "{where}" }}]\n'
    file.write_text(f"[upstream.u]\n{servers}health = {{ mode = 'none' }}\n[upstream.u.socket]\n{table}")
    return load(str(file)).config.upstreams["u"]


@pytest.mark.parametrize("table", ["", TABLE])
@pytest_twisted.ensureDeferred
async def test_a_server_is_set_up_as_the_file_says(tmp_path, table):
    """The socket to a server is set up as its upstream's table says, or by default."""
    with listening() as server:
        transport, upstream = await connected(upstream_options(tmp_path, address(server), table))
        found = settings(transport.socket)
        if table:
            assert (found, transport.bufferSize) == (SET, 100 * 1024)
        else:
            assert {name: found[name] for name in DEFAULT} == DEFAULT
            assert transport.bufferSize == 64 * 1024
        await upstream.stop()


@pytest_twisted.ensureDeferred
async def test_a_server_on_a_unix_socket_has_the_mark_alone(tmp_path):
    """What is said of TCP is left out where a server listens on a UNIX socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "server"))
        server.listen()
        where = f"unix:{tmp_path}/server"
        transport, upstream = await connected(upstream_options(tmp_path, where, TABLE))
        assert transport.bufferSize == 100 * 1024
        assert transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        await upstream.stop()


class BoundsTests(SynchronousTestCase):
    """What the options may be."""

    def test_bounds(self) -> None:
        """Each number is what the kernel takes, at both ends, and nothing beyond them."""
        bounds: dict[str, tuple[list[Any], list[Any]]] = {
            "keepalive_idle": ([1.0, 32_767.0], [0.0, 0.5, 1.5, 32_768.0]),
            "keepalive_interval": ([1.0, 32_767.0], [0.0, 0.5, 32_768.0]),
            "keepalive_count": ([1, 127], [0, 128]),
            "user_timeout": ([0.0, 0.001, 86_400.0], [-1.0, 86_401.0]),
            "receive_buffer": ([0, 4096, 2**30], [1, 4095, 2**30 + 1]),
            "send_buffer": ([0, 4096, 2**30], [1, 4095, 2**30 + 1]),
            "high_water": ([4096, 2**30], [0, 4095, 2**30 + 1]),
            "backlog": ([1, 65_535], [0, 65_536]),
            "defer_accept": ([0.0, 1.0, 3600.0], [0.5, 3601.0]),
        }
        truths = {"nodelay", "keepalive"}
        self.assertEqual(set(bounds) | truths, {own.name for own in fields(ListenerSocketOptions)})
        for name, (good, bad) in bounds.items():
            for value in good:
                options: dict[str, Any] = {name: value}
                with socket.socket() as sock:
                    apply(ListenerSocketOptions(**options), sock)
            for value in bad:
                options = {name: value}
                self.assertRaises(OptionError, ListenerSocketOptions, **options)

    def test_said_in_full(self) -> None:
        """A refusal says what would be right, and why."""
        cases: dict[str, dict[str, Any]] = {
            "expected whole seconds from 1 to 32767, as the kernel counts them, got '0.5s'": {
                "keepalive_idle": Duration(0.5)
            },
            "expected 0, or a size from 4KiB to 1GiB, got '1B'": {"send_buffer": Size(1)},
            "expected a size from 4KiB to 1GiB, got '0B'": {"high_water": Size(0)},
        }
        for text, options in cases.items():
            error = self.assertRaises(OptionError, SocketOptions, **options)
            self.assertEqual(str(error), text)

    def test_the_smallest_time_is_not_none(self) -> None:
        """A user_timeout of less than a millisecond, which is all the kernel can count, is one."""
        with socket.socket() as sock:
            apply(SocketOptions(user_timeout=Duration(0.0004)), sock)
            self.assertEqual(settings(sock)["user_timeout"], 0.001)

    def test_same_defaults(self) -> None:
        """Listeners and upstreams have the same defaults."""
        for own in fields(SocketOptions):
            self.assertEqual(getattr(OF_LISTENERS, own.name), getattr(TO_SERVERS, own.name))
