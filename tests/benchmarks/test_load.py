"""The load generator, and servers that do not do as they should: what it tells is what happened."""

from __future__ import annotations

import json
import socket
import subprocess
from selectors import EVENT_READ, DefaultSelector
from threading import Thread
from typing import TYPE_CHECKING, Self

import pytest

from tests.integration.support.programs import PATIENCE, free_port, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIZE = 100


class Server:
    """Serves, in a thread, connections that ``answer`` is asked about.

    :param answer: gets all that a connection has sent, and gives the bytes to send now, or ``None`` to close.
    """

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._listener.getsockname()[1]
        self._stop, self._stopped = socket.socketpair()
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        received: dict[socket.socket, bytes] = {}
        with DefaultSelector() as selector:
            for each in (self._listener, self._stopped):
                selector.register(each, EVENT_READ)
            for ready in self._sockets(selector):
                if ready is self._listener:
                    connection, _ = ready.accept()
                    self.accepted += 1
                    received[connection] = b""
                    selector.register(connection, EVENT_READ)
                elif not self._read(ready, received):
                    selector.unregister(ready)
                    ready.close()
                    del received[ready]
        for each in (self._listener, self._stopped, *received):
            each.close()

    def _sockets(self, selector: DefaultSelector) -> Iterator[socket.socket]:
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._stopped:
                    return
                assert isinstance(key.fileobj, socket.socket)
                yield key.fileobj

    def _read(self, connection: socket.socket, received: dict[socket.socket, bytes]) -> bool:
        try:
            data = connection.recv(1 << 16)
            received[connection] += data
            reply = self.answer(received[connection]) if data else None
            if reply:
                connection.sendall(reply)
        except ConnectionError:
            return False
        return reply is not None


def echo() -> Callable[[bytes], bytes]:
    """An answer that is what came, of one connection at a time."""
    sent = 0

    def answer(received: bytes) -> bytes:
        nonlocal sent
        new, sent = received[sent:], len(received)
        return new

    return answer


@pytest.fixture
def drive(load: Path) -> Callable[..., dict[str, float]]:
    """Run it against a port: what it tells."""

    def start(port: int, *words: str) -> dict[str, float]:
        told: dict[str, float] = json.loads(run(load, "-p", str(port), "-s", str(SIZE), *words).stdout)
        return told

    return start


def test_stall(drive: Callable[..., dict[str, float]]) -> None:
    """A stall of 300 ms counts for every message that was due meanwhile."""
    answer = echo()
    held = 300 * SIZE

    def stalled(received: bytes) -> bytes:
        return answer(received) if len(received) == SIZE or len(received) >= held else b""

    with Server(stalled) as server:
        told = drive(server.port, "-c", "1", "-r", "1000", "-t", "1")
    assert told["done"] == pytest.approx(1000, abs=1)
    assert told["lost"] == 0
    assert told["max_us"] > 280_000
    assert told["p99_us"] > 250_000
    assert told["mean_us"] > 30_000


def test_never_answered(drive: Callable[..., dict[str, float]]) -> None:
    """A message that has no answer is lost, and counts with its age."""

    def silent(received: bytes) -> bytes:
        return received if len(received) == SIZE else b""

    with Server(silent) as server:
        told = drive(server.port, "-c", "1", "-r", "100", "-t", "0.2")
    assert told["done"] == 0
    assert told["lost"] == pytest.approx(20, abs=1)
    assert told["p50_us"] > 2_000_000


def test_warm_up(drive: Callable[..., dict[str, float]]) -> None:
    """What was due during the warm-up is not in the figures, however late its answer is."""
    answer = echo()

    def slow_start(received: bytes) -> bytes:
        return answer(received) if len(received) == SIZE or len(received) >= 190 * SIZE else b""

    with Server(slow_start) as server:
        told = drive(server.port, "-c", "1", "-r", "200", "-w", "1", "-t", "0.5")
    assert told["done"] + told["lost"] == pytest.approx(100, abs=1)
    assert told["per_s"] == pytest.approx(200, abs=3)
    assert told["max_us"] < 800_000


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda received: None, "closed a connection"),
        (lambda received: b"y" * len(received), "sent what it was not sent"),
        (lambda received: received + received, "sent more than it was sent"),
    ],
)
def test_not_an_echo(load: Path, answer: Callable[[bytes], bytes | None], complaint: str) -> None:
    """A server that does not echo is not measured."""
    with Server(answer) as server:
        done = run(load, "-p", str(server.port), "-c", "2", "-s", str(SIZE), "-t", "0.2", check=False)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert not done.stdout


def test_churn(drive: Callable[..., dict[str, float]]) -> None:
    """A connection counts when all of its bytes are back."""
    with Server(lambda received: received if len(received) == SIZE else b"") as server:
        told = drive(server.port, "-n", "-c", "4", "-t", "0.3")
    assert told["done"] > 10
    assert told["failed"] == 0
    assert 0 < told["p50_us"] <= told["max_us"]


def test_churn_in_turn(drive: Callable[..., dict[str, float]]) -> None:
    """Each of a connection's messages waits for the answer to the one before; the last one ends it."""
    received: list[int] = []

    def answer(had: bytes) -> bytes | None:
        received.append(len(had))
        return bytes(had[-SIZE:]) if len(had) % SIZE == 0 else b""

    with Server(answer) as server:
        told = drive(server.port, "-n", "-d", "3", "-c", "1", "-t", "0.2")
    assert told["failed"] == 0
    assert told["done"] == pytest.approx(server.accepted, abs=1)
    assert received[:7] == [SIZE, 2 * SIZE, 3 * SIZE, SIZE, 2 * SIZE, 3 * SIZE, SIZE]


@pytest.mark.parametrize("answer", [lambda received: None, lambda received: received + b"more"])
def test_churn_cut_short(
    drive: Callable[..., dict[str, float]], answer: Callable[[bytes], bytes | None]
) -> None:
    """A connection that ends before its bytes are back, or with others, has failed."""
    with Server(answer) as server:
        told = drive(server.port, "-n", "-c", "4", "-t", "0.2")
    assert told["done"] == 0
    assert told["failed"] > 4


def test_churn_refused(drive: Callable[..., dict[str, float]]) -> None:
    """Where nobody listens, every connection has failed, and it goes on trying."""
    told = drive(free_port(), "-n", "-c", "4", "-t", "0.2")
    assert told["done"] == 0
    assert told["failed"] > 4


def test_idle(load: Path) -> None:
    """Idle connections are told of when the server has taken them, and held until its input ends."""
    with Server(echo()) as server:
        argv = [str(load), "-p", str(server.port), "-i", "-c", "50"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert json.loads(process.stdout.readline()) == {"mode": "idle", "conns": 50}
            assert server.accepted == 50
            assert process.poll() is None
            process.stdin.close()
            assert process.wait(PATIENCE) == 0
