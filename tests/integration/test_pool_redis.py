"""A pool to a real Redis server, whose clients take turns on one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.resets import reset_redis
from tests.integration.support.programs import free_port, need
from tests.integration.support.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tcpsuite.interfaces import ILease


class Client(Protocol):
    """Asks one thing after the other, each answered by one line, or a length and a line."""

    def __init__(self) -> None:
        self._got = b""
        self._answer: Deferred[bytes] | None = None

    def ask(self, *words: str) -> Deferred[bytes]:
        """Fires with the answer, without its length and line end."""
        parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        assert self.transport is not None
        self.transport.write(f"*{len(words)}\r\n{parts}".encode())
        self._answer = Deferred()
        return self._answer

    def dataReceived(self, data: bytes) -> None:
        self._got += data
        lines = self._got.split(b"\r\n")
        wanted = 2 if self._got[:1] == b"$" and not self._got.startswith(b"$-1") else 1
        if len(lines) > wanted and self._answer is not None:
            self._got, answer, self._answer = b"", self._answer, None
            answer.callback(lines[wanted - 1])


def pool_to(port: int, mode: str = "session", **options: object) -> ConnectionPool:
    """A pool of one connection, which every client shares."""
    server = Server("redis", f"tcp:127.0.0.1:{port}")
    settings = PoolSettings(mode, min_connections=0, max_connections=1)
    endpoint = server_endpoint(reactor, server.address)
    return ConnectionPool(server, endpoint, reactor, settings=settings, **options)  # type: ignore[arg-type]


def asking(*commands: tuple[str, ...]) -> Callable[[ILease], object]:
    """What asks all of these of a lease, and gives the answers."""

    async def asked(lease: ILease) -> list[bytes]:
        client = Client()
        lease.attach(client)
        return [await client.ask(*command) for command in commands]

    return asked


@pytest_twisted.ensureDeferred
async def test_a_client_meets_nothing_of_the_one_before(tmp_path: Path, running: ExitStack) -> None:
    """Behind a reset the database is the first, the transaction is gone and the name too; it is the same
    connection all the time.
    """
    need("redis-server")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    pool = pool_to(redis.port, reset=reset_redis)
    first = await pool.execute(
        asking(
            ("CLIENT", "ID"), ("CLIENT", "SETNAME", "first"), ("SELECT", "3"), ("SET", "a", "b"), ("MULTI",)
        )
    )
    assert first[1:] == [b"+OK"] * 4
    second = await pool.execute(asking(("CLIENT", "ID"), ("CLIENT", "GETNAME"), ("GET", "a")))
    assert second[0] == first[0], "the same connection"
    assert second[1:] == [b"$-1", b"$-1"], "no name, and another database"
    stats = pool.stats()
    assert (stats["created"], stats["leases"], stats["closed_not_reset"]) == (1, 2, 0)
    await pool.close()


@pytest_twisted.ensureDeferred
async def test_without_a_reset_the_next_one_would(tmp_path: Path, running: ExitStack) -> None:
    """The same clients without the hook: the second is caught in the transaction of the first."""
    need("redis-server")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    pool = pool_to(redis.port, "message")
    await pool.execute(asking(("MULTI",)))
    assert await pool.execute(asking(("GET", "a"))) == [b"+QUEUED"]
    await pool.close()


@pytest_twisted.ensureDeferred
async def test_a_server_that_died_is_left(tmp_path: Path, running: ExitStack) -> None:
    """When the server is started anew, the next client has a new connection, and notices nothing."""
    need("redis-server")
    redis = running.enter_context(Redis(free_port(), tmp_path)).started()
    pool = pool_to(redis.port, reset=reset_redis)
    await pool.execute(asking(("PING",)))
    redis.end()
    again = running.enter_context(Redis(redis.port, tmp_path)).started()
    assert again.port == redis.port
    assert await pool.execute(asking(("PING",))) == [b"+PONG"]
    assert pool.stats()["created"] == 2
    await pool.close()
