"""Sessions of a whole process, attached to a server over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from tcpsuite.app import Suite, build
from tcpsuite.config import load
from tcpsuite.core.connections import Reason
from tests.support.gateways import PATIENCE, accept, finish, listening, read_all, read_until_reset, reset
from tests.support.served import until

TEXT = """
drain_timeout = "{drain}s"

[listener.sessions]
endpoint = "tcp:0:interface=127.0.0.1"
service = "session"
anonymous = true
idle_timeout = "{idle}s"
write_timeout = "1s"
socket.send_buffer = "16KiB"
socket.high_water = "16KiB"

[sessions]
store = "memory"
upstream = "db"
attach_timeout = "{timeout}s"
attach_buffer = "64KiB"

[upstream.db]
servers = [{{ name = "only", address = "tcp:127.0.0.1:{port}" }}]
health.mode = "none"
socket.receive_buffer = "16KiB"
"""
READ = 64 * 1024
"""Bytes that are read at once: so much more may be kept than the buffer that was chosen."""


class Guest:
    """A client that speaks in lines until it is attached; with blocking calls."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((host, int(port)))

    def ask(self, *lines: str) -> str:
        """The last answer of several."""
        answer = ""
        for line in lines:
            self.socket.sendall(f"{line}\n".encode())
            answer = ""
            while not answer.endswith("\n"):
                answer += self.socket.recv(1).decode()
        return answer.removesuffix("\n")

    def open(self) -> str:
        """Open a session, and be attached; its id."""
        session_id = self.ask("OPEN").removeprefix("OK ")
        assert self.ask("ATTACH").endswith(" 0 0 65536")
        return session_id


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Where the upstream leads to."""
    with listening() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        yield listener


@pytest.fixture
def make_suite(tmp_path: Path, server: socket.socket) -> Iterator[Callable[..., Suite]]:
    """Starts suites, and stops them at the end."""
    suites = []

    def make(timeout: float = 60, drain: float = 5, idle: float = 1) -> Suite:
        file = tmp_path / "suite.toml"
        port = server.getsockname()[1]
        file.write_text(TEXT.format(port=port, timeout=timeout, drain=drain, idle=idle))
        suite = build(load(str(file), environ={}).config, reactor)
        suites.append(suite)
        suite.privilegedStartService()
        suite.startService()
        return suite

    yield make
    for suite in suites:
        pytest_twisted.blockon(suite.stopService())


def address(suite: Suite) -> str:
    """Where its sessions are."""
    return suite.listeners["sessions"].addresses[0]


def figures(suite: Suite) -> dict[str, int]:
    """Of its attachments."""
    assert suite.attachments is not None
    return suite.attachments.figures()["attachments"]


def numbered(size: int, begin: int = 0) -> bytes:
    """Bytes that tell where they stand."""
    words = range(begin // 8, (begin + size) // 8 + 1)
    return b"".join(word.to_bytes(8, "big") for word in words)[begin % 8 :][:size]


@pytest_twisted.ensureDeferred
async def test_cut_again_and_again(make_suite: Callable[..., Suite], server: socket.socket) -> None:
    """A client that counts what has come, and is cut now and then, has every byte once, both ways."""
    size = 1_000_000
    suite = make_suite()

    def play() -> tuple[bytes, bytes, int]:
        guest = Guest(address(suite))
        session_id = guest.ask("OPEN").removeprefix("OK ")
        mark = guest.ask("ATTACH").split()[1]
        with accept(server) as accepted:
            accepted.settimeout(PATIENCE)
            got, heard, cuts, out, sent, said = bytearray(), bytearray(), 0, numbered(size), 0, 0
            for each in (accepted, guest.socket):
                each.settimeout(0.0)
            while len(got) < size or len(heard) < size:
                said += _send(accepted, out[said : said + 5000])
                heard += _receive(accepted)
                sent += _send(guest.socket, out[sent : sent + 5000])
                got += _receive(guest.socket)
                if len(got) // 100_000 + len(heard) // 100_000 > cuts:
                    cuts += 1
                    reset(guest.socket)
                    guest = Guest(address(suite))
                    answer = guest.ask(f"RESUME {session_id}", f"ATTACH {mark} {len(got)}").split()
                    assert answer[:2] == ["OK", mark], answer
                    assert int(answer[3]) == len(got)
                    sent = int(answer[2])
                    guest.socket.settimeout(0.0)
            reset(guest.socket)
        return bytes(got), bytes(heard), cuts

    got, heard, cuts = await deferToThread(play)
    assert got == heard == numbered(size)
    assert cuts >= 10


def _send(peer: socket.socket, data: bytes) -> int:
    try:
        return peer.send(data)
    except BlockingIOError:
        return 0


def _receive(peer: socket.socket) -> bytes:
    try:
        return peer.recv(50_000)
    except BlockingIOError:
        return b""


@pytest_twisted.ensureDeferred
async def test_flood(make_suite: Callable[..., Suite], server: socket.socket) -> None:
    """However much a server says to a client that is gone, no more is kept than was chosen, and one read;
    whoever comes back has all of it.
    """
    size = 2_000_000
    suite = make_suite()
    guest = Guest(address(suite))
    session_id = await deferToThread(guest.open)
    accepted = accept(server)
    reset(guest.socket)
    sending = deferToThread(accepted.sendall, numbered(size))
    assert suite.attachments is not None
    (end,) = suite.attachments._ends
    await until(lambda: end.outgoing.full)
    kept = end.outgoing.end - end.outgoing.start
    assert 65536 <= kept < 65536 + READ
    assert not sending.called

    again = Guest(address(suite))

    def read_on() -> bytes:
        assert again.ask(f"RESUME {session_id}", "ATTACH").startswith("OK ")
        data = bytearray()
        while len(data) < size:
            data += again.socket.recv(READ)
        return bytes(data)

    assert await deferToThread(read_on) == numbered(size)
    await sending
    assert end.outgoing.end - end.outgoing.start <= 2 * 65536
    accepted.close()
    assert await deferToThread(read_all, again.socket) == b""
    again.socket.close()


@pytest_twisted.ensureDeferred
async def test_silence(make_suite: Callable[..., Suite], server: socket.socket) -> None:
    """A client that is attached may be silent for longer than others; once it has finished it may not."""
    suite = make_suite()
    guest = Guest(address(suite))
    await deferToThread(guest.open)
    accepted = accept(server)
    record = next(iter(suite.ledger))
    assert record.may_rest
    finish(guest.socket)
    await until(lambda: record.ended is not None)
    assert record.reason is Reason.IDLE
    assert (record.upstream, record.server) == ("db", "only")
    assert figures(suite)["detached"] == 1
    accepted.close()
    guest.socket.close()


@pytest_twisted.ensureDeferred
async def test_takes_nothing(make_suite: Callable[..., Suite], server: socket.socket) -> None:
    """A client that has finished, and then takes nothing, is cut like any other; the bytes wait for it."""
    size = 64_000
    suite = make_suite(idle=60)
    guest = Guest(address(suite))
    session_id = await deferToThread(guest.open)
    record = next(iter(suite.ledger))
    accepted = accept(server)
    finish(guest.socket)
    await deferToThread(accepted.sendall, numbered(size))
    await until(lambda: record.ended is not None)
    assert record.reason is Reason.WRITE_TIMEOUT
    guest.socket.close()

    assert suite.attachments is not None
    (end,) = suite.attachments._ends
    again = Guest(address(suite))

    def read_on() -> bytes:
        assert again.ask(f"RESUME {session_id}", f"ATTACH {end.mark} 0").startswith("OK ")
        data = bytearray()
        while len(data) < size:
            data += again.socket.recv(READ)
        return bytes(data)

    assert await deferToThread(read_on) == numbered(size)
    accepted.close()
    again.socket.close()


@pytest_twisted.ensureDeferred
async def test_given_up(make_suite: Callable[..., Suite], server: socket.socket) -> None:
    """A server whose client does not come back is reset."""
    suite = make_suite(timeout=0.3)
    guest = Guest(address(suite))
    await deferToThread(guest.open)
    with accept(server) as accepted:
        reset(guest.socket)
        assert await deferToThread(read_until_reset, accepted) == b""
    assert figures(suite)["given_up"] == 1
    assert suite.upstreams["db"].servers[0].active == 0


@pytest_twisted.ensureDeferred
async def test_stop(make_suite: Callable[..., Suite], server: socket.socket) -> None:
    """When the process stops, what has no client is reset at once; one that has goes on while it may, and is
    told when that is over.
    """
    suite = make_suite(drain=1.0)
    guests: list[Any] = []
    for _ in range(2):
        guest = Guest(address(suite))
        await deferToThread(guest.open)
        guests.append((guest, accept(server)))
    (gone, gones_server), (guest, accepted) = guests
    records = list(suite.ledger)
    reset(gone.socket)
    await until(lambda: figures(suite)["detached"] == 1)
    stopped: list[None] = []
    stopping = suite.stopService().addCallback(stopped.append)
    assert await deferToThread(read_until_reset, gones_server) == b""
    guest.socket.sendall(b"still here")
    assert await deferToThread(accepted.recv, 100) == b"still here"
    assert not stopped
    assert await deferToThread(read_until_reset, guest.socket) == b""
    assert await deferToThread(read_until_reset, accepted) == b""
    await stopping
    assert figures(suite)["given_up"] == 1
    assert (records[1].reason, records[1].detail) == (Reason.DRAINED, "the process ends")
    for each in (gones_server, accepted, guest.socket):
        each.close()
