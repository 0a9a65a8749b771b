"""Servers that a gateway finds unwell: by checks that speak their protocol, and by real connections."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.programs import free_port, need, wait_until
from tests.integration.support.redis import Redis, server_behind
from tests.support.gateways import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.support.suites import Suite

GATEWAY = """
[listener.cache]
endpoint = "tcp:<cache>:interface=127.0.0.1"
service = "gateway"
upstream = "cache"

[upstream.cache]
servers = [
  { name = "a", address = "tcp:127.0.0.1:<a>" },
  { name = "b", address = "tcp:127.0.0.1:<b>" },
]
"""


def servers(gateway: Suite) -> dict[str, Any]:
    """The servers of the upstream, by name."""
    return {each["name"]: each for each in gateway.status()["upstreams"]["cache"]["servers"]}


def health(gateway: Suite) -> Any:
    """What is known of their health."""
    code, body = gateway.get("/api/v1/health/cache")
    assert code == 200, body
    return json.loads(body)["servers"]


def test_a_server_that_hangs(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """A Redis that hangs still takes connections, and is down all the same; when it goes on it is up."""
    need("redis-server")
    a, b = (running.enter_context(Redis(free_port(), tmp_path)).started() for _ in "ab")
    text = 'health = { mode = "active", type = "redis", interval = "200ms", timeout = "200ms" }\n'
    gateway = serve(GATEWAY + text, ports={"a": a.port, "b": b.port})
    wait_until(lambda: health(gateway)["a"]["checks"]["count"] > 2, "a was checked")
    assert servers(gateway)["a"]["up"]

    a.signal(SIGSTOP)
    wait_until(lambda: not servers(gateway)["a"]["up"], "a was down")
    assert {server_behind(gateway.ports["cache"]) for _ in range(10)} == {b.port}
    told = health(gateway)["a"]
    assert told["transition"]["reason"] == "3 checks in a row failed: no answer within 0.2 s"
    assert told["checks"]["last_failure"]["error"] == "no answer within 0.2 s"
    assert told["checks"]["last_success"] < told["transition"]["at"]

    a.signal(SIGCONT)
    wait_until(lambda: servers(gateway)["a"]["up"], "a was up")
    assert {server_behind(gateway.ports["cache"]) for _ in range(10)} == {a.port, b.port}
    told = health(gateway)["a"]
    assert told["transition"]["reason"] == "2 checks in a row succeeded"
    assert 0 < told["checks"]["healthy"] < 1
    assert told["connections"]["healthy"] == 1
    gateway.finish()


@contextmanager
def resetting(port: int, wait: bool = False) -> Iterator[None]:
    """A server that resets every connection, at once or when something has come."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", port)) as server:

        def run() -> None:
            while True:
                accepted, _ = server.accept()
                if wait and not over.is_set():
                    accepted.recv(100)
                if over.is_set():
                    return accepted.close()
                reset(accepted)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def ask(gateway: Suite) -> int | str:
    """Whom a new client gets; why not, if it gets nobody."""
    try:
        return server_behind(gateway.ports["cache"])
    except OSError as error:
        return type(error).__name__


def test_a_server_that_resets(serve: Callable[..., Suite], tmp_path: Path, running: ExitStack) -> None:
    """A server that passes its checks and resets its clients is ejected, and tried again after its time."""
    need("redis-server")
    b = running.enter_context(Redis(free_port(), tmp_path)).started()
    port = free_port()
    running.enter_context(resetting(port, wait=True))
    text = 'health = { mode = "passive", ejection_time = "2s" }\n'
    gateway = serve(GATEWAY + text, ports={"a": port, "b": b.port})

    first = [ask(gateway) for _ in range(10)]
    assert first.count("ConnectionResetError") == first.count(b.port) == 5
    assert servers(gateway)["a"]["ejected"]
    assert servers(gateway)["a"]["up"]
    assert [ask(gateway) for _ in range(6)] == [b.port] * 6

    wait_until(lambda: not servers(gateway)["a"]["ejected"], "a was back")
    assert "ConnectionResetError" in [ask(gateway) for _ in range(4)]
    told = health(gateway)["a"]
    assert told["checks"]["last_failure"] is None
    assert told["connections"]["last_failure"]["error"]
    assert "server a of cache is ejected for 2 s: 5 faults in a row" in gateway.output
    gateway.finish()


def test_a_server_that_resets_whoever_comes(
    serve: Callable[..., Suite], tmp_path: Path, running: ExitStack
) -> None:
    """A server whose port answers its checks, and which resets whoever comes, is asked again and ejected."""
    need("redis-server")
    b = running.enter_context(Redis(free_port(), tmp_path)).started()
    port = free_port()
    running.enter_context(resetting(port))
    gateway = serve(GATEWAY, ports={"a": port, "b": b.port})

    def ejected() -> bool:
        ask(gateway)
        return bool(servers(gateway)["a"]["ejected"])

    wait_until(ejected, "a was ejected")
    assert servers(gateway)["a"]["up"]
    assert {ask(gateway) for _ in range(6)} == {b.port}
    assert "server a of cache is ejected for 10 s: 5 faults in a row" in gateway.output
    gateway.finish()


HOSTILE = b"POST / HTTP/1.1\r\nHost: cache\r\n\r\n" + bytes(40_000)
"""Redis takes it for an attack, and drops it with a reset, without a word."""


@pytest.mark.parametrize(("mode", "ejected"), [("hybrid", False), ("passive", True)])
def test_a_client_that_has_itself_reset(
    serve: Callable[..., Suite], tmp_path: Path, running: ExitStack, mode: str, ejected: bool
) -> None:
    """A client that servers reset for what it says can have none ejected where servers are asked; where
    they are not it can.
    """
    need("redis-server")
    a, b = (running.enter_context(Redis(free_port(), tmp_path)).started() for _ in "ab")
    text = f'health = {{ mode = "{mode}" }}\n'
    gateway = serve(GATEWAY + text, ports={"a": a.port, "b": b.port})
    for _ in range(40):
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", gateway.ports["cache"]), timeout=10) as client,
        ):
            client.sendall(HOSTILE)
            client.recv(1)
    known = servers(gateway)
    assert sum(each["resets"] for each in known.values()) >= 20
    assert any(each["ejected"] for each in known.values()) is ejected
    assert len({ask(gateway) for _ in range(4)}) == (1 if ejected else 2)
    assert ("is ejected" in gateway.output) is ejected
    gateway.finish()
