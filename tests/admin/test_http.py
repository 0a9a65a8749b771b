"""The admin listener on real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from tcpsuite.admin.http import MOST_CONNECTIONS, AdminListener, AdminOptions
from tcpsuite.errors import StartError
from tcpsuite.options import Endpoints, Secret
from tests.admin.support import busy_suite
from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = Endpoints(("tcp:0:interface=127.0.0.1",))


@pytest_twisted.async_yield_fixture
async def admin() -> AsyncIterator[AdminListener]:
    from twisted.internet import reactor

    listener = AdminListener(AdminOptions(LOOPBACK, token=Secret("s3cret-of-enough")), busy_suite(), reactor)
    await listener.start()
    yield listener
    await listener.stop()


async def get(address: str, path: str, *headers: str, host: str = "localhost") -> str:
    """The whole answer."""
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", "")
    return (await exchange(address, "\r\n".join(lines).encode())).decode()


@pytest_twisted.ensureDeferred
async def test_served(admin: AdminListener) -> None:
    """Probes are answered, and the token opens the rest."""
    (address,) = admin.addresses
    assert (await get(address, "/healthz")).endswith("\r\n\r\nok\n")
    assert "HTTP/1.1 401" in await get(address, "/metrics")
    assert "\ntcpsuite_connections_open{" in await get(
        address, "/metrics", "Authorization: Bearer s3cret-of-enough"
    )
    assert "HTTP/1.1 403" in await get(address, "/healthz", host="example.com")
    assert "listening" in repr(admin)


@pytest_twisted.ensureDeferred
async def test_idle_client_does_not_hold_the_stop(admin: AdminListener) -> None:
    """A connection that asks nothing is closed when the listener stops."""
    from twisted.internet import reactor

    host, port = admin.addresses[0].split(":")
    await connectProtocol(TCP4ClientEndpoint(reactor, host, int(port)), Protocol())
    await get(admin.addresses[0], "/healthz")
    await admin.stop()
    assert admin.addresses == []


@pytest_twisted.ensureDeferred
async def test_silent_crowd(admin: AdminListener) -> None:
    """However many say nothing, or begin a request and no more, be it its headers, its body or the end of
    one that was refused, who asks is answered.
    """
    from twisted.internet import reactor

    (address,) = admin.addresses
    host, port = address.split(":")
    endpoint = TCP4ClientEndpoint(reactor, host, int(port))
    begun = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{"
    for crowd in (b"", b"GET", begun, begun.replace(b"/healthz", b"/metrics")):
        for _ in range(MOST_CONNECTIONS + 5):
            silent: Any = await connectProtocol(endpoint, Protocol())
            silent.transport.write(crowd)
        await _answered(address)


async def _answered(address: str) -> None:
    from twisted.internet import reactor

    answer = Deferred.fromCoroutine(get(address, "/healthz"))
    assert (await answer.addTimeout(5, reactor)).endswith("\r\n\r\nok\n")


@pytest_twisted.ensureDeferred
async def test_port_in_use(admin: AdminListener) -> None:
    """A port in use stops the start, and is named."""
    from twisted.internet import reactor

    host, port = admin.addresses[0].split(":")
    endpoint = f"tcp:{port}:interface={host}"
    second = AdminListener(AdminOptions(Endpoints((endpoint,))), busy_suite(), reactor)
    with pytest.raises(StartError, match=f"listener admin: .*{endpoint}"):
        await second.start()
    await second.stop()


@pytest_twisted.ensureDeferred
async def test_off() -> None:
    """Without an endpoint nothing is opened."""
    from twisted.internet import reactor

    listener = AdminListener(AdminOptions(), busy_suite(), reactor)
    await listener.start()
    assert listener.addresses == []
    await listener.stop()
