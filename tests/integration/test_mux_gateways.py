"""Two gateways that carry their clients' connections over two TCP connections between them."""

from __future__ import annotations

import resource
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.cutter import Cutter
from tests.integration.support.postgres import USER, Postgres, psql
from tests.integration.support.programs import free_port, need, run, wait_until
from tests.integration.support.redis import Redis
from tests.integration.support.suites import BIN, Suite

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS = 2_000
EDGE = """
[listener.front]
endpoint = "tcp:<front>:interface=127.0.0.1:backlog=4096"
service = "gateway"
upstream = "core"

[upstream.core]
servers = [{ name = "core", address = "mux:tcp:127.0.0.1:<way>:connections=2" }]
health.interval = "200ms"
"""
CORE = """
[listener.back]
endpoint = "mux:tcp:<back>:interface=127.0.0.1"
service = "gateway"
upstream = "servers"
limits.exempt_loopback = false
limits.connections_per_ip = 5

[upstream.servers]
servers = [{ name = "only", address = "tcp:127.0.0.1:<server>" }]
health.mode = "none"
"""
ECHO = """
[listener.back]
endpoint = "mux:tcp:<back>:interface=127.0.0.1"
service = "echo"
limits.exempt_loopback = false
limits.connections_per_ip = 5
"""


class Gateways:
    """Both of them, and who may cut what is between."""

    def __init__(self, core: Suite, edge: Suite, cutter: Cutter) -> None:
        self.core = core
        self.edge = edge
        self.cutter = cutter
        self.port = edge.ports["front"]

    def connect(self) -> socket.socket:
        """A client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def carriers(self) -> Any:
        """What the core tells of those who carry streams to it."""
        return self.core.status()["mux"]["listeners"]["back"]

    def finish(self) -> None:
        """Both end in order, the one at the edge first."""
        self.edge.finish()
        self.core.finish()


@pytest.fixture
def gateways(running: ExitStack, tmp_path: Path) -> Callable[..., Gateways]:
    """Start the two of them."""

    def begin(text: str, folder: Path, ports: dict[str, int]) -> Suite:
        return running.enter_context(Suite(text, folder, ports=ports)).started()

    def start(text: str = CORE, edge: str = EDGE, **ports: int) -> Gateways:
        folders = [tmp_path / name for name in ("core", "edge")]
        for folder in folders:
            folder.mkdir()
        core = begin(text, folders[0], ports)
        cutter = running.enter_context(Cutter(core.ports["back"]))
        return Gateways(core, begin(edge, folders[1], {"way": cutter.port}), cutter)

    return start


def echoed(client: socket.socket, words: bytes) -> bytes:
    """What comes back for ``words``."""
    client.sendall(words)
    found = b""
    while len(found) < len(words) and (data := client.recv(len(words))):
        found += data
    return found


def test_redis(gateways: Callable[..., Gateways], running: ExitStack, tmp_path: Path) -> None:
    """redis-benchmark runs through both of them without an error, with more clients than an address may have:
    connections to the core are what is counted there.
    """
    need("redis-server", "redis-benchmark")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    both = gateways(server=redis.port)
    done = run("redis-benchmark", "-q", "-n", "5000", "-c", "200", "-P", "4", "-p", str(both.port))
    assert "requests per second" in done.stdout
    assert "rror" not in done.stdout
    assert 1 <= both.carriers()["open"] <= 2
    both.finish()


def test_warm_streams(gateways: Callable[..., Gateways]) -> None:
    """Streams are opened ahead, as connections are, and one that is killed is cut, with none beside it."""
    both = gateways(ECHO, f'{EDGE}pool = {{ mode = "preconnect" }}\n')
    wait_until(lambda: both.edge.status()["upstreams"]["core"]["servers"][0]["pool"]["warm"], "some are warm")
    with both.connect() as client:
        assert echoed(client, b"warm") == b"warm"
        admin = f"http://127.0.0.1:{both.edge.ports['admin']}"
        done = run(BIN / "tcpsuite", "server", "core/core", "kill-connections", "--admin", admin)
        assert done.stdout == "core/core: 1 connection cut\n"
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with both.connect() as client:
        assert echoed(client, b"again") == b"again"
    assert both.carriers()["lost"] == {}
    both.finish()


def test_postgres(gateways: Callable[..., Gateways], running: ExitStack) -> None:
    """pgbench does too: each transaction is carried out, on connections that last and on new ones."""
    need("initdb", "postgres", "pg_isready", "psql", "setpriv", "pgbench")
    folder = Path(running.enter_context(TemporaryDirectory(prefix="tcpsuite-postgres-")))
    postgres = running.enter_context(Postgres(folder)).started()
    both = gateways(server=postgres.port)
    place = ("-h", "127.0.0.1", "-p", str(both.port), "-U", USER, "postgres")
    run("pgbench", "-i", "-q", "-s", "1", *place)
    done = run("pgbench", "-n", "-c", "8", "-t", "100", *place).stdout
    assert "number of transactions actually processed: 800/800" in done
    done = run("pgbench", "-n", "-C", "-S", "-c", "4", "-t", "25", *place).stdout
    assert "number of transactions actually processed: 100/100" in done
    assert psql(both.port, "SELECT count(*) FROM pgbench_history") == "800\n"
    both.finish()


def test_thousands(gateways: Callable[..., Gateways]) -> None:
    """Thousands of clients cross two connections; when one of these is lost, those on the other go on, and
    new ones are served at once.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < CLIENTS + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * CLIENTS), hard))
    both = gateways(ECHO)
    with ExitStack() as stack:
        clients = [stack.enter_context(both.connect()) for _ in range(CLIENTS)]
        for number, client in enumerate(clients):
            assert echoed(client, b"%d" % number) == b"%d" % number
        told = both.carriers()
        assert (told["open"], told["made"]) == (2, 2)
        assert told["streams"] >= CLIENTS
        assert all(each["streams"] >= CLIENTS * 0.45 for each in told["connections"]), told

        both.cutter.cut_oldest()
        wait_until(lambda: both.carriers()["open"] == 1 or both.carriers()["made"] == 3, "one was lost")
        fresh = [stack.enter_context(both.connect()) for _ in range(100)]
        assert all(echoed(client, b"new") == b"new" for client in fresh)
        lost = sum(not said_again(client) for client in clients)
        assert CLIENTS * 0.45 <= lost <= CLIENTS * 0.55
        told = both.carriers()
        assert (told["open"], told["made"]) == (2, 3)
        assert told["lost"] == {"closed": 1}
    both.finish()


