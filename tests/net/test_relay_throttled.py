"""What passes between a client whose bandwidth is bounded, and a server, on real sockets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.task import LoopingCall

from tcpsuite.core.connections import Reason
from tcpsuite.core.limits import Limits
from tcpsuite.options import Size
from tests.support.gateways import Gateway, finish, listening, read_all, read_until_reset, reset

if TYPE_CHECKING:
    from tcpsuite.core.connections import Connection

RATE = 10_000
LIMITS = Limits(0, bandwidth_per_ip=Size(RATE))
PAYLOAD = bytes(range(256)) * (RATE // 2 // 256)
"""Half a second's worth, and so little that it comes all at once: no reset can overtake the rest of it."""
IMPATIENT = 0.15
"""Seconds: an idle time-out that is over long before all of that has passed."""


async def _relayed(scene: Any) -> Connection:
    """The record of one connection on which ``scene(client, server)`` was played."""
    with listening() as server:
        async with Gateway(server, limits=LIMITS) as gateway:
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
        first = client.recv(1)
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
