"""The fence around a pool of somebody's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from tcpsuite.core.servers import Server
from tcpsuite.errors import PoolExhausted, StartError
from tcpsuite.interfaces import IShrinkable
from tcpsuite.net.fenced import FencedPool
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.pools import SingleUsePoolContract
from tests.support.sample_pool import StackPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.interfaces import IConnectionPool

SERVER = Server("a", "tcp:192.0.2.1:1")


class FencedContractTests(SingleUsePoolContract, SynchronousTestCase):
    """A pool of somebody's own that is as it should be."""

    def make_pool(self, endpoint: ScriptedEndpoint, clock: Clock) -> IConnectionPool:
        return FencedPool(StackPool(SERVER, endpoint, clock), "a", clock)


class BrokenTests(SynchronousTestCase):
    """Pools that break."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.own = StackPool(SERVER, ScriptedEndpoint(), self.clock)
        self.pool = FencedPool(self.own, "server a of upstream db", self.clock)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def breaks(self, name: str, how: Callable[..., Any] = lambda *_: 1 / 0) -> None:
        """One of its methods does this instead."""

        def broken(*arguments: Any) -> Any:
            return how(*arguments)

        broken.__name__ = name
        self.patch(self.own, name, broken)

    def test_a_start(self) -> None:
        """One that cannot start says whose it is, and why."""
        self.breaks("start")
        error = self.assertRaises(StartError, self.pool.start)
        self.assertIn("the pool of server a of upstream db cannot start: ZeroDivision", str(error))

    def test_a_shrink(self) -> None:
        """One that knows no such thing is not asked; what one raises that does is logged."""
        own: Any = self.own
        own.shrink = None
        self.breaks("shrink")
        self.pool.shrink()
        alsoProvides(self.own, IShrinkable)
        self.pool.shrink()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_acquire(self) -> None:
        """What it raises is raised; and what is no lease is none."""
        self.breaks("acquire")
        self.assertRaises(ZeroDivisionError, self.pool.acquire)
        for given in (None, succeed(None), 5):
            self.breaks("acquire", lambda *_, given=given: given)
            failure = self.failureResultOf(self.pool.acquire(1.0), TypeError)
            self.assertIn("which is no lease", failure.getErrorMessage())

    def test_no_answer(self) -> None:
        """One that does not answer in the time that it was given is not waited for."""
        cancelled: list[object] = []
        self.breaks("acquire", lambda *_: Deferred(cancelled.append))
        waiting = self.pool.acquire(2.0)
        self.clock.advance(2.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        failure = self.failureResultOf(waiting, PoolExhausted)
        self.assertEqual(failure.getErrorMessage(), "its pool did not answer within 2 s")
        self.assertEqual(len(cancelled), 1)

    def test_figures(self) -> None:
        """What are no figures is left out, and a fault is told once a minute."""
        self.breaks("stats", lambda: {"open": 1, "odd": object(), "word": "x"})
        self.assertEqual(self.pool.stats(), {"open": 1})
        self.breaks("stats", lambda: None)
        self.assertEqual(self.pool.stats(), {})
        self.breaks("stats")
        self.assertEqual([self.pool.stats(), self.pool.stats()], [{}, {}])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(60)
        self.pool.stats()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_cut(self) -> None:
        """What goes wrong in a cut is logged, and keeps nobody from the rest."""
        self.breaks("cut")
        self.pool.cut()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_close(self) -> None:
        """A close that fails is logged; one that does not end is over a second behind its time."""
        self.breaks("close")
        self.successResultOf(self.pool.close())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.breaks("close", lambda _: Deferred())
        closing = self.pool.close(2.0)
        self.clock.advance(2.9)
        self.assertNoResult(closing)
        self.clock.advance(0.1)
        self.successResultOf(closing)
