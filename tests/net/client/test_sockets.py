"""The client and the service on real sockets: over TCP, and on streams."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.threads import deferToThread

from tcpsuite.core.connections import Ledger
from tcpsuite.core.limits import Ceiling, ResourceLimiter
from tcpsuite.errors import ConnectFailed, LocalError, RequestFailed
from tcpsuite.net.admission import Admission
from tcpsuite.net.client import BlockingClient, Client, connect
from tcpsuite.net.transport import count as counted
from tcpsuite.services.message import MessageOptions, build
from tcpsuite.testing.contexts import FakeContext
from tests.integration.support.programs import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def served(prefix: str) -> AsyncIterator[Client]:
    """A client, connected to a service behind the admission that every listener has."""
    factory = build(MessageOptions(), FakeContext(reactor))
    admission = Admission(
        listener="messages", service_name="message", service=factory, limiter=ResourceLimiter(),
        ceiling=Ceiling(100), pause=lambda wanted: None, ledger=Ledger(), ended=lambda record: None,
        ids=(str(number) for number in count()), clock=reactor,
    )  # fmt: skip
    port = await serverFromString(reactor, f"{prefix}tcp:0:interface=127.0.0.1").listen(admission)
    counted(port)
    address = f"{prefix}tcp:127.0.0.1:{port.getHost().port}"
    client = await connect(address, reactor)
    try:
        yield client
    finally:
        await client.close()
        await port.stopListening()
        await admission.when_empty().addTimeout(10, reactor)
        await closed_carriers(address)


async def closed_carriers(text: str) -> None:
    """What carries streams stays for the next to come, until the port has told it to go."""
    if not text.startswith("mux:"):
        return
    endpoint: Any = clientFromString(reactor, text)
    await endpoint.trunk.close().addTimeout(10, reactor)


@pytest.mark.parametrize("prefix", ["", "mux:"])
@pytest_twisted.ensureDeferred
async def test_everything_comes_back(prefix):
    """Small ones and large ones, many at once, and notes."""
    async with served(prefix) as client:
        sizes = [0, 1, 100, 70_000, 3_000_000] * 8
        bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
        assert await gatherResults([client.request("echo", body) for body in bodies]) == bodies
        for _ in range(300):
            await client.send("discard", *[bytes(1000)] * 10)
        assert await client.request("generate", b"100 500") == b"500"
        assert [await client.receive() for _ in range(500)] == [("generate", bytes(100))] * 500
        assert b'"discard": {"calls": 3000' in await client.request("stats")
        with pytest.raises(RequestFailed, match="there is no method"):
            await client.request("nope")


@pytest.mark.parametrize("prefix", ["", "mux:"])
@pytest_twisted.ensureDeferred
async def test_threads(prefix):
    """Other threads ask as the reactor's does, and wait; the reactor's own is not let to."""
    async with served(prefix) as client:
        blocking = BlockingClient(client)

        def ask(number: int) -> list[bytes]:
            blocking.send("discard", b"note")
            return [blocking.request("echo", b"%d %d" % (number, each)) for each in range(20)]

        answers = await gatherResults([deferToThread(ask, number) for number in range(5)])
        assert answers == [[b"%d %d" % (number, each) for each in range(20)] for number in range(5)]
        await client.request("generate", b"1 1")
        assert await deferToThread(blocking.receive) == ("generate", b"\0")
        with pytest.raises(LocalError, match="the reactor's"):
            blocking.request("echo")
        assert repr(blocking) == "<BlockingClient <Client connected asked=0 waiting=0>>"
        await deferToThread(blocking.close)


@pytest_twisted.ensureDeferred
async def test_nobody_there():
    """Where nobody listens the first attempt fails, and says so."""
    with pytest.raises(ConnectFailed, match="refused"):
        await connect(f"tcp:127.0.0.1:{free_port()}")
