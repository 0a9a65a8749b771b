"""Limits of a real process, as its clients and its operator see them."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.suites import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ECHO = """
drain_timeout = 0

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"

[listener.lines]
endpoint = "tcp:<lines>:interface=127.0.0.1"
service = "session"
anonymous = true
limits = {{ reject = "answer" }}

[sessions]
store = "memory"

[limits]
connections_per_ip = 1
exempt_loopback = false
{limits}
"""
PATIENCE = 20


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what clients have open."""
    with ExitStack() as stack:
        yield stack


def connect(stack: ExitStack, port: int) -> socket.socket:
    """A connection to that port."""
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))


def served(stack: ExitStack, port: int) -> socket.socket:
    """A connection that echo serves."""
    client = connect(stack, port)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    return client


def totals(suite: Suite, listener: str) -> dict[str, Any]:
    """What the status says of a listener."""
    (found,) = (each for each in suite.status()["listeners"] if each["name"] == listener)
    return dict(found["totals"])


def test_close(serve: Callable[..., Suite], stack: ExitStack) -> None:
    """The one too many is closed; when the other has gone there is room again, and both were counted."""
    running = serve(ECHO.format(limits=""))
    first = served(stack, running.ports["echo"])
    assert connect(stack, running.ports["echo"]).recv(1) == b""
    first.close()
    running.ready(lambda: totals(running, "echo")["open"] == 0, "the first one had gone")
    served(stack, running.ports["echo"])
    (use,) = json.loads(running.get("/api/v1/limits")[1])["listeners"]["echo"]["top"]
    assert use == {"limit": "connections_per_ip", "key": "127.0.0.1", "used": 1, "allowed": 1}
    assert totals(running, "echo")["refused"] == {"connections_per_ip": 1}
    counted = r'tcpsuite_connections_refused_total\{.*limit="connections_per_ip".*\} 1\n'
    assert re.search(counted, running.get("/metrics")[1])
    running.finish()


def test_reset(serve: Callable[..., Suite], stack: ExitStack) -> None:
    """The one too many is reset."""
    running = serve(ECHO.format(limits='reject = "reset"'))
    served(stack, running.ports["echo"])
    with pytest.raises(ConnectionResetError):
        connect(stack, running.ports["echo"]).recv(1)
    running.finish()


def test_tarpit(serve: Callable[..., Suite], stack: ExitStack) -> None:
    """The one too many is held in silence for its time, and then reset; those past the bound are closed."""
    running = serve(ECHO.format(limits='reject = "tarpit"\ntarpit_time = "1s"\ntarpit_connections = 1'))
    served(stack, running.ports["echo"])
    begun = time.monotonic()
    held = connect(stack, running.ports["echo"])
    assert connect(stack, running.ports["echo"]).recv(1) == b""
    with pytest.raises(ConnectionResetError):
        held.recv(1)
    assert time.monotonic() - begun >= 0.9
    running.finish()


def test_answer(serve: Callable[..., Suite], stack: ExitStack) -> None:
    """The one too many is told why, though it speaks at once."""
    running = serve(ECHO.format(limits=""))
    first = connect(stack, running.ports["lines"])
    first.sendall(b"OPEN\n")
    assert first.recv(100).startswith(b"OK ")
    second = connect(stack, running.ports["lines"])
    second.sendall(b"OPEN\n")
    expected = b"ERR limit 127.0.0.1 has 1 connections open, of 1 that it may have\n"
    assert second.makefile("rb").read() == expected
    running.finish()


def test_overrides(serve: Callable[..., Suite], stack: ExitStack, tmp_path: Path) -> None:
    """The file of overrides counts from the start, and again within seconds when it changes; with a fault in
    it the old one counts on, and the log says where the fault is.
    """
    overrides = tmp_path / "overrides"
    overrides.write_text("127.0.0.0/8 connections_per_ip=2\n")
    running = serve(ECHO.format(limits='overrides = "overrides"'))
    port = running.ports["echo"]
    for _ in range(2):
        served(stack, port)
    assert connect(stack, port).recv(1) == b""
    overrides.write_text("127.0.0.0/8 connections_per_ip=3\nnonsense\n")
    running.ready(lambda: "line 2: expected a network" in running.output, "the fault was told")
    assert connect(stack, port).recv(1) == b""
    overrides.write_text("127.0.0.0/8 connections_per_ip=3\n")
    running.ready(lambda: "1 in force now" in running.output, "the file was read")
    served(stack, port)
    assert connect(stack, port).recv(1) == b""
    running.finish()


def test_a_faulty_file(tmp_path: Path, running: ExitStack) -> None:
    """With a faulty file of overrides it does not start, and says all that is wrong with it."""
    (tmp_path / "overrides").write_text("nonsense\n10.0.0.0/8 connections_per_ip=x\n")
    suite = running.enter_context(Suite(ECHO.format(limits='overrides = "overrides"'), tmp_path))
    assert suite.wait() == 1
    assert "line 1: expected a network" in suite.output
    assert "line 2: connections_per_ip: expected a whole number, got 'x'" in suite.output
    assert "Traceback" not in suite.output


