"""Clients that keep their server, whatever becomes of the others, and of the gateway."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from itertools import count
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import Program, accepts, free_port, run, wait_until
from tests.integration.support.suites import BIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.integration.support.suites import Suite

GATEWAY = """
[listener.front]
endpoint = "tcp:<front>"
service = "gateway"
upstream = "shop"

[upstream.shop]
affinity = "ip"
health = { ejection_time = "1s" }
servers = [
  { name = "a", address = "tcp:127.0.0.1:<a>" },
  { name = "b", address = "tcp:127.0.0.1:<b>" },
  { name = "c", address = "tcp:127.0.0.1:<c>" },
]
"""

SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1000) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(sys.argv[2].encode())
"""
"""Says its name to everybody."""

CLIENTS = [f"127.0.1.{number}" for number in range(1, 31)]


class Named(Program):
    """A server that says its name."""

    def __init__(self, name: str, port: int, folder: Path) -> None:
        super().__init__(sys.executable, "-c", SERVER, str(port), name, log=folder / f"server-{name}.log")
        self.ready(lambda: accepts(port), "it listened")


@pytest.fixture
def ports(tmp_path: Path) -> dict[str, int]:
    """Where the servers listen."""
    return {name: free_port() for name in "abc"}


@pytest.fixture
def servers(ports: dict[str, int], tmp_path: Path, running: ExitStack) -> dict[str, Named]:
    """Three of them."""
    return {name: running.enter_context(Named(name, port, tmp_path)) for name, port in ports.items()}


def server_of(gateway: Suite, client: str) -> str:
    """The name of the server that a client gets."""
    with socket.create_connection(("127.0.0.1", gateway.ports["front"]), 20, (client, 0)) as connection:
        return connection.recv(1).decode()


def homes(gateway: Suite, rounds: int = 5) -> dict[str, str]:
    """The server of each client, which is the same each time that they come."""
    found = {client: server_of(gateway, client) for client in CLIENTS}
    for _ in range(rounds - 1):
        assert {client: server_of(gateway, client) for client in reversed(CLIENTS)} == found
    return found


def moved(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The servers that clients have left."""
    return {home for client, home in before.items() if after[client] != home}


def picks(gateway: Suite) -> dict[str, int]:
    """What picks came to."""
    told: dict[str, int] = gateway.status()["upstreams"]["shop"]["affinity"]["picks"]
    return told


def command(gateway: Suite, *words: str) -> str:
    """What ``tcpsuite`` with some words says about this process."""
    url = f"http://127.0.0.1:{gateway.ports['admin']}"
    return run(BIN / "tcpsuite", *words, "--admin", url).stdout


def test_clients_keep_their_servers(
    serve: Callable[..., Suite],
    ports: dict[str, int],
    servers: dict[str, Named],
    tmp_path: Path,
    running: ExitStack,
) -> None:
    """Through a drain, the death of a server and its return, and a restart of the gateway, only clients move
    whose server is away; they stay where they went, and nobody is refused.
    """
    gateway = serve(GATEWAY, ports=ports)
    first = homes(gateway, 10)
    assert Counter(first.values()) == {"a": 10, "b": 10, "c": 10}
    assert picks(gateway) == {"new": 30, "kept": 270}

    command(gateway, "server", "shop/a", "drain")
    drained = homes(gateway)
    assert moved(first, drained) == {"a"}
    assert "a" not in drained.values()
    command(gateway, "server", "shop/a", "ready")
    assert homes(gateway) == drained
    assert picks(gateway)["draining"] == 10

    servers["b"].end(SIGKILL)
    without_b = homes(gateway)
    assert moved(drained, without_b) == {"b"}
    assert "b" not in without_b.values()
    running.enter_context(Named("b", ports["b"], tmp_path))
    strangers = (f"127.1.{number >> 8}.{number & 255}" for number in count(1))
    wait_until(lambda: server_of(gateway, next(strangers)) == "b", "somebody new was led to b")
    assert homes(gateway) == without_b

    gateway.finish()
    again = serve(GATEWAY, ports=gateway.ports)
    assert homes(again) == without_b
    assert picks(again) == {"kept": 150}
    ended = again.status()["listeners"][0]["totals"]["ended"]
    assert not {"connect_failed", "no_server", "no_room"} & ended.keys(), ended
    again.finish()


@pytest.mark.usefixtures("servers")
def test_it_is_told_and_forgotten(serve: Callable[..., Suite], ports: dict[str, int]) -> None:
    """A connection is explained by affinity, what is remembered of a client is told, and is forgotten at an
    operator's word.
    """
    gateway = serve(f'{GATEWAY}\n[access_log]\npath = "-"\nformat = "json"\n', ports=ports)
    client = CLIENTS[0]
    assert [server_of(gateway, client) for _ in range(2)] == ["a", "a"]

    def lines() -> list[str]:
        return [line for line in gateway.output.splitlines() if f'"{client}:' in line]

    wait_until(lambda: len(lines()) == 2, "both had left a line")
    why = [command(gateway, "explain", json.loads(line)["id"]) for line in lines()]
    kept = "\n   by round_robin: not asked: affinity keeps a client where its earlier connections are\n"
    assert [kept in each for each in why] == [False, True]
    told = command(gateway, "whatif", "--upstream", "shop", "--client", client)
    assert told.startswith(f"{client} would go to a\n   affinity: its server is a, idle for ")
    assert command(gateway, "upstream", "shop", "clear-affinity", client) == (
        f"shop: clear affinity of {client}: 1 client forgotten\n"
    )
    assert server_of(gateway, client) == "b"
    gateway.finish()
