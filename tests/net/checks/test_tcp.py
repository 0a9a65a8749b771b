"""The check that only connects."""

from __future__ import annotations

import socket
from errno import ECONNREFUSED, EMFILE, ENFILE, ENOBUFS
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.error import ConnectBindError, ConnectError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.servers import Server
from tcpsuite.interfaces import Outcome
from tcpsuite.net.checks.tcp import TCPCheck
from tcpsuite.testing.healthchecks import HealthCheckContract
from tests.support.gateways import address, listening, turn


class TCPCheckContractTests(HealthCheckContract, SynchronousTestCase):
    """Connect and leave."""

    def make_check(self, reactor, timeout):
        return TCPCheck(reactor, timeout)

    def test_a_host_with_colons_is_understood(self):
        """An IPv6 address, its colons escaped, is connected to."""
        asked = self.check.check(Server("a", r"tcp:\:\:1:5432"))
        self.assertEqual(self.reactor.tcpClients[0][:2], ("::1", 5432))
        asked.cancel()
        self.assertFalse(self.successResultOf(asked).ok)


class KnockTests(SynchronousTestCase):
    """The knock on a reactor of memory."""

    def test_a_shortage_here_is_told_from_a_refusal(self):
        """For want of a descriptor or a buffer the outcome is local, for what a server does it is not."""
        for error, local in (
            (ConnectBindError(EMFILE, "Too many open files"), True),
            (ConnectError(ENOBUFS, "No buffer space available"), True),
            (OSError(ENFILE, "Too many open files in system"), True),
            (ConnectionRefusedError(ECONNREFUSED, "Connection refused"), False),
            (ValueError("no such host"), False),
        ):
            memory = MemoryReactorClock()
            asked = TCPCheck(memory, 2.0).check(Server("a", "tcp:192.0.2.1:1"))
            client: Any = memory.tcpClients[0][2]
            client.clientConnectionFailed(None, Failure(error))
            self.assertEqual(self.successResultOf(asked).local, local, error)

    def test_who_answers_is_left_at_once(self):
        """In the moment that the connection is made it is reset, and the outcome comes when it is gone."""
        memory = MemoryReactorClock()
        asked = TCPCheck(memory, 2.0).check(Server("a", "tcp:192.0.2.1:1"))
        factory = memory.tcpClients[0][2]
        protocol: Any = factory.buildProtocol(None)

        class Transport:
            aborted = False

            def abortConnection(self):
                self.aborted = True

        transport = Transport()
        protocol.makeConnection(transport)
        self.assertTrue(transport.aborted)
        self.assertNoResult(asked)
        memory.advance(0.25)
        protocol.connectionLost(connectionDone)
        self.assertEqual(self.successResultOf(asked), Outcome(True, seconds=0.25))
        self.assertEqual(memory.getDelayedCalls(), [])


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_well_never_sees_the_check():
    """A program that only accepts has no connection to accept: there is nothing that it could log."""
    with listening() as server:
        outcome = await TCPCheck(reactor, 2.0).check(Server("a", address(server)))
        assert outcome.ok
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest_twisted.ensureDeferred
async def test_nobody_listening_is_a_failed_check():
    """A refused connection is said in the system's words."""
    with listening() as server:
        gone = address(server)
    outcome = await TCPCheck(reactor, 2.0).check(Server("a", gone))
    assert (outcome.ok, outcome.error) == (False, "connection refused")


@pytest_twisted.ensureDeferred
async def test_a_server_that_says_nothing_has_failed_in_time():
    """A full backlog is silence; the check ends with its time-out."""
    with listening(0) as server, socket.create_connection(server.getsockname()):
        outcome = await TCPCheck(reactor, 0.2).check(Server("a", address(server)))
    assert not outcome.ok
    assert outcome.error == "no answer within 0.2 s"
    assert 0.2 <= outcome.seconds < 2


class Witness(Protocol):
    """Notes how a connection ended."""

    def connectionLost(self, reason=connectionDone):
        self.factory.ends.append(reason.type.__name__)


@pytest_twisted.ensureDeferred
async def test_another_kind_of_server_is_closed_in_order(tmp_path):
    """On a UNIX socket the check is a connection with a FIN, and nothing but the FIN."""
    factory: Any = Factory.forProtocol(Witness)
    factory.ends = []
    port = cast("Any", reactor).listenUNIX(str(tmp_path / "s"), factory)
    outcome = await TCPCheck(reactor, 2.0).check(Server("a", f"unix:{tmp_path / 's'}"))
    assert outcome.ok
    while not factory.ends:
        await turn()
    assert factory.ends == ["ConnectionDone"]
    await port.stopListening()
