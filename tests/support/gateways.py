"""A gateway on real sockets, with everything before and behind it that it has in a process."""

from __future__ import annotations

import random
import socket
from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from tcpsuite.core.connections import Ledger
from tcpsuite.core.limits import Ceiling, Limits, ResourceLimiter
from tcpsuite.core.limits.settings import UNLIMITED
from tcpsuite.net.admission import Admission
from tcpsuite.net.assembly import build_upstream
from tcpsuite.net.health_options import HealthOptions
from tcpsuite.net.options import ServerOptions, UpstreamOptions
from tcpsuite.net.socket_options import HIGH_WATER
from tcpsuite.net.throttling import Throttling
from tcpsuite.net.transport import count as count_bytes
from tcpsuite.options import ClientEndpoint
from tcpsuite.services.gateway import GatewayFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.core.connections import Connection

PATIENCE = 20.0
"""Seconds until a socket on which nothing happens has failed the test."""

RESET = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER, on, for no time: a close becomes a reset."""


def listening(backlog: int = 128) -> socket.socket:
    """A server that the test plays."""
    server = socket.socket()
    server.settimeout(PATIENCE)
    server.bind(("127.0.0.1", 0))
    server.listen(backlog)
    return server


def address(server: socket.socket) -> str:
    """Its client endpoint string."""
    return f"tcp:127.0.0.1:{server.getsockname()[1]}"


def accept(server: socket.socket) -> socket.socket:
    """The next connection to it."""
    accepted, _ = server.accept()
    accepted.settimeout(PATIENCE)
    return accepted


def reset(peer: socket.socket) -> None:
    """End the connection with a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.close()


def finish(peer: socket.socket) -> None:
    """End our half of the connection."""
    peer.shutdown(socket.SHUT_WR)


def read_all(peer: socket.socket) -> bytes:
    """All that comes until a FIN."""
    return b"".join(iter(lambda: peer.recv(1 << 16), b""))


def read_until_reset(peer: socket.socket) -> bytes:
    """All that comes until a reset; a FIN is a fault."""
    data = bytearray()
    while True:
        try:
            more = peer.recv(1 << 16)
        except ConnectionResetError:
            return bytes(data)
        assert more, "a FIN where a reset was to come"
        data += more


async def turn() -> None:
    """Let the reactor turn once."""
    from twisted.internet import reactor

    done: Deferred[None] = Deferred()
    reactor.callLater(0, done.callback, None)
    await done


class Gateway:
    """In front of one server, or of several; gives its ended connections' records in ``records``.

    :param name: gives a server's client endpoint string.
    :param limits: of its clients.
    """

    def __init__(
        self,
        *servers: socket.socket,
        fin_timeout: float = 30.0,
        max_connections: int = 0,
        name: Callable[[socket.socket], str] = address,
        limits: Limits = UNLIMITED,
        **options: Any,
    ) -> None:
        from twisted.internet import reactor

        table = UpstreamOptions(
            servers=tuple(
                ServerOptions(f"s{number}", ClientEndpoint(name(server)), max_connections=max_connections)
                for number, server in enumerate(servers)
            ),
            health=HealthOptions("none"),
            **options,
        )
        self.records: list[Connection] = []
        self.upstream = build_upstream("test", table, reactor, random.Random(1))
        self._reactor: Any = reactor
        limiter = ResourceLimiter(limits, exempt_loopback=False)
        self.admission = Admission(
            listener="gate",
            service_name="gateway",
            service=GatewayFactory(self.upstream, reactor, fin_timeout=fin_timeout),
            limiter=limiter,
            ceiling=Ceiling(1000),
            pause=lambda rest: None,
            ledger=Ledger(),
            ended=self.records.append,
            ids=map(str, count(1)),
            clock=self._reactor,
            throttling=Throttling(limiter, self._reactor, HIGH_WATER),
        )

    async def __aenter__(self) -> Gateway:
        self._port = self._reactor.listenTCP(0, self.admission, interface="127.0.0.1")
        count_bytes(self._port)
        self.upstream.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._port.stopListening()
        await self.admission.when_empty().addTimeout(PATIENCE, self._reactor)
        await self.upstream.stop(PATIENCE)
        assert [server.active for server in self.upstream.servers] == [0] * len(self.upstream.servers)

    def connect(self) -> socket.socket:
        """A client of the gateway."""
        return socket.create_connection(("127.0.0.1", self._port.getHost().port), PATIENCE)

    async def play(
        self, scene: Callable[[socket.socket, socket.socket], None], server: socket.socket
    ) -> None:
        """Run ``scene(client, accepted)`` in a thread, with a client and what the server accepted for it."""

        def run() -> None:
            with self.connect() as client, accept(server) as accepted:
                scene(client, accepted)

        await deferToThread(run)
