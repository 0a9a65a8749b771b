"""The pool that takes its connections back, on transports of strings."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import End, PoolSettings
from tcpsuite.core.pooling.events import Created, Destroyed, Evicted, Leaked, Refilled, Waiting
from tcpsuite.core.servers import Server
from tcpsuite.errors import ConnectFailed, PoolExhausted
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.testing.endpoints import ScriptedEndpoint, ScriptedTransport
from tcpsuite.testing.pools_reuse import ReusingPoolContract

if TYPE_CHECKING:
    from tcpsuite.interfaces import ILease

SERVER = Server("a", "tcp:192.0.2.1:1")


class MessageContractTests(ReusingPoolContract, SynchronousTestCase):
    """A pool that lends again at once."""

    def make_pool(self, endpoint, clock):
        settings = PoolSettings("message", max_connections=4, min_connections=2, max_waiters=3)
        return ConnectionPool(SERVER, endpoint, clock, settings=settings, chance=random.Random(1))


class SessionContractTests(ReusingPoolContract, SynchronousTestCase):
    """A pool that resets, which takes it no time, and that keeps none it was not asked for."""

    def make_pool(self, endpoint, clock):
        settings = PoolSettings(
            "session", max_connections=4, min_connections=0, max_waiters=3, idle_order="fifo"
        )
        return ConnectionPool(SERVER, endpoint, clock, settings=settings, reset=lambda lease: None)


class ReuseCase(SynchronousTestCase):
    """A pool of one connection, which notes what happens."""

    def setUp(self):
        self.clock = Clock()
        self.endpoint = ScriptedEndpoint()
        self.events = []

    def make(self, mode="message", *, prepare=None, reset=None, validate=None, **settings):
        given = {"min_connections": 0, "max_connections": 1, "lifetime_jitter": 0.0, **settings}
        self.pool = ConnectionPool(
            SERVER,
            self.endpoint,
            self.clock,
            settings=PoolSettings(mode, **given),
            prepare=prepare,
            reset=reset,
            validate=validate,
            observer=self.events.append,
            chance=random.Random(1),
        )
        self.pool.start()

    def lease(self, holder=""):
        acquired = self.pool.acquire(holder=holder)
        while self.endpoint.connecting:
            self.endpoint.accept()
        return self.successResultOf(acquired)

    def finish(self):
        closed = self.pool.close()
        self.clock.advance(0)
        self.endpoint.settle()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ReuseTests(ReuseCase):
    """Connections that go from taker to taker."""

    def test_idle_ones_are_checked_and_replaced_in_time(self):
        """A quiet pool asks its connections now and then, and replaces those that are old."""
        asked: list[ILease] = []
        self.make(validate=asked.append, min_connections=1, max_lifetime=100.0)
        self.endpoint.accept()
        for _ in range(12):
            self.clock.advance(10)
            self.endpoint.settle()
        self.assertEqual(len(asked), 3)
        self.assertEqual(self.endpoint.connecting, 1)
        self.assertIn(Evicted(1, End.LIFETIME), self.events)
        self.endpoint.accept()
        self.finish()

    def test_what_is_idle_is_closed_when_memory_is_short(self):
        """Down to the minimum, and whoever watches is told why; a lease stays."""
        self.make(max_connections=2)
        first, second = self.lease(), self.lease()
        self.pool.release(first)
        self.pool.shrink()
        self.endpoint.settle()
        self.assertEqual(self.events[-1], Destroyed(1, End.SHED))
        self.assertEqual([self.pool.stats()[name] for name in ("open", "leased", "closed_shed")], [1, 1, 1])
        self.pool.release(second)
        self.finish()

    def test_what_is_made_ahead_for_single_use_stays(self):
        """It is the minimum already: memory that is short closes none of it."""
        self.make("preconnect", min_connections=2, max_connections=2)
        self.endpoint.accept()
        self.endpoint.accept()
        self.pool.shrink()
        self.assertEqual(self.pool.stats()["warm"], 2)
        self.finish()

    def test_a_lease_held_for_long_is_told_of(self):
        """The log names who holds it, once; in a mode where leases leave the pool nobody is suspected."""
        self.make()
        self.lease(holder="the nightly report")
        self.clock.advance(59)
        self.assertNotIn(Leaked, map(type, self.events))
        self.clock.advance(1)
        self.clock.advance(600)
        self.assertEqual(self.events[-1], Leaked(1, "the nightly report", 60.0))
        self.pool.cut()
        self.endpoint.settle()
        self.finish()

    def test_the_log_tells_for_how_long(self):
        """In seconds, and parts of them where there are few."""
        for warning, told in ((0.1, "0.1"), (2.5, "2.5"), (60.0, "60"), (86400.0, "86400")):
            self.make(leak_warning=warning)
            self.lease()
            with capturedLogs() as events:
                self.clock.advance(warning)
            who = "somebody who gave no name"
            self.assertEqual(
                [formatEvent(event) for event in events],
                [f"a: connection 1 is leased for {told} s already, by {who}"],
            )
            self.pool.cut()
            self.endpoint.settle()
            self.finish()

    def test_a_connection_may_not_linger(self):
        """One that is closed and whose peer takes nothing is reset after ten seconds: it keeps others out."""
        self.make()
        self.pool.release(self.lease(), reusable=False)
        server = self.endpoint.transports[0]
        self.clock.advance(9.9)
        self.assertEqual((server.disconnecting, server.disconnected), (True, False))
        self.clock.advance(0.2)
        self.assertTrue(server.disconnected)
        self.endpoint.settle()
        self.finish()

    def test_counts_who_waits_and_for_how_long(self):
        """The figures of waiting: how many, how long together, and the longest, which may be going on."""
        self.make()
        lease = self.lease()
        waiting = self.pool.acquire()
        self.clock.advance(2)
        stats = self.pool.stats()
        self.assertEqual([stats[key] for key in ("waiting", "wait_count", "longest_wait")], [1, 2, 2.0])
        self.pool.release(lease)
        self.pool.release(self.successResultOf(waiting))
        self.clock.advance(3)
        stats = self.pool.stats()
        self.assertEqual(
            [stats[key] for key in ("waiting", "wait_seconds", "longest_wait", "leased", "idle", "max_open")],
            [0, 2.0, 2.0, 0, 1, 1],
        )
        self.finish()

    def test_tells_of_what_happens(self):
        """An observer sees connections come and go, and who waits; what it raises is logged, and harmless."""
        self.make(idle_timeout=60.0)
        first = self.lease(holder="one")
        self.assertEqual(self.events, [Waiting("one", 1), Created(1)])
        second = self.pool.acquire(holder="two")
        second.addErrback(lambda _: None).cancel()
        self.pool.release(first)
        self.clock.advance(60)
        self.endpoint.settle()
        self.assertEqual(
            self.events[2:], [Waiting("two", 1), Evicted(1, End.MAX_IDLE), Destroyed(1, End.MAX_IDLE)]
        )
        self.events.clear()
        self.pool.acquire().addErrback(lambda _: None).cancel()
        self.endpoint.accept().lose()
        self.assertEqual(self.events[1:], [Created(2), Refilled(2), Destroyed(2, End.LOST)])
        self.finish()

    def test_a_broken_observer_touches_nothing(self):
        """What it raises is logged, and the lease is there."""
        pool = ConnectionPool(SERVER, self.endpoint, self.clock, observer=lambda event: 1 / 0)
        acquired = pool.acquire()
        self.endpoint.accept()
        self.successResultOf(acquired)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_its_server_ended_is_lost_whoever_hears_it_first(self):
        """A taker that releases in its ``connectionLost`` says nothing of the connection: that is lost."""
        for mode in ("message", "on_demand"):
            self.events.clear()
            self.make(mode)

            class Polite(Protocol):
                pool, given = self.pool, self.lease()

                def connectionLost(self, reason=connectionDone):
                    self.pool.release(self.given)

            lease = Polite.given
            lease.attach(Polite())
            self.endpoint.transports[-1].lose(ConnectionLost())
            stats = self.pool.stats()
            self.assertEqual(stats["open"], 0)
            self.assertEqual(self.events[-1], Destroyed(1, End.LOST))
            if mode == "message":
                self.assertEqual((stats["closed_lost"], stats["closed_released"]), (1, 0))
            self.assertFalse(self.successResultOf(lease.ended()).ok)
            self.finish()

    def test_a_pause_has_a_limit_in_seconds(self):
        """What is none is the caller's mistake, and holds nobody."""
        self.make()
        limit: Any
        for limit, error in (("5", TypeError), (float("inf"), ValueError), (float("nan"), ValueError)):
            with self.assertRaises(error):
                self.pool.pause(limit)
        self.pool.release(self.lease())
        self.finish()

    def test_what_fails_leaves_nothing_to_the_next(self):
        """A connection on which a function failed is not lent again: nobody knows what is left on it."""
        self.make()

        def fail(lease):
            raise ValueError("mine")

        done = self.pool.execute(fail)
        self.endpoint.accept()
        self.failureResultOf(done, ValueError)
        self.assertTrue(self.endpoint.transports[0].disconnecting)
        self.endpoint.settle()
        self.finish()

    def test_a_turn_that_nobody_takes_any_more(self):
        """Who is given a connection, and gave up in the same breath, leaves it to the next."""
        self.make()
        first, second, third = (self.pool.acquire() for _ in range(3))

        def serve_and_cancel(lease):
            self.pool.release(lease)
            second.cancel()

        first.addCallback(serve_and_cancel)
        self.endpoint.accept()
        self.failureResultOf(second, CancelledError)
        self.pool.release(self.successResultOf(third))
        self.assertEqual((self.pool.stats()["idle"], self.endpoint.asked), (1, 1))
        self.finish()

    def test_a_connection_that_is_lost_before_it_is_given(self):
        """Whose connection ends in the same breath as it is lent has another made."""
        self.make()
        first, second = self.pool.acquire(), self.pool.acquire()

        def serve_and_lose(lease):
            self.pool.release(lease)
            self.endpoint.transports[0].lose()

        first.addCallback(serve_and_lose)
        self.endpoint.accept()
        self.assertNoResult(second)
        self.endpoint.accept()
        self.pool.release(self.successResultOf(second))
        self.finish()

    def test_one_who_is_told_may_cancel_the_others(self):
        """When nobody can be served, each is answered once, whatever the first one does about it."""
        self.make()
        first, second = self.pool.acquire(), self.pool.acquire()
        first.addErrback(lambda _: second.cancel())
        self.endpoint.refuse()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.pool.stats()["waiting"], 0)
        self.finish()

    def test_one_that_is_lost_as_soon_as_it_is_made(self):
        """It counts as one that could not be made."""

        class Fickle(ScriptedEndpoint):
            """Says that it has connected when that is over already."""

            def connect(self, protocolFactory):
                protocol = protocolFactory.buildProtocol(None)
                transport = ScriptedTransport()
                transport.protocol = protocol
                protocol.makeConnection(transport)
                transport.lose(ConnectionLost())
                return succeed(protocol)

        self.endpoint = Fickle()
        self.make()
        self.failureResultOf(self.pool.acquire(), ConnectFailed)
        self.assertEqual(self.pool.stats()["open"], 0)
        self.finish()

    def test_a_waiter_learns_why_there_is_none(self):
        """The error says how many are in use."""
        self.make()
        self.lease()
        waiting = self.pool.acquire(1.0)
        self.clock.advance(1.0)
        failure = self.failureResultOf(waiting, PoolExhausted)
        self.assertEqual(str(failure.value), "no connection within 1 s: 1 of 1 in use, 0 being made")
        self.pool.cut()
        self.endpoint.settle()
        self.finish()

    def test_says_its_state(self):
        """Its ``repr`` says what there is, and whether it is paused or closed."""
        self.make()
        self.assertEqual(repr(self.pool), "<ConnectionPool a connecting=0 idle=0 leased=0 validating=0>")
        self.pool.pause()
        self.assertTrue(repr(self.pool).startswith("<ConnectionPool a paused "))
        self.finish()
        self.assertTrue(repr(self.pool).startswith("<ConnectionPool a closed "))

    def test_settings_that_no_pool_can_follow_are_refused(self):
        """They say what is wrong with them."""
        with self.assertRaisesRegex(ValueError, "min_connections"):
            self.make(min_connections=9, max_connections=8)
