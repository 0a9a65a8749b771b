"""What a pool asks of its connections between two takers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, succeed

from tcpsuite.errors import ConnectFailed, LeaseError
from tcpsuite.testing.pools import Taker
from tests.net.test_pool_reuse import ReuseCase

if TYPE_CHECKING:
    from tcpsuite.interfaces import ILease


class HookTests(ReuseCase):
    """The hooks of a pool of one connection."""

    def test_a_reset_runs_before_the_next_taker(self):
        """A hook has the connection to itself between two takers, and what it says decides."""
        hooks: list[tuple[Taker, Deferred[None]]] = []

        def reset(lease):
            taker = Taker()
            lease.attach(taker)
            hooks.append((taker, Deferred()))
            return hooks[-1][1]

        self.make("session", reset=reset)
        self.pool.release(self.lease())
        ((taker, done),) = hooks
        waiting = self.pool.acquire()
        self.endpoint.transports[0].say(b"OK")
        self.assertEqual(taker.events, ["made", b"OK"])
        self.assertNoResult(waiting)
        self.assertEqual(self.pool.stats()["resetting"], 1)
        done.callback(None)
        again = self.successResultOf(waiting)
        later = Taker()
        again.attach(later)
        self.endpoint.transports[0].say(b"hello")
        self.assertEqual((later.events, taker.events), (["made", b"hello"], ["made", b"OK"]))
        self.finish()

    def test_a_reset_that_fails_or_says_nothing_closes(self):
        """One that fails, takes too long, or leaves bytes behind costs the connection: nobody meets it."""

        def fails(lease):
            raise ConnectFailed("no such command")

        def dawdles(lease):
            return Deferred()

        def leaves(lease):
            self.endpoint.transports[-1].say(b"more")

        for reset in (fails, dawdles, leaves):
            self.make("session", reset=reset)
            self.pool.release(self.lease())
            waiting = self.pool.acquire()
            self.clock.advance(1.0)
            self.assertTrue(self.endpoint.transports[-1].disconnecting, reset)
            self.endpoint.settle()
            self.endpoint.accept()
            self.pool.release(self.successResultOf(waiting), reusable=False)
            self.endpoint.settle()
            self.assertEqual(self.pool.stats()["closed_not_reset"], 1)
            self.finish()

    def test_a_hook_that_will_not_end_is_left_alone(self):
        """One that goes on when its time is over, or the connection is, keeps neither the connection nor its
        room; what it says later is nobody's.
        """
        for gone in (False, True):
            over: list[Deferred[None]] = []
            later: list[object] = []

            async def stubborn(lease, over=over, later=later):
                try:
                    await Deferred()
                except CancelledError:
                    over.append(Deferred())
                    await over[0]
                try:
                    lease.attach(Taker())
                except LeaseError as error:
                    later.append(error)
                    raise

            self.make("session", reset=stubborn)
            self.pool.release(self.lease())
            waiting = self.pool.acquire()
            if gone:
                self.endpoint.transports[-1].lose()
            else:
                self.clock.advance(1.0)
            self.assertEqual(len(over), 1, "it was told to end")
            self.endpoint.settle()
            self.endpoint.accept()
            self.pool.release(self.successResultOf(waiting), reusable=False)
            self.endpoint.settle()
            stats = self.pool.stats()
            self.assertEqual(
                [stats[key] for key in ("open", "closed_not_reset", "closed_lost")], [0, not gone, gone]
            )
            over[0].callback(None)
            self.assertEqual(len(later), 1, "it could not touch the connection")
            self.finish()

    def test_only_a_plain_no_is_a_no(self):
        """A hook that says ``False`` says that nobody may have the connection, as one that fails does; all
        else that it gives, nothing too, is a yes.
        """
        for said, kept in ((None, 1), (True, 1), ("", 1), (0, 1), (False, 0), (succeed(False), 0)):
            self.make("session", reset=lambda lease, said=said: said)
            self.pool.release(self.lease())
            self.assertEqual(self.pool.stats()["idle"], kept, said)
            self.assertEqual(self.pool.stats()["closed_not_reset"], 1 - kept, said)
            self.endpoint.settle()
            self.finish()

    def test_a_broken_hook_is_told_of(self):
        """What no server can bring about is logged, or the operator would blame the server for ever; but once
        a minute, for it meets every connection.
        """

        def broken(lease):
            raise ZeroDivisionError

        self.make("session", reset=broken)
        for seconds, told in ((0, 1), (59.9, 0), (0.1, 1)):
            self.clock.advance(seconds)
            self.pool.release(self.lease())
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), told)
            self.endpoint.settle()
        self.finish()

    def test_a_connection_that_is_lost_while_it_is_reset(self):
        """Its hook is cancelled, and leaves no timer."""
        cancelled: list[ILease] = []
        self.make("session", reset=lambda lease: Deferred(lambda _: cancelled.append(lease)))
        self.pool.release(self.lease())
        self.endpoint.transports[0].lose()
        self.assertEqual(len(cancelled), 1)
        stats = self.pool.stats()
        self.assertEqual([stats[key] for key in ("open", "closed_lost", "closed_not_reset")], [0, 1, 0])
        self.finish()

    def test_closing_does_not_wait_for_a_hook(self):
        """A reset under way is cancelled, and its connection closed."""
        self.make("session", reset=lambda lease: Deferred())
        self.pool.release(self.lease())
        self.finish()

    def test_only_what_was_idle_for_a_while_is_asked(self):
        """A connection idle for over half a second is validated before it is lent, by the hook if there is
        one; another is made when it is not valid.
        """
        asked: list[ILease] = []

        def validate(lease):
            asked.append(lease)
            if len(asked) > 1:
                raise ConnectFailed("no")

        self.make(validate=validate)
        self.pool.release(self.lease())
        self.clock.advance(0.5)
        self.pool.release(self.lease())
        self.assertEqual(asked, [])
        self.clock.advance(0.6)
        self.pool.release(self.lease())
        self.assertEqual((len(asked), self.endpoint.asked), (1, 1))
        self.clock.advance(0.6)
        waiting = self.pool.acquire()
        self.endpoint.settle()
        self.endpoint.accept()
        self.successResultOf(waiting)
        self.assertEqual(self.pool.stats()["closed_not_valid"], 1)
        self.endpoint.settle()
        self.pool.cut()
        self.endpoint.settle()
        self.finish()

    def test_a_connection_that_is_lost_before_it_is_reset(self):
        """It is asked for nothing."""
        hooked: list[ILease] = []
        self.make("session", reset=hooked.append)
        first = self.pool.acquire()

        def give_back_and_lose(lease):
            self.pool.release(lease)
            self.endpoint.transports[0].lose()

        first.addCallback(give_back_and_lose)
        self.endpoint.accept()
        self.assertEqual((hooked, self.pool.stats()["open"]), ([], 0))
        self.finish()

    def test_a_mode_and_its_hooks_go_together(self):
        """A session is reset and nothing else is; what is lent once is not validated."""
        for mode, hooks, error in (
            ("session", {}, "session needs a reset"),
            ("message", {"reset": print}, "message resets nothing"),
            ("on_demand", {"reset": print}, "on_demand resets nothing"),
            ("preconnect", {"validate": print}, "again: validate goes with session and message"),
            ("on_demand", {"prepare": print}, "again: prepare goes with session and message"),
        ):
            with self.assertRaisesRegex(ValueError, error):
                self.make(mode, **hooks)
