"""The file service behind the admission that every listener has, on real sockets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    clientFromString,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater

from tcpsuite.core.connections import Connection, Ledger
from tcpsuite.core.limits import Ceiling, ResourceLimiter
from tcpsuite.net.admission import Admission
from tcpsuite.net.transport import count as counted
from tcpsuite.options import DirectoryPath, Secret, Size
from tcpsuite.services.files import FilesOptions, build
from tcpsuite.testing.contexts import FakeContext
from tests.support.exchange import exchange
from tests.support.files import TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from twisted.python.failure import Failure


@frozen
class Served:
    """A service that listens, and the records of its connections as they end."""

    address: str
    factory: Any
    ended: list[Connection]

    async def ask(self, data: bytes) -> bytes:
        """What it answers until it closes."""
        return await exchange(self.address, data)


@asynccontextmanager
async def served(
    root: Path, protocol: str, uploads: bool = True, endpoint: str = "tcp:0:interface=127.0.0.1"
) -> AsyncIterator[Served]:
    """The service on an endpoint: on TCP, on UNIX, or with TLS."""
    options = FilesOptions(
        root=DirectoryPath(str(root)),
        protocol=protocol,
        uploads=uploads,
        max_upload=Size(10_000_000),
        token=Secret(TOKEN),
    )
    factory: Any = build(options, FakeContext(reactor))
    ended: list[Connection] = []
    admission = Admission(
        listener="files",
        service_name="files",
        service=factory,
        limiter=ResourceLimiter(),
        ceiling=Ceiling(100),
        pause=lambda wanted: None,
        ledger=Ledger(),
        ended=ended.append,
        ids=(str(number) for number in count()),
        clock=reactor,
    )
    port = await serverFromString(reactor, endpoint).listen(admission)
    counted(port)
    host = port.getHost()
    address = f"unix:{host.name.decode()}" if endpoint.startswith("unix:") else f"127.0.0.1:{host.port}"
    try:
        yield Served(address, factory, ended)
    finally:
        await port.stopListening()
        await admission.when_empty().addTimeout(10, reactor)
        factory.share.root.close()


def http(method: str, path: str, *headers: str) -> bytes:
    """A request that is the last of its connection."""
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    ).encode()


async def until(condition: Any) -> None:
    """Let the reactor turn until ``condition`` holds."""
    for _ in range(2000):
        if condition():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("it never happened")


class Client(Protocol):
    """A client that keeps what it gets.

    :ivar lost: whether the connection is gone.
    :ivar enough: bytes after which it reads no more, until somebody resumes it.
    """

    enough = float("inf")

    transport: Any

    def __init__(self) -> None:
        self.got = bytearray()
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        if len(self.got) >= self.enough:
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


async def dial(served: Served, tls: bool = False) -> Client:
    """A client."""
    endpoint: Any
    if served.address.startswith("unix:"):
        endpoint = clientFromString(reactor, served.address)
    else:
        host, port = served.address.split(":")
        endpoint = TCP4ClientEndpoint(reactor, host, int(port))
    if tls:
        endpoint = wrapClientTLS(CertificateOptions(verify=False), endpoint)
    client: Client = await connectProtocol(endpoint, Client())
    return client
