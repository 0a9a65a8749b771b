"""Real Redis servers that die, return, or have little room, behind the gateway as it is by default."""

from __future__ import annotations

import select
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.programs import free_port, need, wait_until
from tests.integration.support.redis import Redis, server_behind

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.integration.support.suites import Suite

GATEWAY = """
[listener.cache]
endpoint = "tcp:<cache>:interface=127.0.0.1"
service = "gateway"
upstream = "redis"
"""

THREE = f"""{GATEWAY}
[upstream.redis]
servers = [
  {{ name = "a", address = "tcp:127.0.0.1:<a>" }},
  {{ name = "b", address = "tcp:127.0.0.1:<b>" }},
  {{ name = "c", address = "tcp:127.0.0.1:<c>" }},
]
"""

ROOM = 3
ONE = f"""{GATEWAY}
[upstream.redis]
servers = [{{ name = "a", address = "tcp:127.0.0.1:<a>", max_connections = {ROOM} }}]
"""

AT_ONCE = 6


@pytest.fixture
def servers(tmp_path: Path, running: ExitStack) -> dict[str, Redis]:
    """Three Redis servers."""
    need("redis-server")
    return {name: running.enter_context(Redis(free_port(), tmp_path)).started() for name in "abc"}


def newcomers(gateway: Suite, rounds: int) -> Counter[int]:
    """Which servers answer new connections, a few at once; none is open behind each round.

    :raises OSError: when one is not served.
    """
    answers: Counter[int] = Counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in range(rounds):
            answers.update(threads.map(server_behind, [gateway.ports["cache"]] * AT_ONCE))
    return answers


def server_a(gateway: Suite) -> Any:
    """What is known of the first server."""
    [upstream] = gateway.status()["upstreams"].values()
    return upstream["servers"][0]


def test_one_of_three_dies_and_returns(
    servers: dict[str, Redis], serve: Callable[..., Suite], tmp_path: Path, running: ExitStack
) -> None:
    """Behind the death of a server every new connection is served by the others, also before anybody has
    found it out; when it has returned, every third one is its own again.
    """
    gateway = serve(THREE, ports={name: server.port for name, server in servers.items()})
    a, b, c = servers.values()
    assert newcomers(gateway, 10) == {server.port: 20 for server in (a, b, c)}

    a.end(SIGKILL)
    answers = newcomers(gateway, 20)
    assert answers.keys() == {b.port, c.port}
    known = server_a(gateway)
    if known["up"]:  # where all goes slowly the checks may be first
        assert known["ejected"], "real connections find it out, long before the checks"
        assert known["failures"] >= 5

    running.enter_context(Redis(a.port, tmp_path)).started()
    wait_until(lambda: newcomers(gateway, 1)[a.port], "the server that has returned answered")
    assert newcomers(gateway, 20) == {server.port: 40 for server in (a, b, c)}
    [listener] = gateway.status()["listeners"]
    ended = listener["totals"]["ended"]
    assert not {"connect_failed", "no_server", "no_room"} & ended.keys(), ended
    gateway.finish()


def test_more_clients_than_room(servers: dict[str, Redis], serve: Callable[..., Suite]) -> None:
    """Clients for which there is no room wait, and are served in the order in which they came."""
    gateway = serve(ONE, ports={"a": servers["a"].port})
    clients = []
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", gateway.ports["cache"]), timeout=10)
        client.sendall(b"PING\r\n")
        clients.append(client)
    for place, client in enumerate(clients):
        with client:
            assert client.recv(7) == b"+PONG\r\n"
            waiting = clients[place + ROOM :]
            assert select.select(waiting, [], [], 0)[0] == [], "nobody is served out of turn"
    assert server_a(gateway)["failures"] == 0
    gateway.finish()
