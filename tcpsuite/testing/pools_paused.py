"""What a contract of pools begins with, and what every pool keeps to while it is paused and behind that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from tcpsuite.errors import Closed, PoolExhausted
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.takers import Taker

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase

    from tcpsuite.interfaces import IConnectionPool, ILease

    Case = SynchronousTestCase
else:
    Case = object

PATIENCE = 60.0
"""Seconds within which any pool must have answered who gave no time of its own."""


class PoolCase(Case):
    """A pool whose server the test plays.  Mix into a ``SynchronousTestCase``, and give ``make_pool``."""

    def make_pool(self, endpoint: ScriptedEndpoint, clock: Clock) -> IConnectionPool:
        """A pool that was not started, and makes its connections by ``endpoint``."""
        raise NotImplementedError

    def setUp(self) -> None:
        """A pool that was started."""
        super().setUp()
        self.clock = Clock()
        self.endpoint = ScriptedEndpoint()
        self.pool = self.make_pool(self.endpoint, self.clock)
        self.pool.start()
        self._accept_all()

    def tearDown(self) -> None:
        """Close the pool, and see that it leaves nothing."""
        closed = self.pool.close()
        self._wait(PATIENCE)
        self.successResultOf(closed)
        self.assertEqual(self.endpoint.connecting, 0)
        self.assertEqual(self.endpoint.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        super().tearDown()

    def _accept_all(self) -> None:
        while self.endpoint.connecting:
            self.endpoint.accept()

    def _refuse_all(self) -> None:
        for _ in range(100):
            if not self.endpoint.connecting:
                return
            self.endpoint.refuse()
        self.fail("a server that refuses is asked again and again, in one moment")

    def _wait(self, seconds: float) -> None:
        for _ in range(10):
            self.clock.advance(seconds / 10)
            self.endpoint.settle()

    def _lease(self) -> ILease:
        acquired = self.pool.acquire()
        self._accept_all()
        lease: ILease = self.successResultOf(acquired)
        return lease

    def _attached(self) -> tuple[ILease, Taker]:
        lease, taker = self._lease(), Taker()
        lease.attach(taker)
        return lease, taker

    def _drain(self) -> None:
        """Have the server end every connection, so that the next one has to be made."""
        for server in self.endpoint.transports:
            server.lose(ConnectionLost())


class PausingPoolContract(PoolCase):
    """Clients that a pause holds."""

    def test_a_pause_holds_who_comes(self) -> None:
        """Who asks while it is paused gets nothing, and a lease when it goes on; who has one keeps it."""
        lease, taker = self._attached()
        self.pool.pause()
        held = self.pool.acquire()
        self._accept_all()
        self.assertNoResult(held)
        self.assertEqual(taker.events, ["made"])
        self.pool.release(lease)
        self._accept_all()
        self.assertNoResult(held)
        self.pool.resume()
        self._accept_all()
        self.pool.release(self.successResultOf(held))

    def test_goes_on_as_fast_as_it_is_told(self) -> None:
        """Of those who were held two a second go on, in their order."""
        self.pool.pause()
        held = [self.pool.acquire() for _ in range(3)]
        self.pool.resume(2)
        for number in range(3):
            self._accept_all()
            self.assertEqual([each.called for each in held], [True] * (number + 1) + [False] * (2 - number))
            self.clock.advance(0.5)

    def test_nobody_is_held_for_longer_than_the_pause_allows(self) -> None:
        """Who was held for so long is told, or at its own time; so is who gives up, and is not served."""
        self.pool.pause(2.0)
        short, long, gone = self.pool.acquire(0.5), self.pool.acquire(), self.pool.acquire()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.clock.advance(0.5)
        self.failureResultOf(short, PoolExhausted)
        self.clock.advance(1.4)
        self.assertNoResult(long)
        self.clock.advance(0.1)
        self.failureResultOf(long, PoolExhausted)

    def test_who_is_answered_may_cancel_the_others(self) -> None:
        """Of those who were held, one that is answered gives up another: the rest are served all the same."""
        self.pool.release(self._lease())
        self.pool.pause()
        first, second, third = (self.pool.acquire() for _ in range(3))

        def cancel(lease: ILease) -> ILease:
            second.cancel()
            return lease

        first.addCallback(cancel)
        self.pool.resume()
        self._accept_all()
        self.failureResultOf(second, CancelledError)
        for each in (first, third):
            self.successResultOf(each)

    def test_closing_tells_who_is_held(self) -> None:
        """Who is held by a pause fails when the pool is closed."""
        self.pool.pause()
        held = self.pool.acquire()
        self.pool.close()
        self.failureResultOf(held, Closed)
