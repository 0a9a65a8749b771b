"""Files that the kernel sends, to clients of every kind, on real sockets."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tcpsuite.core.connections import Reason
from tcpsuite.net.http import Phase
from tcpsuite.net.pagecache import AHEAD
from tcpsuite.net.sendfile import SMALL, FileSending
from tests.support.files import descriptors, drop
from tests.support.served import dial, http, served, until
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.served import Client, Served

SIZE = 20_000_003
"""More than all buffers of a connection take together."""


@pytest.fixture(scope="module")
def large() -> bytes:
    """What the large file holds."""
    return os.urandom(SIZE)


@pytest.fixture
def root(tmp_path: Path, large: bytes) -> Path:
    """A folder with the large file in it."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "large").write_bytes(large)
    return root


@pytest.fixture
def by_kernel(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sendings that were the kernel's."""
    found: list[Any] = []
    send_to = FileSending.send_to

    def noted(sending: FileSending, transport: Any) -> Any:
        found.append(sending)
        return send_to(sending, transport)

    monkeypatch.setattr(FileSending, "send_to", noted)
    return found


def is_whole(client: Client, body: bytes) -> bool:
    """Whether an answer with that body has come."""
    return len(client.got.partition(b"\r\n\r\n")[2]) >= len(body)


async def taken(served: Served, requests: bytes) -> bytes:
    """All that is answered until the connection closes, to a client that takes it as it comes."""
    client = await dial(served)
    client.transport.write(requests)
    await until(lambda: client.lost and served.ended)
    return bytes(client.got)


async def settled(served: Served) -> None:
    """Wait until nothing moves any more, to a client that does not read."""
    before = -1
    (channel,) = served.factory.channels
    while (now := channel.transport.bytes_out) != before or not now:
        before = now
        await deferLater(reactor, 0.05)


@pytest_twisted.ensureDeferred
async def test_one_answer_behind_the_other(root: Path, large: bytes, by_kernel: list[Any]) -> None:
    """Requests that come at once are answered in order, large and small, whole and in parts, and counted."""
    (root / "small").write_bytes(large[:SMALL])
    requests = [
        b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=1000-9000999\r\n\r\n",
        b"GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99999,-100000\r\n\r\n",
        http("GET", "/large"),
    ]
    async with served(root, "http") as files:
        answer = await taken(files, b"".join(requests))
        found, rest = [], answer
        for method in ("GET", "GET", "HEAD", "GET", "GET", "GET"):
            head, _, rest = rest.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            length = 0 if method == "HEAD" else length
            found.append(rest[:length])
            rest = rest[length:]
        parts = found.pop(4)
        assert found == [large, large[:SMALL], b"", large[1000:9_001_000], large]
        assert large[:100_000] in parts
        assert large[-100_000:] in parts
        assert rest == b""
        assert len(by_kernel) == 4
        (record,) = files.ended
        assert (record.bytes_out, record.reason) == (len(answer), Reason.SERVICE_CLOSED)


@pytest_twisted.ensureDeferred
async def test_lines(root: Path, large: bytes, by_kernel: list[Any]) -> None:
    """The same over lines, and the lines behind it are answered."""
    async with served(root, "lines") as files:
        answer = await taken(files, b"GET large\nSTAT /\nGET large 5 1000000\nGET large 7 3\nQUIT\n")
        whole = b"OK %d %d\n" % (SIZE, SIZE) + large + b"OK directory\n"
        part = b"OK 1000000 %d\n" % SIZE + large[5:1_000_005] + b"OK 3 %d\n" % SIZE + large[7:10]
        assert answer == whole + part + b"OK\n"
        assert len(by_kernel) == 2
        (record,) = files.ended
        assert record.bytes_out == len(answer)


@pytest_twisted.ensureDeferred
async def test_unix(tmp_path: Path, root: Path, large: bytes, by_kernel: list[Any]) -> None:
    """The same on a UNIX socket."""
    async with served(root, "http", endpoint=f"unix:{tmp_path}/socket") as files:
        client = await dial(files)
        client.transport.write(http("GET", "/large"))
        await until(lambda: client.lost)
        assert client.got.partition(b"\r\n\r\n")[2] == large
        assert len(by_kernel) == 1


@pytest_twisted.ensureDeferred
async def test_tls(tmp_path: Path, root: Path, large: bytes, by_kernel: list[Any]) -> None:
    """With TLS it is read and written, for the kernel cannot encrypt it; from the disk as well."""
    endpoint = f"ssl:0:privateKey={write_certificate(tmp_path)}:interface=127.0.0.1"
    with (root / "large").open("rb") as file:
        drop(file.fileno())
    for protocol, request in (("http", http("GET", "/large")), ("lines", b"GET large\nQUIT\n")):
        async with served(root, protocol, endpoint=endpoint) as files:
            client = await dial(files, tls=True)
            client.transport.write(request)
            await until(lambda client=client: client.lost)
            assert large in client.got
    assert by_kernel == []


@pytest_twisted.ensureDeferred
async def test_cold(root: Path, large: bytes) -> None:
    """What is not in memory is fetched by a thread, and arrives."""
    with (root / "large").open("rb") as file:
        if not drop(file.fileno()):
            pytest.skip("this file system has no file out of memory")
    async with served(root, "http") as files:
        cache = files.factory.share.cache
        with mock.patch.object(cache, "fetch", wraps=cache.fetch) as fetch:
            answer = await taken(files, http("GET", "/large"))
        assert answer.partition(b"\r\n\r\n")[2] == large
        assert 1 <= len(fetch.mock_calls) <= SIZE // AHEAD + 1


@pytest_twisted.ensureDeferred
async def test_slow_reader(root: Path, large: bytes) -> None:
    """A client that does not read costs no memory, and gets all of it in its own time."""
    async with served(root, "http") as files:
        client = await dial(files)
        client.transport.pauseProducing()
        client.transport.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: files.factory.channels)
        (channel,) = files.factory.channels
        for _ in range(3):
            await settled(files)
            assert channel.transport.drained
            so_far = len(client.got)
            client.transport.resumeProducing()
            await until(lambda so_far=so_far: len(client.got) > so_far + 1_000_000)
            client.transport.pauseProducing()
        client.transport.resumeProducing()
        await until(lambda: is_whole(client, large))
        assert client.got.partition(b"\r\n\r\n")[2] == large
        client.transport.loseConnection()
        await until(lambda: files.ended)


