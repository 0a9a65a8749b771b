"""Clients of a real process that take their time, each in another way: those who could be served are."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from select import select
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.suites import Suite
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LISTENERS = """
[listener.web]
endpoint = [
  "tcp:<web>:interface=127.0.0.1",
  "unix:{folder}/web",
  "ssl:<tls>:privateKey={certificate}:interface=127.0.0.1",
]
service = "files"
root = "{folder}/root"
uploads = true
token = "{token}"
read_timeout = "1s"
write_timeout = "1.5s"

[listener.files]
endpoint = "tcp:<files>:interface=127.0.0.1"
service = "files"
protocol = "lines"
root = "{folder}/root"
read_timeout = "1s"
write_timeout = "1.5s"

[listener.sessions]
endpoint = "tcp:<sessions>:interface=127.0.0.1"
service = "session"
anonymous = true
read_timeout = "1s"
write_timeout = "1.5s"
max_requests_in_hand = 100

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"
write_timeout = "1.5s"

[listener.gateway]
endpoint = "tcp:<gateway>:interface=127.0.0.1"
service = "gateway"
upstream = "patient"
write_timeout = "1.5s"

[listener.patient]
endpoint = "tcp:<patient>:interface=127.0.0.1"
service = "echo"

[upstream.patient]
servers = [{{ name = "patient", address = "tcp:127.0.0.1:<patient>" }}]

[sessions]
store = "memory"
"""
TOKEN = "sixteen characters"
PACE = 0.1
"""Seconds between two bytes of who is slow."""
PATIENCE = 20
LARGE = 20_000_003
"""More than all buffers of a connection take together."""
DATA = os.urandom(300_000)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what clients have open."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def suite(serve: Callable[..., Suite], tmp_path: Path) -> Suite:
    """All listeners, and files to ask them for."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "large").write_bytes(bytes(LARGE))
    (root / "some").write_bytes(DATA)
    certificate = write_certificate(tmp_path)
    return serve(LISTENERS.format(folder=tmp_path, certificate=certificate, token=TOKEN))


def connect(stack: ExitStack, port: int, buffer: int = 0) -> socket.socket:
    """A connection to that port, of a client that keeps so many bytes unread."""
    client = stack.enter_context(socket.socket())
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", port))
    return client


def rest(client: socket.socket) -> bytes:
    """What is still to be read, however it ends."""
    got = b""
    with suppress(ConnectionError):
        while data := client.recv(1 << 16):
            got += data
    return got


def trickle(client: socket.socket, data: bytes) -> bytes:
    """Send byte by byte, until there is an answer, or the end; gives it, and leaves."""
    with client:
        with suppress(ConnectionError):
            for byte in data:
                client.sendall(bytes([byte]))
                if select([client], [], [], PACE)[0]:
                    break
        return rest(client)


def fill(client: socket.socket, data: bytes) -> None:
    """Send without reading, until nothing more is taken."""
    client.settimeout(0.5)
    with suppress(TimeoutError):
        while True:
            client.sendall(data)
    client.settimeout(PATIENCE)


def ended(suite: Suite, listener: str) -> dict[str, int]:
    """How its connections have ended."""
    (found,) = (each for each in suite.status()["listeners"] if each["name"] == listener)
    return {why: number for why, number in found["totals"]["ended"].items() if number}


def wait(suite: Suite, listener: str, expected: dict[str, int]) -> None:
    """Until its connections have ended in that way."""
    suite.ready(lambda: ended(suite, listener) == expected, f"{listener} had {expected}")


GET = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"


def test_who_stops_reading(suite: Suite, stack: ExitStack, tmp_path: Path) -> None:
    """Whoever asks for much and reads nothing is cut, over TCP, UNIX sockets and TLS, by every service."""
    keys = b"".join(b"SET %s%d x\n" % (b"k" * 200, number) for number in range(90))
    unix = stack.enter_context(socket.socket(socket.AF_UNIX))
    unix.connect(f"{tmp_path}/web")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = stack.enter_context(context.wrap_socket(connect(stack, suite.ports["tls"])))
    for client in (connect(stack, suite.ports["web"]), unix, tls):
        client.sendall(GET)
    connect(stack, suite.ports["files"]).sendall(b"GET large\n")
    session = connect(stack, suite.ports["sessions"], 4096)
    session.sendall(b"OPEN\n" + keys)
    answers = b""
    while answers.count(b"\n") < 91:
        answers += session.recv(4096)
    fill(session, b"KEYS\n" * 50)
    for name in ("echo", "gateway"):
        fill(connect(stack, suite.ports[name]), b"x" * 100_000)
    wait(suite, "web", {"write_timeout": 3})
    for name in ("files", "sessions", "echo", "gateway"):
        wait(suite, name, {"write_timeout": 1})


