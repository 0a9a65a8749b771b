"""What every :class:`~tcpsuite.interfaces.IHealthCheck` keeps to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.testing import MemoryReactorClock
from zope.interface.verify import verifyObject

from tcpsuite.core.servers import Server
from tcpsuite.interfaces import IHealthCheck, Outcome

if TYPE_CHECKING:
    from typing import Any

    from twisted.internet.defer import Deferred
    from twisted.trial.unittest import SynchronousTestCase

    Case = SynchronousTestCase
else:
    Case = object

TIMEOUT = 2.0


class HealthCheckContract(Case):
    """Mix into a ``SynchronousTestCase``, and give ``make_check``.

    The reactor is a ``MemoryReactorClock``, on which no server ever answers: what a good answer is, only you
    know, and test beside this.
    """

    def make_check(self, reactor: Any, timeout: float) -> IHealthCheck:
        """A check, built as from the configuration."""
        raise NotImplementedError

    def setUp(self) -> None:
        """A check, and a server that it may ask."""
        super().setUp()
        self.reactor = MemoryReactorClock()
        self.check = self.make_check(self.reactor, TIMEOUT)
        self.server = Server("a", "tcp:192.0.2.1:5432")

    def tearDown(self) -> None:
        """See that no timer is left."""
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        super().tearDown()

    def _answer(self, asked: Deferred[Outcome]) -> Outcome:
        outcome = self.successResultOf(asked)
        self.assertIsInstance(outcome, Outcome)
        self.assertNotIn("\n", outcome.error, "an error is a line in a log")
        return outcome

    def test_provides_the_interface(self) -> None:
        """It has all that the interface asks for."""
        self.assertTrue(verifyObject(IHealthCheck, self.check))
        self.assertNotIn("object at 0x", repr(self.check))

    def test_silence_is_a_failed_outcome_in_time(self) -> None:
        """A server that never answers has failed when the time-out is over, with a reason, and not before."""
        asked = self.check.check(self.server)
        self.reactor.advance(TIMEOUT - 0.01)
        self.assertNoResult(asked)
        self.reactor.advance(0.01)
        outcome = self._answer(asked)
        self.assertFalse(outcome.ok)
        self.assertTrue(outcome.error)
        self.assertAlmostEqual(outcome.seconds, TIMEOUT)

    def test_keeps_no_state(self) -> None:
        """Checks that run side by side, of one server or of several, know nothing of each other."""
        first = self.check.check(self.server)
        self.reactor.advance(TIMEOUT / 2)
        second = self.check.check(Server("b", "tcp:192.0.2.2:5432"))
        third = self.check.check(self.server)
        self.reactor.advance(TIMEOUT / 2)
        self._answer(first)
        self.assertNoResult(second)
        self.assertNoResult(third)
        self.reactor.advance(TIMEOUT / 2)
        self._answer(second)
        self._answer(third)

    def test_what_cannot_be_asked_is_a_failed_answer(self) -> None:
        """An address that leads nowhere is an outcome too, and never an exception."""
        for address in ("", "nonsense", "no-such-kind:1:2"):
            asked = self.check.check(Server("a", address))
            self.reactor.advance(TIMEOUT)
            outcome = self._answer(asked)
            self.assertFalse(outcome.ok)
            self.assertTrue(outcome.error)

    def test_can_be_given_up(self) -> None:
        """Cancelling leaves nothing under way, and is an outcome all the same."""
        asked = self.check.check(self.server)
        asked.cancel()
        self.assertFalse(self._answer(asked).ok)

    def test_writes_nothing_into_the_server(self) -> None:
        """What is known of the server is written elsewhere."""
        asked = self.check.check(self.server)
        self.reactor.advance(TIMEOUT)
        self._answer(asked)
        self.assertTrue(self.server.up)
        self.assertEqual((self.server.active, self.server.failures, self.server.last_error), (0, 0, ""))
