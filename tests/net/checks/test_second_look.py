"""The second look at a server that resets connections."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.servers import Server
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.checks import build_second_look
from tcpsuite.net.checks.second_look import InTurn, StayCheck
from tcpsuite.net.health_options import HealthOptions
from tcpsuite.testing.healthchecks import HealthCheckContract
from tests.net.checks.plays import Play, say
from tests.support.gateways import PATIENCE
from tests.support.sockets import write_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVER = Server("a", "tcp:192.0.2.1:1")


@implementer(IHealthCheck)
class Known:
    """A check of which the outcome is known."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.asked = 0

    def check(self, server: Server) -> Deferred[Outcome]:
        self.asked += 1
        return succeed(self.outcome)


@implementer(IHealthCheck)
class Endless:
    """A check that goes on when it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.answer: Deferred[Outcome] = Deferred()

    def check(self, server: Server) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(self._check())

    async def _check(self) -> Outcome:
        try:
            return await self.answer
        except CancelledError:
            self.cancelled += 1
            self.answer = Deferred()
            return await self.answer


class InTurnTests(SynchronousTestCase):
    """Several checks, one after the other."""

    def setUp(self) -> None:
        self.clock = Clock()

    def looked(self, checks: Sequence[IHealthCheck]) -> Outcome:
        """What comes of them, at once."""
        return self.successResultOf(InTurn(checks, self.clock, 3.0).check(SERVER))

    def test_all_are_well(self) -> None:
        """Who is well by all of them is well, as the last one says."""
        checks = [Known(Outcome(True)), Known(Outcome(True, seconds=2.0))]
        self.assertEqual(self.looked(checks), Outcome(True, seconds=2.0))

    def test_one_is_not(self) -> None:
        """The first that says otherwise decides, and no other is asked."""
        checks = [Known(Outcome(False, "refused")), Known(Outcome(True))]
        self.assertEqual(self.looked(checks), Outcome(False, "refused"))
        self.assertEqual(checks[1].asked, 0)

    def test_one_does_not_end(self) -> None:
        """One that does not end in time, not even when it is cancelled, has failed; what it says later is not
        heard.
        """
        known, late = Known(Outcome(True)), Endless()
        looking = InTurn([late, known], self.clock, 3.0).check(SERVER)
        self.clock.advance(2.9)
        self.assertNoResult(looking)
        self.clock.advance(0.1)
        expected = Outcome(False, "the check is broken: it did not end within 3 s")
        self.assertEqual(self.successResultOf(looking), expected)
        late.answer.callback(Outcome(True))
        self.assertEqual(known.asked, 0)

    def test_given_up(self) -> None:
        """Who does not want to know any more ends what is under way."""
        late = Endless()
        looking = InTurn([late], self.clock, 3.0).check(SERVER)
        looking.cancel()
        self.failureResultOf(looking, CancelledError)
        self.assertEqual((late.cancelled, self.clock.getDelayedCalls()), (1, []))


class BuildTests(SynchronousTestCase):
    def test_modes(self) -> None:
        """Only where servers are asked, and judged by real connections too, there is a second look: the check
        of the table, and then a connection on which nothing is said.
        """
        looks = {
            mode: build_second_look("db", HealthOptions(mode), MemoryReactorClock())
            for mode in ("none", "active", "passive", "hybrid")
        }
        self.assertEqual([mode for mode, look in looks.items() if look], ["hybrid"])
        self.assertEqual(
            repr(looks["hybrid"]), "<InTurn <TCPCheck timeout=2>, <StayCheck seconds=1 timeout=3>>"
        )


class StayContractTests(HealthCheckContract, SynchronousTestCase):
    """Stay and say nothing."""

    def make_check(self, reactor, timeout):
        return StayCheck(reactor, timeout)


stay = partial(StayCheck, seconds=0.05)


@pytest_twisted.ensureDeferred
async def test_left_alone() -> None:
    """A server that does nothing is well, after a while, and left in order."""
    async with Play() as play:
        outcome = await play.check(stay)
        assert outcome.ok
        assert outcome.seconds >= 0.05
        assert await play.ended() == ["ConnectionDone"]
        assert play.factory.players[0].heard == b""


@pytest_twisted.ensureDeferred
async def test_reset() -> None:
    """A server that resets the connection is not well."""
    async with Play(lambda player: player.transport.abortConnection()) as play:
        outcome = await play.check(StayCheck)
        assert not outcome.ok
        assert outcome.error == "the connection was lost before anything was said"


@pytest_twisted.ensureDeferred
async def test_a_greeting() -> None:
    """A server that speaks first is well at once."""
    async with Play(partial(say, b"220 ready\r\n")) as play:
        assert (await play.check(partial(StayCheck, seconds=60.0))).ok


@pytest_twisted.ensureDeferred
async def test_closed_in_order() -> None:
    """A server that closes at once, without a word to one who has said none, is not well."""
    async with Play(lambda player: player.transport.loseConnection()) as play:
        outcome = await play.check(partial(StayCheck, seconds=60.0))
        assert outcome.error == "it closed the connection before anything was said"


@pytest_twisted.ensureDeferred
async def test_refused() -> None:
    """A server that cannot be connected to is not well."""
    async with Play() as play:
        server = play.server
    assert not (await StayCheck(reactor, 1.0).check(server)).ok


@pytest_twisted.ensureDeferred
async def test_over_tls(tmp_path) -> None:
    """A server over TLS is left alone behind its handshake, and left in order."""
    pem = write_certificate(tmp_path)
    endpoint = serverFromString(reactor, f"ssl:0:interface=127.0.0.1:privateKey={pem}")
    port = await endpoint.listen(Factory.forProtocol(Protocol))
    server = Server("a", f"tls:localhost:{port.getHost().port}:trustRoots={tmp_path}")
    outcome = await stay(reactor, PATIENCE).check(server)
    assert outcome.error == ""
    assert 0.05 <= outcome.seconds < PATIENCE
    await port.stopListening()