def test_who_reads_a_byte_at_a_time(suite: Suite, stack: ExitStack) -> None:
    """A byte now and then opens no window: there is nothing for which the whole could ever arrive."""
    client = connect(stack, suite.ports["web"], 4096)
    client.sendall(GET)
    while not ended(suite, "web"):
        assert client.recv(1)
    assert ended(suite, "web") == {"write_timeout": 1}


def test_who_reads_slowly(suite: Suite, stack: ExitStack) -> None:
    """Whoever takes some of it again and again gets all of it, in much more than the time-out."""
    web, files = (connect(stack, suite.ports[name], 16_384) for name in ("web", "files"))
    web.sendall(b"GET /some HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    files.sendall(b"GET some\nQUIT\n")
    got = {web: b"", files: b""}
    waiting = [web, files]
    while waiting:
        select([], [], [], PACE / 2)
        for client in tuple(waiting):
            data = client.recv(5_000)
            got[client] += data
            if not data:
                waiting.remove(client)
    assert got[web].endswith(b"\r\n\r\n" + DATA)
    assert got[files] == b"OK 300000 300000\n" + DATA + b"OK\n"


def test_who_asks_slowly(suite: Suite, stack: ExitStack) -> None:
    """Headers, lines and bodies that trickle in are cut off in their time."""
    put = b"PUT /new HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nAuthorization: Bearer %s\r\n\r\n"
    uploader = connect(stack, suite.ports["web"])
    uploader.sendall(put % TOKEN.encode())
    slow: list[tuple[Any, bytes]] = [
        (connect(stack, suite.ports["web"]), GET + b"x" * 100),
        (uploader, b"x" * 1000),
        (connect(stack, suite.ports["files"]), b"G" * 1000),
        (connect(stack, suite.ports["sessions"]), b"S" * 1000),
    ]
    with ThreadPoolExecutor(len(slow)) as threads:
        headers, body, *lines = threads.map(lambda each: trickle(*each), slow)
    assert headers.startswith(b"HTTP/1.1 408 ")
    assert body.startswith(b"HTTP/1.1 408 ")
    assert lines == [b"", b""]
    wait(suite, "web", {"deadline": 2})
    for name in ("files", "sessions"):
        wait(suite, name, {"deadline": 1})


def test_who_uploads_slowly(suite: Suite, stack: ExitStack, tmp_path: Path) -> None:
    """A body that comes at some KiB a second is taken, in more than the time of a request."""
    client = connect(stack, suite.ports["web"])
    digest = hashlib.sha256(DATA[:30_000]).hexdigest()
    put = f"PUT /new HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    client.sendall(put.encode())
    for start in range(0, 30_000, 1000):
        assert not select([client], [], [], PACE)[0]
        client.sendall(DATA[start : start + 1000])
    assert client.recv(100).startswith(b"HTTP/1.1 201 ")
    assert hashlib.sha256((tmp_path / "root" / "new").read_bytes()).hexdigest() == digest


def test_who_asks_too_much(suite: Suite, stack: ExitStack) -> None:
    """Requests past those that may wait are refused, each in its place, and counted."""
    client = connect(stack, suite.ports["sessions"])
    client.sendall(b"OPEN\n" + b"INFO\n" * 149)
    client.shutdown(socket.SHUT_WR)
    answers = rest(client).splitlines()
    refused = answers.count(b"ERR limit more than 100 requests wait for their answers")
    assert (len(answers), refused) == (150, 50)
    assert answers[-1].startswith(b"ERR limit ")
    (told,) = (each for each in suite.status()["listeners"] if each["name"] == "sessions")
    assert told["totals"]["refused_requests"] == {"max_requests_in_hand": refused}