@pytest_twisted.ensureDeferred
async def test_many_clients(root: Path, large: bytes) -> None:
    """Many at once, some of whom leave in the middle: the others get what they asked for."""
    before = descriptors()
    async with served(root, "http") as files:
        requests = [http("GET", "/large", f"Range: bytes={n}-{n + 3_000_000}") for n in range(20)]
        asked = [Deferred.fromCoroutine(files.ask(request)) for request in requests]
        leaving = [await dial(files) for _ in range(10)]
        for client in leaving:
            client.enough = 100_000
            client.transport.write(http("GET", "/large"))
        await until(lambda: all(len(client.got) >= client.enough for client in leaving))
        for client in leaving:
            assert len(client.got) < SIZE
            client.transport.abortConnection()
        for number, answer in enumerate(await gatherResults(asked)):
            assert answer.partition(b"\r\n\r\n")[2] == large[number : number + 3_000_001]
        await until(lambda: len(files.ended) == 30)
    await until(lambda: descriptors() <= before)


@pytest_twisted.ensureDeferred
async def test_client_leaves(root: Path) -> None:
    """A client that leaves in the middle, with a reset or in order, leaves nothing open, nothing logged."""
    for protocol, request in (("http", http("GET", "/large")), ("lines", b"GET large\n")):
        for leave in ("abortConnection", "loseConnection"):
            async with served(root, protocol) as files:
                before = descriptors()
                client = await dial(files)
                client.enough = 100_000
                client.transport.write(request)
                await until(lambda client=client: len(client.got) >= client.enough)
                getattr(client.transport, leave)()
                await until(lambda files=files: files.ended)
                (record,) = files.ended
                assert 0 < record.bytes_out < SIZE
                await until(lambda before=before: descriptors() <= before)


@pytest_twisted.ensureDeferred
async def test_truncated(root: Path, large: bytes) -> None:
    """A file that becomes shorter in the middle ends the connection, and the record says why."""
    for protocol, request in (("http", http("GET", "/large")), ("lines", b"GET large\nSTAT /\n")):
        (root / "large").write_bytes(large)
        async with served(root, protocol) as files:
            client = await dial(files)
            client.enough = 100_000
            client.transport.write(request)
            await until(lambda client=client: len(client.got) >= client.enough)
            os.truncate(root / "large", SIZE - 1_000_000)
            client.enough = SIZE
            client.transport.resumeProducing()
            await until(lambda client=client: client.lost)
            assert len(client.got) < SIZE
            (record,) = files.ended
            assert record.reason is Reason.SERVICE_CLOSED
            assert "shorter" in record.detail


@pytest_twisted.ensureDeferred
async def test_half_closed(root: Path, large: bytes) -> None:
    """A client that has closed its half gets all of it, and then the end."""
    async with served(root, "http") as files:
        client = await dial(files)
        client.transport.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        client.transport.loseWriteConnection()
        await until(lambda: client.lost)
        assert client.got.partition(b"\r\n\r\n")[2] == large


@pytest_twisted.ensureDeferred
async def test_drained(root: Path, large: bytes) -> None:
    """A listener that closes lets what is being sent arrive."""
    async with served(root, "http") as files:
        client = await dial(files)
        client.transport.pauseProducing()
        client.transport.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: files.factory.channels)
        await settled(files)
        files.factory.stopFactory()
        client.transport.resumeProducing()
        await until(lambda: client.lost)
        assert client.got.partition(b"\r\n\r\n")[2] == large


@pytest_twisted.ensureDeferred
async def test_asked_while_full(tmp_path: Path, root: Path, large: bytes) -> None:
    """A file that is asked for while earlier answers are not taken comes behind them; then the connection is
    as good as before.
    """
    missing = b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(root, "http", endpoint=f"unix:{tmp_path}/socket") as files:
        client = await dial(files)
        client.transport.pauseProducing()
        await until(lambda: files.factory.channels)
        (channel,) = files.factory.channels
        # On a UNIX socket this is all the room that there is.
        channel.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        # The headers of the file fill it up again.
        channel.transport.bufferSize = 100
        client.transport.write(missing * 400 + b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: channel.phase is Phase.HELD and channel._waitingForTransport)
        client.transport.resumeProducing()
        await until(lambda: large[-100:] in client.got)
        assert client.got.endswith(large)
        assert client.got.count(b"HTTP/1.1 404 ") == 400
        assert channel.transport.producer is channel
        assert not channel._waitingForTransport
        client.got.clear()
        client.transport.write(missing)
        await until(lambda: client.got)
        client.transport.loseConnection()
        await until(lambda: files.ended)
