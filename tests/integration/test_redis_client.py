"""A Redis that goes away, is silent, refuses, speaks TLS, or is another one: what those who ask it see."""

from __future__ import annotations

import shutil
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent

from tcpsuite.errors import StoreFailed
from tcpsuite.options import ClientEndpoint, DirectoryPath, Duration, FilePath, Secret
from tests.integration.support.programs import PATIENCE, free_port
from tests.integration.support.redis import Redis, Sentinel
from tests.support.redis_stores import redis_client
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from tcpsuite.stores.redis.client import RedisClient

    Start = Callable[..., Redis]
    Make = Callable[..., RedisClient]

ECHO = "return ARGV[1]"
COUNT = "return redis.call('INCR', KEYS[1])"


pytestmark = pytest.mark.usefixtures("redis_kind")


@pytest.fixture
def start(tmp_path: Path, running: ExitStack) -> Start:
    """Start a Redis on a port, and wait until it listens."""

    def start(port: int, **options: Any) -> Redis:
        return running.enter_context(Redis(port, tmp_path, **options)).started()

    return start


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a client of the Redis on a port, and start it; it is stopped behind the test."""
    made: list[RedisClient] = []

    def make(port: int, **options: Any) -> RedisClient:
        made.append(redis_client(port, **options))
        made[-1].start()
        return made[-1]

    yield make
    for client in made:
        pytest_twisted.blockon(client.stop())


async def works(client: RedisClient, word: str = "here") -> None:
    """Wait until what is asked is answered."""
    end = reactor.seconds() + PATIENCE
    while True:
        try:
            assert await client.run(ECHO, [], [word]) == word.encode()
        except StoreFailed:
            assert reactor.seconds() < end
            await deferLater(reactor, 0.05)
        else:
            return


async def fails(client: RedisClient, within: float) -> str:
    """Why what is asked fails, which it has to do in so many seconds."""
    begun = reactor.seconds()
    with pytest.raises(StoreFailed) as error:
        await client.run(ECHO, [], [""])
    assert reactor.seconds() - begun < within
    return str(error.value)


@pytest_twisted.ensureDeferred
async def test_away_at_the_start(start: Start, make: Make) -> None:
    """While there is none everything fails, at once when that is known; one that comes is found by itself.
    The log says each once.
    """
    port = free_port()
    with capturedLogs() as events:
        client = make(port)
        assert repr(client) == f"<RedisClient redis tcp:127.0.0.1:{port} connections=0 of 2>"
        assert await fails(client, 5.0) == f"redis tcp:127.0.0.1:{port}: connection refused"
        assert await fails(client, 1.0) == f"redis tcp:127.0.0.1:{port}: connection refused"
        start(port)
        await works(client)
    told = [formatEvent(event) for event in events if "redis" in formatEvent(event)]
    assert told == [
        f"redis tcp:127.0.0.1:{port}: connection refused",
        f"redis tcp:127.0.0.1:{port}: it works again",
    ]
    await client.stop()
    assert "closed" in await fails(client, 1.0)


@pytest_twisted.ensureDeferred
async def test_killed_and_started_again(start: Start, make: Make) -> None:
    """What is under way when it is killed fails; who asks at the next one is answered."""
    redis = start(free_port())
    client = make(redis.port)
    await works(client)
    redis.signal(SIGSTOP)
    asked = [client.run(ECHO, [], [""], lane) for lane in range(4)]
    redis.end(SIGKILL)
    for each in asked:
        with pytest.raises(StoreFailed, match=f"^redis tcp:127.0.0.1:{redis.port}: "):
            await each
    start(redis.port)
    await works(client)


@pytest_twisted.ensureDeferred
async def test_back_on_all_lanes(start: Start, make: Make) -> None:
    """When one connection is there again, nobody who asks over another one is refused any more."""
    redis = start(free_port())
    client = make(redis.port, connections=8)
    await works(client)
    redis.end(SIGKILL)
    while "connection refused" not in await fails(client, 5.0):
        await deferLater(reactor, 0.01)
    await deferLater(reactor, 1.0)  # by now they rest for long, each for its own time
    start(redis.port)
    lane = 0
    while True:
        try:
            await client.run(ECHO, [], [""], lane)
        except StoreFailed:
            lane += 1
            await deferLater(reactor, 0.01)
        else:
            break
    replies = [client.run(ECHO, [], [str(number)], number) for number in range(8)]
    assert await gatherResults(replies) == [b"%d" % number for number in range(8)]


@pytest_twisted.ensureDeferred
async def test_silent(start: Start, make: Make) -> None:
    """One that says nothing fails whoever asks, in time and not one after the other; the reactor turns; and
    when it speaks again no answer goes to anybody else.
    """
    redis = start(free_port())
    client = make(redis.port, timeout=Duration(0.5), connections=1)
    await works(client)
    redis.signal(SIGSTOP)
    begun = reactor.seconds()
    asked = [client.run(ECHO, [], [str(number)]) for number in range(50)]
    turns = 0
    while not all(each.called for each in asked):
        await deferLater(reactor, 0.001)
        turns += 1
    for each in asked:
        with pytest.raises(StoreFailed):
            await each
    assert reactor.seconds() - begun < 0.5 + 5.0
    assert turns > 50
    redis.signal(SIGCONT)
    await works(client, "later")


@pytest_twisted.ensureDeferred
async def test_in_order(start: Start, make: Make) -> None:
    """What is asked of one lane is done in order, though its connection was not there yet."""
    redis = start(free_port())
    client = make(redis.port)
    counts = gatherResults([client.run(COUNT, ["n"], [], lane=1) for _ in range(100)])
    assert await counts == list(range(1, 101))


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_said(start: Start, make: Make) -> None:
    """A text that is none, or a script that is wrong, fails, and disturbs nobody else."""
    client = make(start(free_port()).port, connections=1)
    good = [client.run(ECHO, [], ["a"])]
    for script, text in ((ECHO, "\ud800"), ("nonsense", "")):
        with pytest.raises(StoreFailed):
            await client.run(script, [], [text])
        good.append(client.run(ECHO, [], ["a"]))
    assert await gatherResults(good) == [b"a"] * 3


@pytest_twisted.ensureDeferred
async def test_password(start: Start, make: Make, tmp_path: Path) -> None:
    """A wrong password is told; the right one in the file is found by itself.  A database is one of many."""
    redis = start(free_port(), password="open sesame")
    file = tmp_path / "password"
    client = make(redis.port, password_file=FilePath(str(file)), database=3)
    assert "No such file or directory" in await fails(client, 10.0)
    file.write_text("guess\n")
    while "WRONGPASS" not in await fails(client, 10.0):
        await deferLater(reactor, 0.05)
    file.write_text("open sesame\n")
    await works(client)
    await client.run(COUNT, ["n"], [])
    other = make(redis.port, password=Secret("open sesame"))
    assert await other.run("return redis.call('EXISTS', 'n')", [], []) == 0


@pytest_twisted.ensureDeferred
async def test_no_master_any_more(start: Start, make: Make) -> None:
    """A server that takes no writes any more is left, for the next connection may lead to another one."""
    redis = start(free_port())
    client = make(redis.port, connections=1)
    await client.run(COUNT, ["n"], [])
    first = client.lanes[0].connection
    await client.run("return redis.call('REPLICAOF', '127.0.0.1', '1')", [], []).addErrback(lambda _: None)
    assert first is not None
    await first.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreFailed, match="READONLY"):
        await client.run(COUNT, ["n"], [])
    await works(client)
    assert client.lanes[0].connection is not first


@pytest_twisted.ensureDeferred
async def test_tls(start: Start, make: Make, tmp_path: Path) -> None:
    """Over TLS the server shows whom it is: one that nobody vouches for is refused, with the reason."""
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    certificate = write_certificate(tmp_path)
    redis = start(free_port(), certificate=certificate, password="open sesame")
    server = ClientEndpoint(f"tls:localhost:{redis.port}:trustRoots={trusted}")
    client = make(0, server=server, password=Secret("open sesame"))
    assert "certificate" in await fails(client, 10.0)
    shutil.copy(certificate, trusted)
    client = make(0, server=server, password=Secret("open sesame"))
    await works(client)


@pytest_twisted.ensureDeferred
async def test_sentinel(start: Start, make: Make, running: ExitStack, tmp_path: Path) -> None:
    """Sentinels say who is the master, over TLS and with passwords; when it dies, they name another one,
    which is asked from then on.  One sentinel that is down, and one that is none, are passed over.
    """
    certificate = write_certificate(tmp_path)
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(certificate, trusted)
    announced = ("--replica-announce-ip", "localhost")
    secure = {"certificate": certificate, "password": "sesame"}
    first = start(free_port(), **secure, more=announced)
    second = start(free_port(), **secure, more=(*announced, "--replicaof", "localhost", str(first.port)))
    watcher = Sentinel(free_port(), tmp_path, first.port, certificate=certificate, password="sesame")
    watcher = running.enter_context(watcher).started()
    client = make(
        0,
        sentinels=(
            ClientEndpoint(f"tcp:127.0.0.1:{free_port()}"),
            ClientEndpoint(f"tls:localhost:{second.port}:trustRoots={trusted}"),
            ClientEndpoint(f"tls:localhost:{watcher.port}:trustRoots={trusted}"),
        ),
        master="db",
        master_tls=True,
        trust_roots=DirectoryPath(str(trusted)),
        password=Secret("sesame"),
        sentinel_password=Secret("sesame"),
    )
    await works(client)
    connection = client.lanes[0].connection
    assert connection is not None
    assert connection.transport.getPeer().port == first.port
    watcher.ready(lambda: "+slave slave" in watcher.output, "the sentinel knew the replica")
    first.end(SIGKILL)
    end = reactor.seconds() + PATIENCE
    while True:
        assert reactor.seconds() < end, watcher.output
        try:
            await client.run(COUNT, ["n"], [])
            break
        except StoreFailed:
            await deferLater(reactor, 0.05)
    connection = client.lanes[0].connection
    assert connection is not None
    assert connection.transport.getPeer().port == second.port
