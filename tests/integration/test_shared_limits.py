"""Three servers that count their limits together in one Redis."""

from __future__ import annotations

import json
import select
import socket
import time
from contextlib import ExitStack
from signal import SIGCONT, SIGKILL, SIGSTOP
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.support.programs import free_port, need, wait_until
from tests.integration.support.redis import Redis
from tests.integration.support.suites import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT, BATCH, LEASE = 30, 3, 3
MOST = LIMIT + 3 * BATCH
"""With one batch on credit in each process."""
CLIENT = "127.0.0.9"
SHARED = """
drain_timeout = 0

[listener.echo]
endpoint = "tcp:<echo>:interface={host}"
service = "echo"

[listener.lines]
endpoint = "tcp:<lines>:interface={host}"
service = "session"
anonymous = true

[sessions]
store = "memory"

[limits]
exempt_loopback = false
connections_per_ip = {limit}
message_rate = 50
message_burst = 60
shared = ["connections_per_ip", "message_rate"]
batch = 0.1
{more}

[redis]
server = "tcp:127.0.0.1:{port}"
timeout = "500ms"
lease = "{lease}s"
"""


class Crowd:
    """One client that has as many connections as it is given, to any of several addresses.

    :ivar open: those that are served, by the address.
    :ivar most: the most that there were at one moment.
    """

    def __init__(self, addresses: list[tuple[str, int]]) -> None:
        self.addresses = addresses
        self.open: dict[tuple[str, int], list[socket.socket]] = {address: [] for address in addresses}
        self.most = 0

    def __len__(self) -> int:
        return sum(map(len, self.open.values()))

    def look(self) -> int:
        """Drop those that were ended from there; how many there are."""
        for address, connections in self.open.items():
            ended = select.select(connections, [], [], 0)[0] if connections else []
            for each in ended:
                each.close()
            self.open[address] = [each for each in connections if each not in ended]
        return len(self)

    def come(self, address: tuple[str, int]) -> bool:
        """One more, to that address; whether it was served."""
        client = socket.socket()
        client.settimeout(20)
        try:
            client.bind((CLIENT, 0))
            client.connect(address)
            client.sendall(b"x")
            served = client.recv(1) == b"x"
        except OSError:
            served = False
        if served:
            self.open[address].append(client)
            self.most = max(self.most, len(self))
        else:
            client.close()
        return served

    def press(self, seconds: float) -> None:
        """Come to all of them again and again for so long, and leave now and then."""
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            for address in self.addresses:
                self.come(address)
                number += 1
                if number % 7 == 0 and (connections := self.open[address]):
                    connections.pop(0).close()
            self.look()

    def fill(self, what: str, wanted: int = LIMIT) -> None:
        """Come until there are so many."""

        def enough() -> bool:
            for address in self.addresses:
                self.come(address)
            return self.look() >= wanted

        wait_until(enough, what)

    def close(self) -> None:
        """All leave."""
        for connections in self.open.values():
            while connections:
                connections.pop().close()


@pytest.fixture
def redis(tmp_path: Path, running: ExitStack) -> Redis:
    """A Redis that keeps nothing when it ends."""
    need("redis-server")
    return running.enter_context(Redis(free_port(), tmp_path)).started()


@pytest.fixture
def start(tmp_path: Path, running: ExitStack, redis: Redis) -> Callable[..., list[Suite]]:
    """Starts three servers, each on an address of its own."""

    def begin(more: str = "", limit: int = LIMIT) -> list[Suite]:
        begun = []
        for number, name in enumerate("abc", 1):
            (tmp_path / name).mkdir()
            text = SHARED.format(
                host=f"127.0.0.{number}", port=redis.port, more=more, lease=LEASE, limit=limit
            )
            begun.append(running.enter_context(Suite(text, tmp_path / name)))
        for suite in begun:
            suite.started()
        wait_until(lambda: all(shared(suite)["others"] == 2 for suite in begun), "all knew of each other")
        return begun

    return begin


@pytest.fixture
def crowd() -> Iterator[Callable[[list[Suite]], Crowd]]:
    """Makes the client of these servers."""
    with ExitStack() as stack:

        def make(suites: list[Suite]) -> Crowd:
            found = Crowd([(f"127.0.0.{n}", suite.ports["echo"]) for n, suite in enumerate(suites, 1)])
            stack.callback(found.close)
            return found

        yield make


def shared(suite: Suite, listener: str = "echo") -> Any:
    """What the limits page says of sharing."""
    return json.loads(suite.get("/api/v1/limits")[1])["listeners"][listener]["shared"]


def test_one_count(start: Callable[..., list[Suite]], crowd: Callable[..., Crowd]) -> None:
    """An address has as many connections as the limit says over all three, and no more but for the batches;
    one that leaves here makes room there.
    """
    suites = start()
    clients = crowd(suites)
    clients.press(2)
    assert LIMIT - 3 * BATCH <= clients.most <= MOST
    clients.fill("all of the limit was used")
    first, second, _ = clients.addresses
    while clients.open[first]:
        clients.open[first].pop().close()
    wait_until(lambda: clients.come(second), "there was room elsewhere")
    assert clients.most <= MOST
    clients.close()
    assert all(not shared(suite)["alone_for"] for suite in suites)
    for suite in suites:
        suite.finish()


