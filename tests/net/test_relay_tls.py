"""What passes to a server over TLS, and what it is blamed for, on real sockets."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from tcpsuite.core.connections import Reason
from tcpsuite.options import Duration
from tests.support.gateways import Gateway, accept, finish, listening, read_until_reset, reset
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


async def _tried(secure, other, **options):
    """Why the attempt at the first of two servers failed, which ``other`` plays; the second one shakes hands,
    and answers the client.
    """
    settings, name = secure

    def scene():
        with gateway.connect() as client:
            client.sendall(b"question")
            with accept(bad) as first:
                other(first)
                with accept(good) as plain, settings.wrap_socket(plain, server_side=True) as server:
                    assert server.recv(100) == b"question"
                    server.sendall(b"answer")
                    return client.recv(100)

    with listening() as bad, listening() as good:
        async with Gateway(bad, good, name=name, strategy="first", **options) as gateway:
            assert await deferToThread(scene) == b"answer"
    failed = gateway.upstream.servers[0]
    assert (failed.connections, failed.failures, failed.resets) == (0, 1, 0)
    assert gateway.records[0].server == "s1"
    return gateway.records[0].attempts[0].error


@pytest_twisted.ensureDeferred
async def test_a_wrong_certificate_is_a_failed_attempt(secure, tmp_path):
    """A server with a certificate that is not trusted is not connected, and another one is tried."""
    (tmp_path / "other").mkdir()
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.load_cert_chain(write_certificate(tmp_path / "other"))

    def other(server):
        with pytest.raises(ssl.SSLError, match="alert"):
            stranger.wrap_socket(server, server_side=True)

    assert await _tried(secure, other) == "TLS: certificate verify failed"


@pytest_twisted.ensureDeferred
async def test_no_tls_is_a_failed_attempt(secure):
    """So is one that speaks something else."""
    error = await _tried(secure, lambda server: server.sendall(b"220 mail.example.net ready\r\n"))
    assert error == "TLS: wrong version number"


@pytest_twisted.ensureDeferred
async def test_a_close_in_the_handshake_is_a_failed_attempt(secure):
    """And one that leaves in the middle of it."""
    assert await _tried(secure, finish) == "the connection was lost before the handshake was over"


@pytest_twisted.ensureDeferred
async def test_a_handshake_has_its_time(secure):
    """A server that says nothing has the time to connect for its handshake too, and then others are tried."""
    error = await _tried(secure, read_until_reset, connect_timeout=Duration(0.2))
    assert error == "no TLS handshake within 0.2 s"


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
