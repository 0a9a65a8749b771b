"""What a pool asks of its new connections, before anybody gets them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.logger import capturedLogs, formatEvent

from tcpsuite.core.pooling.events import Created, Waiting
from tcpsuite.errors import Closed, ConnectFailed, ProtocolError
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.pools import Taker
from tests.net.test_pool_reuse import ReuseCase

if TYPE_CHECKING:
    pass


class PrepareTests(ReuseCase):
    """A hook that makes a new connection ready."""

    def setUp(self):
        super().setUp()
        self.hooks: list[tuple[Taker, Deferred[Any]]] = []

    def prepare(self, lease):
        """Wait, with the connection, for the test to say how it went."""
        taker = Taker()
        lease.attach(taker)
        self.hooks.append((taker, Deferred()))
        return self.hooks[-1][1]

    def test_it_runs_before_the_first_taker(self):
        """A greeting is the hook's; who waits has the connection when it is ready, and so has the next one,
        without the hook.
        """
        self.make(prepare=self.prepare)
        waiting = self.pool.acquire()
        server = self.endpoint.accept()
        ((hook, ready),) = self.hooks
        server.say(b"220 hello")
        self.assertNoResult(waiting)
        stats = self.pool.stats()
        self.assertEqual([stats[key] for key in ("connecting", "open", "created")], [1, 1, 0])
        self.assertNotIn(Created(1), self.events)
        ready.callback(None)
        for _ in range(2):
            lease, taker = self.successResultOf(waiting), Taker()
            lease.attach(taker)
            server.say(b"answer")
            self.assertEqual(taker.events, ["made", b"answer"])
            self.pool.release(lease)
            waiting = self.pool.acquire()
        self.assertEqual(hook.events, ["made", b"220 hello"])
        self.assertEqual((len(self.hooks), self.pool.stats()["created"]), (1, 1))
        self.pool.release(self.successResultOf(waiting))
        self.finish()

    def test_those_made_ahead_are_ready_too(self):
        """The connections of the minimum are prepared before anybody asks, and are idle then."""
        self.make(prepare=self.prepare, min_connections=1)
        self.endpoint.accept()
        self.assertEqual(self.pool.stats()["idle"], 0)
        self.hooks[0][1].callback(None)
        self.assertEqual(self.pool.stats()["idle"], 1)
        self.finish()

    def test_one_that_cannot_be_prepared_was_not_made(self):
        """Who waits is told why; the connection is reset, counts as failed, and the next is tried later."""

        def fails(lease):
            raise ProtocolError("login", "wrong password")

        def leaves(lease):
            self.endpoint.transports[-1].say(b"more")

        def loses(lease):
            self.endpoint.transports[-1].lose()
            return Deferred()

        def hears(lease):
            lost: Deferred[None] = Deferred()
            dialogue = Protocol()
            setattr(dialogue, "connectionLost", lost.errback)  # noqa: B010
            lease.attach(dialogue)
            self.endpoint.transports[-1].lose(ConnectionLost())
            return lost

        for prepare, why in (
            (fails, "wrong password"),
            (lambda lease: succeed(False), "the hook said no"),
            (leaves, "something was left on it, or is under way"),
            (loses, "the connection was lost"),
            (hears, "the connection was lost before that was done"),
        ):
            self.make(prepare=prepare)
            waiting = self.pool.acquire()
            self.endpoint.accept()
            failure = self.failureResultOf(waiting, ConnectFailed)
            self.assertEqual(str(failure.value), f"it could not be prepared: {why}")
            self.endpoint.settle()
            self.assertFalse(self.endpoint.transports[-1].connected)
            stats = self.pool.stats()
            self.assertEqual([stats[key] for key in ("failed", "created", "open")], [1, 0, 0])
            self.assertEqual([type(event) for event in self.events], [Waiting])
            self.events.clear()
            self.finish()
        self.make(prepare=fails, min_connections=1)
        self.endpoint.accept()
        self.assertEqual(self.endpoint.connecting, 0)
        self.clock.advance(0.2)
        self.assertEqual(self.endpoint.connecting, 1)
        self.finish()

    def test_the_log_tells_why_none_gets_ready(self):
        """Of connections that are made ahead nobody waits for one: the log says why, once a minute."""

        def fails(lease):
            raise ProtocolError("login", "wrong password")

        with capturedLogs() as events:
            self.make(prepare=fails, min_connections=1)
            for _ in range(590):
                while self.endpoint.connecting:
                    self.endpoint.accept()
                self.endpoint.settle()
                self.clock.advance(0.1)
        self.assertGreater(self.pool.stats()["failed"], 4)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["a: a new connection is of no use: it could not be prepared: wrong password"],
        )
        with capturedLogs() as events:
            for _ in range(310):
                while self.endpoint.connecting:
                    self.endpoint.accept()
                self.endpoint.settle()
                self.clock.advance(0.1)
        self.assertEqual(len(events), 1)
        self.finish()

    def test_one_that_is_lost_before_it_is_asked_is_asked_nothing(self):
        """A connection that is gone as soon as it is made was not made: no hook is called for it."""

        class Fickle(ScriptedEndpoint):
            """Says that it has connected when that is over already."""

            def connect(self, protocolFactory):
                made = super().connect(protocolFactory)
                self.accept().lose()
                return made

        self.endpoint = Fickle()
        self.make(prepare=self.prepare)
        failure = self.failureResultOf(self.pool.acquire(), ConnectFailed)
        self.assertEqual(str(failure.value), "it was lost as soon as it was made")
        self.assertEqual(self.hooks, [])
        self.finish()

    def test_it_takes_of_the_time_to_connect(self):
        """When that is over the attempt is, whatever the hook thinks of it."""

        async def stubborn(lease):
            while True:
                with contextlib.suppress(CancelledError):
                    await Deferred()

        self.make(prepare=stubborn)
        waiting = self.pool.acquire(30.0)
        self.clock.advance(3.0)
        self.endpoint.accept()
        self.clock.advance(1.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        failure = self.failureResultOf(waiting, ConnectFailed)
        self.assertEqual(str(failure.value), "it was not prepared within 5 s")
        self.assertTrue(self.endpoint.transports[0].disconnected)
        self.endpoint.settle()
        self.finish()

    def test_closing_ends_it(self):
        """A pool that is closed meanwhile leaves neither the hook nor the connection."""
        self.make(prepare=self.prepare)
        waiting = self.pool.acquire()
        self.endpoint.accept()
        ended = self.hooks[0][1].addErrback(lambda failure: failure.trap(CancelledError))
        self.finish()
        self.failureResultOf(waiting, Closed)
        self.successResultOf(ended)
        self.assertEqual(self.endpoint.open, 0)

    def test_a_broken_one_is_told_of(self):
        """A fault of the hook's own is in the log, and who waits is told too."""
        self.make(prepare=lambda lease: 1 / 0)
        waiting = self.pool.acquire()
        self.endpoint.accept()
        self.failureResultOf(waiting, ConnectFailed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.endpoint.settle()
        self.finish()