def test_a_server_dies(start: Callable[..., list[Suite]], crowd: Callable[..., Crowd]) -> None:
    """What a server had when it was killed is the others' when its lease has ended, and not before."""
    suites = start()
    clients = crowd(suites)
    first = clients.addresses[0]
    wait_until(lambda: not clients.come(first), "it refused")
    had = len(clients)
    suites[0].end(SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: clients.look() == 0, "its connections were gone")
    clients.addresses = clients.addresses[1:]
    while time.monotonic() < killed + LEASE / 3:
        for address in clients.addresses:
            clients.come(address)
    assert clients.most <= max(had, LIMIT - had + 2 * BATCH)
    clients.fill("its share was free again")
    assert clients.most <= LIMIT + 2 * BATCH
    for suite in suites[1:]:
        suite.finish()


@pytest.mark.parametrize("refuses", [True, False])
def test_redis_dies(
    start: Callable[..., list[Suite]],
    crowd: Callable[..., Crowd],
    redis: Redis,
    running: ExitStack,
    tmp_path: Path,
    refuses: bool,
) -> None:
    """While Redis is away each server lets in its local share, or nobody; when it is back, having forgotten
    all, they count together again, and what is open counts.
    """
    suites = start('refuse_when_away = ["connections_per_ip"]' if refuses else "")
    clients = crowd(suites)
    clients.press(1)
    redis.end(SIGKILL)
    clients.press(2)
    # 11 each, as 0.34 of 30 is, beside those who had more.
    most = MOST if refuses else MOST + 3 * 11
    assert clients.most <= most
    wait_until(lambda: all(shared(suite)["alone_for"] for suite in suites), "they knew")
    if refuses:
        before = clients.look()
        for address in clients.addresses:
            while clients.come(address):
                pass
        # What was reserved before is let in until its lease ends.
        assert clients.look() <= max(before, MOST)
    back = running.enter_context(Redis(redis.port, tmp_path)).started()
    pressing = time.monotonic()
    while any(shared(suite)["alone_for"] for suite in suites):
        clients.press(0.1)
        assert time.monotonic() < pressing + 20
    assert clients.most <= most
    while len(clients) > LIMIT - 6:
        for connections in clients.open.values():
            if connections:
                connections.pop().close()
    clients.most = 0
    clients.press(1)
    assert clients.most <= MOST
    assert back.running
    for suite in suites:
        suite.finish()
        assert suite.output.count("counted by this process alone") == 1, suite.output
        assert suite.output.count("counted together again") == 1, suite.output


def test_redis_forgets(start: Callable[..., list[Suite]], crowd: Callable[..., Crowd], redis: Redis) -> None:
    """When Redis loses all that it knew, nobody gets more than there is."""
    suites = start('refuse_when_away = ["connections_per_ip"]')
    clients = crowd(suites)
    clients.fill("all of the limit was used")
    with socket.create_connection(("127.0.0.1", redis.port), timeout=10) as client:
        client.sendall(b"FLUSHALL\r\n")
        assert client.recv(100) == b"+OK\r\n"
    clients.press(2 * LEASE)
    assert clients.most <= MOST
    clients.fill("all of the limit was used again")
    for suite in suites:
        suite.finish()


def test_a_server_that_slept(start: Callable[..., list[Suite]], crowd: Callable[..., Crowd]) -> None:
    """One that was stopped for longer than its lease says what it has when it wakes, and counts again."""
    suites = start()
    clients = crowd(suites)
    first, *others = clients.addresses
    for _ in range(10):
        wait_until(lambda: clients.come(first), "it was let in")
    suites[0].signal(SIGSTOP)
    clients.addresses = others
    try:
        clients.fill("its share was given away")
    finally:
        suites[0].signal(SIGCONT)
    assert clients.look() <= LIMIT + 10 + 3 * BATCH
    wait_until(lambda: not shared(suites[0])["alone_for"], "it counted with the others")
    assert not clients.come(first)
    for _ in range(20):
        connections = max(clients.open.values(), key=len)
        connections.pop().close()
    clients.addresses = [first, *others]
    clients.most = 0
    clients.press(2)
    assert clients.most <= MOST
    for suite in suites:
        suite.finish()


def test_a_rate(start: Callable[..., list[Suite]]) -> None:
    """Requests over all three are let through at the rate that one address may have, but for the batches."""
    suites = start()
    stop, counts = Event(), [0, 0, 0]
    strange: list[bytes] = []

    def ask(which: int, host: str) -> None:
        with socket.create_connection((host, suites[which].ports["lines"]), 20, (CLIENT, 0)) as client:
            reader = client.makefile("rb")
            words = b"OPEN\n"
            while not stop.is_set():
                client.sendall(words)
                answer = reader.readline()
                if answer.startswith(b"OK"):
                    counts[which] += 1
                    words = b"INFO\n"
                elif not answer.startswith(b"ERR limit "):
                    strange.append(answer)
                    return

    threads = [Thread(target=ask, args=(number, f"127.0.0.{number + 1}")) for number in range(3)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    seconds = 5
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begun
    batch = 6
    assert not strange
    assert 0.8 * 50 * seconds <= sum(counts) <= 60 + 50 * took + 2 * 3 * batch
    for suite in suites:
        suite.finish()
