"""The relay that does badly: as badly as it is told to, and no worse."""

from __future__ import annotations

import select
import socket
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import BENCHMARKS
from tests.integration.support.play import Play, Way, listening
from tests.integration.support.programs import Program
from tests.integration.support.scripts import Script
from tests.support.sockets import segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 20.0
ORDERLY = 30
"""Seeds of scripts that are tried."""

Between = tuple[socket.socket, socket.socket]


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Callable[..., Way]]:
    """Start one with these words: the way to a server through it."""
    with ExitStack() as stack:

        def start(*words: str) -> Way:
            server = stack.enter_context(listening())
            to = f"127.0.0.1:{server.getsockname()[1]}"
            program = stack.enter_context(
                Program(sys.executable, BENCHMARKS / "faults.py", to, *words, log=tmp_path / "log")
            )
            program.ready(lambda: bool(program.output), "it said its port")
            return Way("the relay", int(program.output), server, program.process.pid)

        yield start


@pytest.fixture
def ends(relay: Callable[..., Way]) -> Iterator[Callable[..., Between]]:
    """A client and what the server accepted for it, through a relay of these words."""
    with ExitStack() as stack:

        def connect(*words: str) -> Between:
            way = relay(*words)
            client = stack.enter_context(socket.create_connection(("127.0.0.1", way.port), PATIENCE))
            accepted = stack.enter_context(way.server.accept()[0])
            accepted.settimeout(PATIENCE)
            return client, accepted

        yield connect


def read(peer: socket.socket, size: int) -> bytes:
    """So many bytes, or all up to the end."""
    data = bytearray()
    while len(data) < size and (more := peer.recv(size - len(data))):
        data += more
    return bytes(data)


@pytest.mark.parametrize("words", [(), ("--slices", "5000"), ("--latency", "1", "--jitter", "2")])
def test_what_is_said_arrives(relay: Callable[..., Way], words: tuple[str, ...]) -> None:
    """Whatever is late or in pieces, every byte and every FIN arrives at both ends in its order."""
    way = relay(*words)
    for seed in range(ORDERLY):
        script = Script.random(seed)
        if "reset" in str(script) or "close" in str(script) or "insist" in str(script):
            continue
        with listening() as server, Play(Way("directly", server.getsockname()[1], server)) as direct:
            expected = direct.run(script)
        with Play(way) as play:
            assert play.run(script) == expected, script


def test_latency(ends: Callable[..., Between]) -> None:
    """What either side says is so late, and a FIN too; much on its way at once is no later."""
    client, server = ends("--latency", "100")
    begun = time.monotonic()
    for _ in range(20):
        client.sendall(bytes(1000))
    client.shutdown(socket.SHUT_WR)
    assert len(read(server, 30_000)) == 20_000
    there = time.monotonic()
    server.sendall(b"x")
    assert client.recv(10) == b"x"
    assert there - begun > 0.1
    assert time.monotonic() - there > 0.1
    assert there - begun < 20 * 0.1


def test_bandwidth(ends: Callable[..., Between]) -> None:
    """No more than so many bytes pass in a second."""
    client, server = ends("--bandwidth", "200000")
    begun = time.monotonic()
    client.sendall(bytes(60_000))
    assert len(read(server, 60_000)) == 60_000
    assert time.monotonic() - begun > 0.3


def test_slices(ends: Callable[..., Between]) -> None:
    """Bytes arrive in small pieces, each a segment of its own."""
    client, server = ends("--slices", "3", "--latency", "20", "--jitter", "20", "--seed", "5")
    client.sendall(b"0123456789")
    assert read(server, 10) == b"0123456789"
    assert 4 <= segments(server) <= 10  # that is not in how many reads: one may take several


@pytest.mark.parametrize("seed", [1, 2])
def test_reset(ends: Callable[..., Between], seed: int) -> None:
    """After exactly so many bytes both sides are reset."""
    client, server = ends("--reset-after", "1500", "--slices", "100", "--seed", str(seed))
    client.sendall(bytes(1000))
    assert len(read(server, 1000)) == 1000
    server.sendall(bytes(1000))
    assert len(read(client, 500)) == 500
    for each in (client, server):
        with pytest.raises(ConnectionResetError):
            each.recv(1)


def test_stall(ends: Callable[..., Between]) -> None:
    """After exactly so many bytes nothing passes, either way, and nobody is told."""
    client, server = ends("--stall-after", "1500")
    client.sendall(bytes(2000))
    assert len(read(server, 1500)) == 1500
    server.sendall(b"x")
    for each in (client, server):
        each.settimeout(0.1)
        with pytest.raises(TimeoutError):
            each.recv(1)


def test_refuse(relay: Callable[..., Way]) -> None:
    """A share of the connections is reset when they come, the same ones for the same seed."""

    def refused(seed: str) -> list[int]:
        way = relay("--refuse", "0.3", "--seed", seed)
        found = []
        for number in range(50):
            try:
                with socket.create_connection(("127.0.0.1", way.port), PATIENCE) as client:
                    if way.server in select.select([client, way.server], [], [], PATIENCE)[0]:
                        way.server.accept()[0].close()
                        continue
                    client.recv(1)
            except ConnectionResetError:  # perhaps before the client knows that it was connected
                found.append(number)
        return found

    first = refused("1")
    assert 5 < len(first) < 25
    assert refused("1") == first
    assert refused("2") != first
