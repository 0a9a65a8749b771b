"""Pools whose connections are made ready first: a login, a greeting, a start of PostgreSQL's."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.mail.smtp import ESMTP

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.errors import ConnectFailed, ProtocolError
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.pool import ConnectionPool
from tests.integration.support.postgres import USER, Postgres
from tests.integration.support.programs import free_port, need
from tests.integration.support.redis import Redis
from tests.integration.test_pool_redis import asking

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from tcpsuite.interfaces import ILease

PAGE = (Path(__file__).parents[2] / "docs" / "pools.md").read_text()
PASSWORD = "a long secret"


def shown(name: str) -> dict[str, Any]:
    """What a module of that name holds that the page shows."""
    found = re.search(rf"```python\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names


def pool_to(port: int, mode: str, least: int = 0, most: int = 1, **hooks: Any) -> ConnectionPool:
    """A pool that was started."""
    server = Server("a", f"tcp:127.0.0.1:{port}")
    settings = PoolSettings(mode, min_connections=least, max_connections=most)
    pool = ConnectionPool(
        server, server_endpoint(reactor, server.address), reactor, settings=settings, **hooks
    )
    pool.start()
    return pool


@pytest.fixture
def redis(tmp_path: Path, running: ExitStack, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """A Redis server that wants a password, which the page's example is told."""
    need("redis-server")
    monkeypatch.setenv("REDIS_PASSWORD", f'"{PASSWORD}"')
    server = Redis(free_port(), tmp_path, password=PASSWORD)
    return running.enter_context(server).started()


@pytest_twisted.ensureDeferred
async def test_a_login_is_made_once_and_by_the_pool(redis: Redis) -> None:
    """Clients find a connection that is logged in, and each the same one: in the mode message as it is, in
    the mode session behind the page's reset, which forgets all else.
    """
    hooks = shown("redis_login.py")
    for mode, more in (("message", {}), ("session", {"reset": hooks["renew"]})):
        pool = pool_to(redis.port, mode, prepare=hooks["login"], **more)
        first = await pool.execute(asking(("CLIENT", "ID"), ("SELECT", "3"), ("SET", "a", "b")))
        assert first[1:] == [b"+OK", b"+OK"]
        second = await pool.execute(asking(("CLIENT", "ID"), ("GET", "a")))
        assert second == [first[0], b"$-1" if mode == "session" else b"b"]
        stats = pool.stats()
        assert [stats[key] for key in ("created", "failed", "closed_lost")] == [1, 0, 0]
        await pool.close()


@pytest_twisted.ensureDeferred
async def test_who_waits_is_told_that_the_password_is_wrong(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the server's own words; the attempt counts as one that failed, and none is idle."""
    monkeypatch.setenv("REDIS_PASSWORD", "guess")
    pool = pool_to(redis.port, "message", least=1, prepare=shown("redis_login.py")["login"])
    with pytest.raises(ConnectFailed, match=r"it could not be prepared: .*WRONGPASS"):
        await pool.execute(asking(("PING",)))
    stats = pool.stats()
    assert stats["failed"] >= 1
    assert (stats["created"], stats["idle"]) == (0, 0)
    await pool.close()


class Smtp(Protocol):
    """Says one line, and gives the answer to it."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.answer: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.line + b"\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.answer.callback(data)


def saying(line: bytes) -> Callable[[ILease], Deferred[bytes]]:
    """What says this line on a lease."""

    def said(lease: ILease) -> Deferred[bytes]:
        lease.attach(smtp := Smtp(line))
        return smtp.answer

    return said


@pytest_twisted.ensureDeferred
async def test_a_server_that_greets_is_heard_out() -> None:
    """The greeting of an SMTP server is the hook's, also of a connection made ahead; each client finds the
    same one, past its EHLO and the RSET that each is followed by.
    """
    hooks = shown("smtp_hooks.py")
    greeter = Factory.forProtocol(ESMTP)
    greeter.timeout = None  # type: ignore[attr-defined]
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(greeter)
    pool = pool_to(port.getHost().port, "session", least=1, prepare=hooks["hello"], reset=hooks["reset"])
    for _ in range(3):
        assert (await pool.execute(saying(b"DATA"))).startswith(b"503 Must have valid receiver")
    stats = pool.stats()
    assert [stats[key] for key in ("created", "leases", "closed_lost", "failed")] == [1, 3, 0, 0]
    await pool.close()
    await port.stopListening()


class Query(Protocol):
    """One message to PostgreSQL, and all that comes until it is ready for the next."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._got = b""
        self._values: list[bytes] = []
        self.ready: Deferred[list[bytes]] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._message)

    def dataReceived(self, data: bytes) -> None:
        self._got += data
        while len(self._got) > 4 and len(self._got) > (length := struct.unpack("!I", self._got[1:5])[0]):
            kind, body, self._got = self._got[:1], self._got[5 : length + 1], self._got[length + 1 :]
            if kind == b"D":  # a row: how many values, and the length of the first
                self._values.append(body[6:])
            elif kind == b"E":
                self.ready.errback(ProtocolError("postgresql", body.decode("utf-8", "replace")))
            elif kind == b"Z":
                self.ready.callback(self._values)


def message(kind: bytes, body: bytes) -> Callable[[ILease], Deferred[list[bytes]]]:
    """What says this to PostgreSQL, and gives the first value of each row."""

    def said(lease: ILease) -> Deferred[list[bytes]]:
        lease.attach(query := Query(kind + struct.pack("!I", len(body) + 4) + body))
        return query.ready

    return said


def sql(text: str) -> Callable[[ILease], Deferred[list[bytes]]]:
    """What asks this."""
    return message(b"Q", text.encode() + b"\0")


def start(user: str) -> Callable[[ILease], Deferred[list[bytes]]]:
    """What begins a session of this user."""
    return message(b"", struct.pack("!I", 3 << 16) + f"user\0{user}\0database\0postgres\0\0".encode())


@pytest_twisted.ensureDeferred
async def test_sessions_of_postgresql_are_begun_and_cleaned(
    running: ExitStack,
) -> None:
    """Eight clients share two sessions that the pool began, and no one meets what another has set."""
    need("initdb", "postgres", "pg_isready", "setpriv")
    # Not pytest's own, which the user that PostgreSQL runs as may not enter.
    folder = Path(running.enter_context(TemporaryDirectory(prefix="tcpsuite-postgres-")))
    server = running.enter_context(Postgres(folder)).started()
    pool = pool_to(server.port, "session", most=2, prepare=start(USER), reset=sql("DISCARD ALL"))

    async def client(lease: ILease) -> list[bytes]:
        return await sql(
            "SELECT set_config('application_name', current_setting('application_name') || 'x', false) "
            "UNION ALL SELECT pg_backend_pid()::text FROM pg_sleep(0.1)"
        )(lease)

    answers = await gatherResults([pool.execute(client) for _ in range(8)])
    assert {name for name, _ in answers} == {b"x"}
    assert len({pid for _, pid in answers}) == 2
    assert pool.stats()["created"] == 2
    await pool.close()

    pool = pool_to(server.port, "session", prepare=start("nobody"), reset=sql("DISCARD ALL"))
    with pytest.raises(ConnectFailed, match=r'it could not be prepared: .*role "nobody" does not exist'):
        await pool.execute(client)
    await pool.close()
