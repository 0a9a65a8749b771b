"""What passes to a server over TLS, and what it is blamed for, on real sockets."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

import pytest
import pytest_twisted

from tcpsuite.core.connections import Reason
from tests.support.gateways import Gateway, finish, listening, read_until_reset, reset
from tests.support.sockets import write_certificate


@pytest.fixture
def secure(tmp_path):
    """What a server of TLS needs, and what a gateway has to know of it."""
    certificate = write_certificate(tmp_path)
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(certificate)

    def name(server: socket.socket) -> str:
        port = server.getsockname()[1]
        return f"tls:localhost:{port}:trustRoots={tmp_path}"

    return settings, name


async def _relayed(scene, secure):
    """The record of one connection on which ``scene(client, server)`` was played, and its server."""
    settings, name = secure

    def with_tls(client, server):
        # Who closes without a goodbye, as many do, leaves a bare FIN.
        with settings.wrap_socket(server, server_side=True, suppress_ragged_eofs=False) as encrypted:
            scene(client, encrypted)

    with listening() as server:
        async with Gateway(server, name=name) as gateway:
            await gateway.play(with_tls, server)
    return gateway.records[0], gateway.upstream.servers[0]


@pytest.mark.parametrize("answers", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_bare_fin_behind_the_client_is_no_fault(secure, answers):
    """A server that drops TLS without a goodbye when its client has finished has done nothing wrong."""

    def scene(client, server):
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        if answers:
            server.sendall(b"answer")
            assert client.recv(100) == b"answer"
        finish(client)
        with suppress(ssl.SSLError):
            assert server.recv(100) == b""

    record, server = await _relayed(scene, secure)
    assert (record.reason, record.detail) == (Reason.CLIENT_CLOSED, "")
    assert (server.resets, server.last_error) == (0, "")


@pytest.mark.parametrize("answers", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_reset_within_tls(secure, answers):
    """A server that resets before its first byte is blamed, one that has answered is not; what TLS says by
    itself is no answer.
    """

    def scene(client, server):
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        if answers:
            server.sendall(b"answer")
            assert client.recv(100) == b"answer"
        reset(server)
        assert read_until_reset(client) == b""

    record, server = await _relayed(scene, secure)
    assert record.reason is Reason.SERVER_RESET
    expected = (0, "") if answers else (1, "reset before it said a word")
    assert (server.resets, server.last_error) == expected
