"""How servers are asked whether they are well, and when."""

from __future__ import annotations

import random
import socket
from errno import ECONNREFUSED, EMFILE, ENFILE, ENOBUFS
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectBindError, ConnectError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.health import RiseFall, Schedule
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.healthcheck import UNCHECKED, HealthChecker, TCPCheck
from tcpsuite.testing.healthchecks import HealthCheckContract
from tests.support.gateways import address, listening, turn

GOOD, BAD = Outcome(True), Outcome(False, "connection refused")
SHORT = Outcome(False, "too many open files", local=True)


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


@implementer(IHealthCheck)
class Scripted:
    """Answers what the test says, when it says so."""

    def __init__(self):
        self.asked = []

    def check(self, server):
        answer: Deferred[Outcome] = Deferred()
        self.asked.append((server.name, answer))
        return answer


class HealthCheckerTests(SynchronousTestCase):
    """Servers that are checked again and again."""

    def setUp(self):
        self.clock = Clock()
        self.check = Scripted()
        self.servers = [Server("a", "tcp:192.0.2.1:1"), Server("b", "tcp:192.0.2.2:1")]
        self.checker = self.make(self.check)

    def make(self, check):
        return HealthChecker(
            "db",
            self.servers,
            check,
            self.clock,
            health=lambda: RiseFall(2, 3),
            schedule=Schedule(5.0, jitter=0.0),
            chance=random.Random(1),
        )

    def answer(self, outcome, name="a"):
        """Let time pass until that server is asked, and answer."""
        for _ in range(20):
            for number, (asked, answer) in enumerate(self.check.asked):
                if asked == name:
                    del self.check.asked[number]
                    return answer.callback(outcome)
            self.clock.advance(1)
        return self.fail("nobody asked")

    def test_asks_every_server_soon_and_then_in_intervals(self):
        """All are asked at the start, each again an interval after its answer, never twice at a time."""
        self.checker.start()
        self.clock.advance(0)
        self.assertEqual([name for name, _ in self.check.asked], ["a", "b"])
        self.clock.advance(60)
        self.assertEqual(len(self.check.asked), 2)
        self.answer(GOOD)
        self.clock.advance(4.9)
        self.assertEqual([name for name, _ in self.check.asked], ["b"])
        self.clock.advance(0.1)
        self.assertEqual([name for name, _ in self.check.asked], ["b", "a"])

    def test_a_server_goes_down_and_comes_up_and_it_is_said_once(self):
        """Transitions are written into the server and logged, with the reason, and nothing else is logged."""
        self.checker.start()
        with capturedLogs() as events:
            ups = []
            for outcome in (GOOD, BAD, BAD, BAD, BAD, GOOD, GOOD, GOOD):
                self.answer(outcome)
                ups.append(self.servers[0].up)
        self.assertEqual(ups, [True, True, True, False, False, False, True, True])
        said = [(event["log_level"], event["state"], event["reason"]) for event in events]
        self.assertEqual(
            said,
            [
                (LogLevel.warn, "down", "3 checks in a row failed: connection refused"),
                (LogLevel.info, "up", "2 checks in a row succeeded"),
            ],
        )
        self.assertEqual({(event["server"], event["upstream"]) for event in events}, {("a", "db")})
        self.assertTrue(self.servers[1].up)
        self.assertEqual(self.servers[0].last_error, "connection refused")

    def test_tells_what_it_knows(self):
        """The counts of checks, and since when a server is what it is; before the first check, nothing."""
        self.assertEqual(self.checker.status(self.servers[0]), UNCHECKED)
        self.checker.start()
        self.clock.advance(0)
        self.clock.advance(1)
        for outcome in (BAD, GOOD):
            self.answer(outcome)
        status = self.checker.status(self.servers[0])
        self.assertEqual(status, {"since": 1.0, "checks": {"ok": 1, "failed": 1}})
        self.assertEqual(repr(self.checker), "<HealthChecker db running up=1 of 2>")

    def test_stopping_gives_up_what_is_under_way(self):
        """Behind a stop nothing is asked, and what is answered late changes nothing."""
        self.checker.start()
        self.clock.advance(0)
        self.answer(GOOD, "b")
        with capturedLogs() as events:
            self.checker.stop()
        self.assertEqual(events, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.servers[0].up)
        self.assertEqual(repr(self.checker), "<HealthChecker db stopped up=2 of 2>")

    def test_a_shortage_here_is_not_held_against_a_server(self):
        """A check that had no descriptor to ask with does not count, is said once, and soon asked again."""
        self.checker.start()
        with capturedLogs() as events:
            for outcome in (SHORT, SHORT, SHORT, BAD):
                self.answer(outcome)
                self.clock.advance(1)
        self.assertEqual(self.checker.status(self.servers[0])["checks"], {"ok": 0, "failed": 1})
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error, LogLevel.warn])
        self.assertEqual(events[1]["reason"], "1 check failed: connection refused")

    def test_a_broken_check_is_a_failed_one_and_our_own_fault(self):
        """A check that raises is logged with its traceback, counts as failed, and checking goes on."""

        @implementer(IHealthCheck)
        class Broken:
            def check(self, server):
                raise ZeroDivisionError

        checker = self.make(Broken())
        checker.start()
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertFalse(self.servers[0].up)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        checker.stop()

    def test_has_defaults(self):
        """With nothing said, the rise, fall and intervals are the usual ones."""

        @implementer(IHealthCheck)
        class Good:
            def check(self, server):
                return succeed(GOOD)

        checker = HealthChecker("db", self.servers, Good(), self.clock)
        checker.start()
        self.clock.advance(1)
        self.assertEqual(checker.status(self.servers[0])["checks"], {"ok": 1, "failed": 0})
        checker.stop()


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
