"""A client that asks for more and more and reads nothing, on real sockets."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tcpsuite.net.transport import counted
from tests.support.served import dial, http, served, until
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 1300
PART = 20_000
DATA = os.urandom(PART + COUNT)
PAD = "X-Pad: " + "x" * 15_000


def request(number: int) -> bytes:
    """A request of 15 KB, for another part of the file each."""
    place = f"Range: bytes={number}-{number + PART - 1}"
    return f"GET /file HTTP/1.1\r\nHost: x\r\n{place}\r\n{PAD}\r\n\r\n".encode()


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
@pytest_twisted.ensureDeferred
async def test_flood(kind: str, tmp_path: Path) -> None:
    """Of a client that sends 20 MB of requests and reads nothing the server takes but a little, and answers
    all of them, in order, when it reads.
    """
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(DATA)
    endpoint = {"tcp": "tcp:0:interface=127.0.0.1", "unix": f"unix:{tmp_path}/socket"}.get(kind)
    if endpoint is None:
        endpoint = f"ssl:0:privateKey={write_certificate(tmp_path)}:interface=127.0.0.1"
    async with served(root, "http", endpoint=endpoint) as files:
        client = await dial(files, kind == "tls")
        client.transport.write(request(0)[:10])
        await until(lambda: files.factory.channels)
        (channel,) = files.factory.channels
        client.transport.pauseProducing()
        channel.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        rest = b"".join(request(number) for number in range(COUNT)) + http("GET", "/missing")
        client.transport.write(rest[10:])
        traffic: Any = counted(channel.transport)
        before = -1
        while traffic.bytes_in != before:
            before = traffic.bytes_in
            await deferLater(reactor, 0.1)
        assert before < 1_000_000
        client.transport.resumeProducing()
        await until(lambda: client.lost)
        answers, place = bytes(client.got), 0  # what is cut off its front is copied each time: 34 GB in all
        for number in range(COUNT):
            start = answers.index(b"\r\n\r\n", place) + 4
            assert answers.startswith(b"HTTP/1.1 206 ", place)
            place = start + PART
            assert answers[start:place] == DATA[number : number + PART]
        assert answers.startswith(b"HTTP/1.1 404 ", place)
