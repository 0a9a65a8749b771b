"""The pool that takes its connections back, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.servers import Server
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.pool import ConnectionPool
from tests.support.gateways import accept, address, finish, listening, reset, turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tcpsuite.interfaces import ILease


class Talk(Protocol):
    """Gives what comes, in pieces as long as it is asked for."""

    def __init__(self) -> None:
        self._got = b""
        self._wanted = 0
        self._come: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._got += data
        self._look()

    def read(self, size: int) -> Deferred[bytes]:
        """Fires with the next ``size`` bytes."""
        self._wanted, self._come = size, Deferred()
        self._look()
        return self._come

    def _look(self) -> None:
        if self._wanted and len(self._got) >= self._wanted:
            data, self._got = self._got[: self._wanted], self._got[self._wanted :]
            self._wanted = 0
            self._come.callback(data)


@asynccontextmanager
async def pool_to(server: socket.socket, **settings: Any) -> AsyncIterator[ConnectionPool]:
    """A pool of one connection that is lent again."""
    given = {"min_connections": 0, "max_connections": 1, **settings}
    where = Server("a", address(server))
    endpoint = server_endpoint(reactor, where.address)
    pool = ConnectionPool(where, endpoint, reactor, settings=PoolSettings("message", **given))
    try:
        yield pool
    finally:
        await pool.close()


async def until(condition: Callable[[], object]) -> None:
    """Turn until it is so."""
    while not condition():
        await turn()


@pytest_twisted.ensureDeferred
async def test_one_connection_serves_one_after_the_other():
    """Three takers speak on one connection; each hears its own answer."""
    with listening() as server:
        async with pool_to(server) as pool:
            peer = None
            for word in (b"one", b"two", b"three"):
                lease, talk = await pool.acquire(), Talk()
                lease.attach(talk)
                assert talk.transport is not None
                talk.transport.write(word)
                peer = peer or accept(server)
                await turn()
                assert peer.recv(100) == word
                peer.sendall(word.upper())
                assert await talk.read(len(word)) == word.upper()
                pool.release(lease)
            assert (pool.stats()["leases"], pool.stats()["created"]) == (3, 1)
            assert peer is not None
            peer.close()


@pytest.mark.parametrize("asked_behind", [0.0, 0.5])
@pytest.mark.parametrize(
    "end",
    [socket.socket.close, reset, finish, lambda peer: peer.sendall(b"late")],
    ids=["closed", "reset", "finished", "spoke"],
)
@pytest_twisted.ensureDeferred
async def test_an_end_that_only_the_kernel_knows_of_is_not_met(end, asked_behind):
    """A connection whose end has arrived behind its release, or a word, but was not yet read, goes to no
    taker, however short it was idle.
    """
    with listening() as server:
        async with pool_to(server, validate_idle=asked_behind) as pool:
            first = await pool.acquire()
            first.attach(Talk())
            peer = accept(server)
            pool.release(first)
            end(peer)
            second = await pool.acquire()
            with accept(server) as again:
                talk = Talk()
                second.attach(talk)
                again.sendall(b"alive")
                assert await talk.read(5) == b"alive"
                pool.release(second)
                assert pool.stats()["created"] == 2
            peer.close()


def unread(lease: ILease, talk: Talk, peer: socket.socket) -> None:
    """The server says more than is read."""
    peer.sendall(b"more")


def unread_by_choice(lease: ILease, talk: Talk, peer: socket.socket) -> None:
    """The taker reads no more, and the server goes on."""
    talk.transport.pauseProducing()  # type: ignore[union-attr]
    peer.sendall(b"more")


def unsent(lease: ILease, talk: Talk, peer: socket.socket) -> None:
    """The taker has said what the server does not take yet."""
    assert talk.transport is not None
    talk.transport.write(b"x" * (32 << 20))


def half_closed(lease: ILease, talk: Talk, peer: socket.socket) -> None:
    """The taker has closed its half."""
    talk.transport.loseWriteConnection()  # type: ignore[union-attr]


class Between(Protocol):
    """What stands between a transport and its protocol, as TLS does."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def connectionLost(self, reason: Any = connectionDone) -> None:
        self.inner.connectionLost(reason)


def another_protocol(lease: ILease, talk: Talk, peer: socket.socket) -> None:
    """The taker has begun to speak TLS, or the like."""
    transport: Any = talk.transport
    transport.protocol = Between(transport.protocol)


@pytest.mark.parametrize("leave", [unread, unread_by_choice, unsent, half_closed, another_protocol])
@pytest_twisted.ensureDeferred
async def test_what_is_under_way_is_met_by_nobody(leave):
    """A connection that is given back with something under way is closed, and the next taker has another."""
    with listening() as server:
        async with pool_to(server, max_connections=2) as pool:
            lease, talk = await pool.acquire(), Talk()
            lease.attach(talk)
            with accept(server) as peer:
                leave(lease, talk, peer)
                pool.release(lease)
                assert pool.stats()["closed_released"] == 1
                second, later = await pool.acquire(), Talk()
                second.attach(later)
                with accept(server) as again:
                    again.sendall(b"mine")
                    assert await later.read(4) == b"mine"
                    pool.release(second)
            pool.cut()
            await until(lambda: pool.stats()["open"] == 0)


@pytest_twisted.ensureDeferred
async def test_one_that_was_paused_is_read_again():
    """Who stops reading and gives a quiet connection back leaves the next taker one that hears."""
    with listening() as server:
        async with pool_to(server) as pool:
            lease, talk = await pool.acquire(), Talk()
            lease.attach(talk)
            talk.transport.pauseProducing()  # type: ignore[union-attr]
            pool.release(lease)
            second, later = await pool.acquire(), Talk()
            second.attach(later)
            with accept(server) as peer:
                peer.sendall(b"hello")
                assert await later.read(5) == b"hello"
                pool.release(second)


@pytest_twisted.ensureDeferred
async def test_many_takers_share_a_few():
    """Two hundred takers at once have their turns on three connections, and there never are more."""
    with listening() as server:
        async with pool_to(server, max_connections=3) as pool:
            most = 0

            async def work(lease: ILease) -> None:
                nonlocal most
                most = max(most, int(pool.stats()["open"]))
                await turn()

            for done in [pool.execute(work) for _ in range(200)]:
                await done
            stats = pool.stats()
            assert (most, stats["created"], stats["leases"], stats["waiting"]) == (3, 3, 200, 0)
            assert stats["longest_wait"] > 0
