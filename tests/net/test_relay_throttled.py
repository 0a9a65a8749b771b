"""What passes between a client whose bandwidth is bounded, and a server, on real sockets."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.task import LoopingCall

from tcpsuite.core.connections import Reason
from tcpsuite.core.limits import Limits
from tcpsuite.options import Size
from tests.support.gateways import PATIENCE, Gateway, finish, listening, read_all, read_until_reset, reset

if TYPE_CHECKING:
    from tcpsuite.core.connections import Connection

RATE = 100_000
LIMITS = Limits(0, bandwidth_per_ip=Size(RATE))
PAYLOAD = bytes(range(256)) * (RATE // 2 // 256)
"""Half a second's worth."""
IMPATIENT = 0.15
"""Seconds: an idle time-out that is over long before all of that has passed."""


async def _relayed(scene: Any, limits: Limits = LIMITS, **options: Any) -> Connection:
    """The record of one connection on which ``scene(client, server)`` was played."""
    with listening() as server:
        async with Gateway(server, limits=limits, **options) as gateway:
            await gateway.play(scene, server)
    return gateway.records[0]


@pytest.mark.parametrize("finished", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_reset_of_the_server(finished: bool) -> None:
    """What a server has said before its reset, behind its FIN or not, reaches the client, and the reset comes
    behind that.
    """

    def scene(client: socket.socket, server: socket.socket) -> None:
        server.sendall(PAYLOAD)
        first = client.recv(1)  # the others have been read too by then: the reset drops none of them
        if finished:
            finish(server)
        reset(server)
        assert first + (read_all if finished else read_until_reset)(client) == PAYLOAD

    record = await _relayed(scene)
    assert record.reason is (Reason.SERVER_CLOSED if finished else Reason.SERVER_RESET)


@pytest_twisted.ensureDeferred
async def test_a_reset_of_the_client() -> None:
    """What a client has said before its reset reaches the server."""

    def scene(client: socket.socket, server: socket.socket) -> None:
        client.sendall(PAYLOAD)
        first = server.recv(1)
        reset(client)
        assert first + read_until_reset(server) == PAYLOAD

    assert (await _relayed(scene)).reason is Reason.CLIENT_RESET


@pytest_twisted.ensureDeferred
async def test_a_client_that_takes_nothing() -> None:
    """Behind a server's reset nobody waits for ever for a client that takes nothing of what was said."""

    def scene(client: socket.socket, server: socket.socket) -> None:
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        with suppress(TimeoutError):
            server.settimeout(0.5)
            while True:
                server.sendall(PAYLOAD)
        reset(server)
        look = select.poll()
        look.register(client, 0)  # nothing but its reset is told
        assert look.poll(1000 * PATIENCE)

    fast = Limits(0, bandwidth_per_connection=Size(1 << 30))
    record = await _relayed(scene, limits=fast, fin_timeout=0.2)
    assert record.reason is Reason.SERVER_RESET


@pytest_twisted.ensureDeferred
async def test_is_not_idle() -> None:
    """While what came waits for bandwidth, the connection is not idle, though no byte moves at the client."""

    def scene(client: socket.socket, server: socket.socket) -> None:
        client.sendall(PAYLOAD)
        finish(client)
        assert read_all(server) == PAYLOAD
        server.close()

    with listening() as server:
        async with Gateway(server, limits=LIMITS) as gateway:
            looking = LoopingCall(gateway.admission.idle, IMPATIENT)
            looking.start(IMPATIENT / 10)
            await gateway.play(scene, server)
            looking.stop()
    assert gateway.records[0].reason is Reason.CLIENT_CLOSED
