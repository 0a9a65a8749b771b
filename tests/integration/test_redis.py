"""Two real Redis servers behind the gateway."""

from __future__ import annotations

import threading
from collections import Counter
from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.integration.support.programs import free_port, need, run, wait_until
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

[upstream.redis]
servers = [
  { name = "a", address = "tcp:127.0.0.1:<a>" },
  { name = "b", address = "tcp:127.0.0.1:<b>" },
]
health = { type = "tcp", interval = "200ms", rise = 2, fall = 2, ejection_time = "1s" }
"""
"""Health by default, with the ten seconds that it takes, is the matter of ``test_failover``."""


@pytest.fixture
def servers(tmp_path: Path, running: ExitStack) -> dict[str, Redis]:
    """Two Redis servers."""
    need("redis-server", "redis-benchmark")
    return {name: running.enter_context(Redis(free_port(), tmp_path)).started() for name in "ab"}


@pytest.fixture
def gateway(servers: dict[str, Redis], serve: Callable[..., Suite]) -> Suite:
    """A gateway in front of them."""
    return serve(GATEWAY, ports={name: server.port for name, server in servers.items()})


@pytest.mark.parametrize(
    ("strategy", "mode"), [("round_robin", "on_demand"), ("least_connections", "preconnect")]
)
def test_benchmark(servers: dict[str, Redis], serve: Callable[..., Suite], strategy: str, mode: str) -> None:
    """redis-benchmark runs through the gateway without an error, and both servers get their share."""
    text = f'{GATEWAY}\nstrategy = "{strategy}"\npool = {{ mode = "{mode}" }}\n'
    gateway = serve(text, ports={name: server.port for name, server in servers.items()})
    port = str(gateway.ports["cache"])
    done = run("redis-benchmark", "-q", "-n", "5000", "-P", "8", "-p", port)
    assert "requests per second" in done.stdout
    assert "err" not in (done.stdout + done.stderr).lower()
    for server in servers.values():
        stats = run("redis-cli", "-p", str(server.port), "INFO", "commandstats").stdout
        assert "cmdstat_lrange" in stats
    gateway.finish()


class Clients:
    """Threads that each make one connection after the other, and note which server answered."""

    def __init__(self, port: int, number: int = 4) -> None:
        self.answers: Counter[int] = Counter()
        self.errors: list[OSError] = []
        self.number = number
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.answers[server_behind(self._port)] += 1
            except OSError as error:
                self.errors.append(error)

    def wait_for(self, answers: int, server: Redis) -> None:
        """Until ``server`` has answered so many more times."""
        goal = self.answers[server.port] + answers
        wait_until(lambda: self.answers[server.port] >= goal, f"{answers} answers of {server.port}")


def test_failover(servers: dict[str, Redis], gateway: Suite, tmp_path: Path, running: ExitStack) -> None:
    """A server killed while clients go on costs what was under way; new connections reach the other.

    When it is back, it gets its share again.
    """
    a, b = servers["a"], servers["b"]
    with Clients(gateway.ports["cache"]) as clients:
        clients.wait_for(20, a)
        clients.wait_for(20, b)

        a.end(SIGKILL)
        clients.wait_for(200, b)
        assert len(clients.errors) <= clients.number, clients.errors
        broken = list(clients.errors)

        again = running.enter_context(Redis(a.port, tmp_path)).started()
        clients.wait_for(20, again)
        clients.wait_for(20, b)
        assert clients.errors == broken
    gateway.finish()
