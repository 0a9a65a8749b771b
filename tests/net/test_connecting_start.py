"""Tests for tcpsuite.net.connecting: what a protocol may do, and fail to do, when its connection begins."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    NoProtocol,
)
from twisted.internet.protocol import Factory

from tests.net.test_connecting import Client, connect
from tests.support.gateways import PATIENCE, accept, address, listening, turn


@pytest_twisted.ensureDeferred
async def test_a_factory_that_gives_no_protocol() -> None:
    """The connection is closed, and the Deferred fails."""

    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    with listening() as server:
        with pytest.raises(NoProtocol):
            await connect(address(server), Refusing())
        with accept(server) as accepted:
            assert accepted.recv(1) == b""


@pytest_twisted.ensureDeferred
async def test_a_protocol_that_fails_at_its_start() -> None:
    """The connection is reset, and the Deferred fails with what was raised; at once or later."""

    class Broken(Client):
        def connectionMade(self) -> None:
            raise ZeroDivisionError

    factory = Factory.forProtocol(Broken)
    with listening() as server:
        with pytest.raises(ZeroDivisionError):
            await connect(address(server), factory)
        with accept(server) as accepted:
            await turn()
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
    with listening(0) as server, socket.create_connection(server.getsockname()):
        connected = connect(address(server), factory)
        with accept(server), pytest.raises(ZeroDivisionError):
            await connected.addTimeout(PATIENCE, reactor)
        accept(server).close()
        await turn()


@pytest.mark.parametrize("where", ["buildProtocol", "connectionMade"])
@pytest_twisted.ensureDeferred
async def test_cancelled_by_its_own_protocol(where) -> None:
    """The Deferred fails, the connection is reset, its protocol hears of it, and the reactor forgets it."""
    clients: list[Client] = []

    class Cancelling(Client):
        def connectionMade(self) -> None:
            if where == "connectionMade":
                connected.cancel()

    class Building(Factory):
        def buildProtocol(self, addr: Any) -> Client:
            if where == "buildProtocol":
                connected.cancel()
            clients.append(Cancelling())
            return clients[0]

    with listening(0) as server, socket.create_connection(server.getsockname()):
        watched = cast("Any", reactor).getReaders()
        connected = connect(address(server), Building())
        assert not connected.called
        accept(server).close()
        with pytest.raises(ConnectingCancelledError):
            await connected.addTimeout(PATIENCE, reactor)
        await turn()
        assert isinstance(await clients[0].ended, ConnectionAborted)
        assert cast("Any", reactor).getReaders() == watched
        with accept(server) as accepted, pytest.raises(ConnectionResetError):
            accepted.recv(1)


@pytest_twisted.ensureDeferred
async def test_cancelled_and_failed_at_its_start(flush_errors) -> None:
    """The Deferred fails because it was cancelled; what was raised is logged."""

    class Broken(Client):
        def connectionMade(self) -> None:
            connected.cancel()
            raise ZeroDivisionError

    with listening(0) as server, socket.create_connection(server.getsockname()):
        connected = connect(address(server), Factory.forProtocol(Broken))
        accept(server).close()
        with pytest.raises(ConnectingCancelledError):
            await connected.addTimeout(PATIENCE, reactor)
        await turn()
        accept(server).close()
    assert len(flush_errors(ZeroDivisionError)) == 1


@pytest_twisted.ensureDeferred
async def test_a_protocol_that_would_exit_at_its_start() -> None:
    """Who waits is told even of what is no error, at once or later, and the reactor runs on."""

    class Exiting(Client):
        def connectionMade(self) -> None:
            raise SystemExit

    factory = Factory.forProtocol(Exiting)
    with listening() as server:
        with pytest.raises(SystemExit):
            await connect(address(server), factory)
        accept(server).close()
    with listening(0) as server, socket.create_connection(server.getsockname()):
        connected = connect(address(server), factory)
        with accept(server), pytest.raises(SystemExit):
            await connected.addTimeout(PATIENCE, reactor)
        accept(server).close()
        await turn()


@pytest_twisted.ensureDeferred
async def test_a_protocol_that_fails_before_it_has_its_transport() -> None:
    """The connection is reset, and the reactor forgets it."""

    class Broken(Client):
        def makeConnection(self, transport: Any) -> None:
            raise ZeroDivisionError

    with listening() as server:
        watched = cast("Any", reactor).getReaders()
        with pytest.raises(ZeroDivisionError):
            await connect(address(server), Factory.forProtocol(Broken))
        await turn()
        assert cast("Any", reactor).getReaders() == watched
        with accept(server) as accepted, pytest.raises(ConnectionResetError):
            accepted.recv(1)