def test_dry_run(serve: Callable[..., Suite], stack: ExitStack) -> None:
    """A limit that is only tried refuses nobody, and tells whom it would have refused."""
    running = serve(ECHO.format(limits='dry_run = ["connections_per_ip"]'))
    for _ in range(3):
        served(stack, running.ports["echo"])
    assert totals(running, "echo")["would_refuse"] == {"connections_per_ip": 2}
    assert totals(running, "echo")["refused"] == {}
    assert "would have refused: 127.0.0.1 has 1 connections open" in running.output
    running.finish()


def test_all_comes_back(serve: Callable[..., Suite]) -> None:
    """However connections end, nothing of them is counted when they are gone."""
    running = serve(ECHO.format(limits="").replace("connections_per_ip = 1", "connections_per_ip = 50"))
    for number in range(300):
        client = socket.create_connection(("127.0.0.1", running.ports["echo"]), timeout=PATIENCE)
        if number % 3 == 1:
            client.sendall(b"x")
        if number % 3 == 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    running.ready(lambda: totals(running, "echo")["open"] == 0, "all had gone")
    with ExitStack() as stack:
        for _ in range(50):
            served(stack, running.ports["echo"])
        assert connect(stack, running.ports["echo"]).recv(1) == b""
    running.finish()


GATE = """
drain_timeout = 0

[listener.echo]
endpoint = "tcp:<echo>:interface=127.0.0.1"
service = "echo"

[listener.gate]
endpoint = "tcp:<gate>:interface=127.0.0.1"
service = "gateway"
upstream = "back"
limits = {{ exempt_loopback = false, {limits} }}

[upstream.back]
servers = [{{ name = "a", address = "tcp:127.0.0.1:<echo>" }}]
"""
RATE = 200_000
SECONDS = 2


def _send(client: socket.socket, data: bytes) -> None:
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)


def received(stack: ExitStack, port: int) -> tuple[float, bytes]:
    """How long it takes to get back what is sent, FIN behind it, and what came."""
    client = connect(stack, port)
    data = bytes(range(256)) * (RATE * SECONDS // 256)
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(_send, client, data)
        found = b"".join(iter(lambda: client.recv(65536), b""))
        sending.result()
    assert found == data
    return time.monotonic() - begun, found


@pytest.mark.parametrize("limit", ["bandwidth_per_connection", "bandwidth_per_ip"])
def test_bandwidth(serve: Callable[..., Suite], stack: ExitStack, limit: str) -> None:
    """Through a gateway comes what was sent, to its last byte and its FIN, no faster than it may."""
    running = serve(GATE.format(limits=f"{limit} = {RATE}"))
    seconds, _ = received(stack, running.ports["gate"])
    assert 0.95 * SECONDS <= seconds <= 1.25 * SECONDS
    running.ready(lambda: totals(running, "gate")["ended"] == {"client_closed": 1}, "it had ended")
    running.finish()


def test_bandwidth_of_an_override(serve: Callable[..., Suite], stack: ExitStack, tmp_path: Path) -> None:
    """A file of overrides may bound who has no bound otherwise."""
    (tmp_path / "overrides").write_text(f"127.0.0.2 bandwidth_per_ip={RATE}\n")
    running = serve(GATE.format(limits='overrides = "overrides"'))
    seconds, _ = received(stack, running.ports["gate"])
    assert seconds < 0.5 * SECONDS
    client = stack.enter_context(
        socket.create_connection(
            ("127.0.0.1", running.ports["gate"]), timeout=PATIENCE, source_address=("127.0.0.2", 0)
        )
    )
    begun = time.monotonic()
    client.sendall(b"x" * (RATE // 2))
    left = RATE // 2
    while left:
        left -= len(client.recv(left))
    assert 0.45 <= time.monotonic() - begun <= 0.75
    running.finish()


def echoed(client: socket.socket, size: int, until: float) -> int:
    """How many bytes come back until then, of so many at a time."""
    found = 0
    while time.monotonic() < until:
        client.sendall(b"x" * size)
        left = size
        while left:
            left -= len(client.recv(left))
        found += size
    return found


def test_bandwidth_in_turns(serve: Callable[..., Suite], stack: ExitStack) -> None:
    """Of a bandwidth that connections of an address share, all have the same: those that send much at a time,
    and one that sends little.
    """
    running = serve(GATE.format(limits=f"bandwidth_per_ip = {RATE}"))
    sizes = (20_000, 20_000, 500)
    clients = [connect(stack, running.ports["gate"]) for _ in sizes]
    with ThreadPoolExecutor(len(sizes)) as pool:
        until = time.monotonic() + SECONDS
        found = list(pool.map(echoed, clients, sizes, [until] * len(sizes)))
    share = RATE * SECONDS / len(sizes)
    assert all(0.7 * share <= each <= 1.4 * share for each in found), found
    assert sum(found) <= 1.25 * RATE * SECONDS
    running.finish()