def said_again(client: socket.socket) -> bool:
    """Whether it is still served."""
    try:
        return echoed(client, b"again") == b"again"
    except ConnectionError:
        return False


def test_back_pressure(gateways: Callable[..., Gateways]) -> None:
    """A client that reads nothing stops itself alone: what it sends is taken up to some megabytes, and others
    go on meanwhile.
    """
    both = gateways(ECHO)
    with both.connect() as slow, both.connect() as quick:
        slow.settimeout(2)
        sent = 0

        def flood() -> None:
            nonlocal sent
            try:
                while True:
                    sent += slow.send(bytes(65536))
            except TimeoutError:
                pass

        flooding = threading.Thread(target=flood)
        flooding.start()
        for _ in range(200):
            assert echoed(quick, b"quick" * 100) == b"quick" * 100
        flooding.join()
        assert 256 * 1024 <= sent < 60_000_000
        assert both.carriers()["unread"] <= 16 * 1024**2
        slow.settimeout(20)
        received = 0
        while received < sent:
            received += len(slow.recv(2**20))
    both.finish()


def test_the_core_drains(gateways: Callable[..., Gateways]) -> None:
    """A core that stops lets streams finish, and is gone with the last of them."""
    both = gateways(ECHO)
    with both.connect() as client:
        assert echoed(client, b"before") == b"before"
        both.core.signal(SIGTERM)
        wait_until(lambda: both.core.get("/readyz")[0] == 503, "it drains")
        assert echoed(client, b"behind") == b"behind"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
    assert both.core.wait() == 0
    assert "Traceback" not in both.core.output
    both.edge.finish()


def test_the_limit_by_address(gateways: Callable[..., Gateways]) -> None:
    """Who may have one connection less than it wants is refused before its first stream, and no client is
    lost by that.
    """
    both = gateways(ECHO.replace("connections_per_ip = 5", "connections_per_ip = 1"))
    with both.connect() as first, both.connect() as second:
        assert echoed(first, b"one") == b"one"
        assert echoed(second, b"two") == b"two"
        wait_until(lambda: both.core.status()["listeners"][0]["totals"]["refused"], "one was refused")
        assert both.carriers()["made"] == 1
    both.finish()
