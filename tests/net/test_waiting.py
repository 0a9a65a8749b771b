"""Where clients wait for a server, and are called or sent away."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.queueing import Queue, Waiting, WhyHeld
from tcpsuite.errors import NoServer, PoolExhausted
from tcpsuite.net.waiting import WaitingRoom


class WaitingRoomTests(SynchronousTestCase):
    """Places, which those who are called take; who waits is a name."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.places = 0
        self.barred: set[str] = set()
        self.called: list[str] = []
        self.turns: dict[str, Deferred[None]] = {}
        self.room: WaitingRoom[str] = WaitingRoom(
            self.clock, lambda who, _: self.places > 0 and who not in self.barred, self.late, Queue(4)
        )

    def tearDown(self) -> None:
        self.room.close(NoServer)
        for turn in self.turns.values():
            turn.addErrback(lambda failure: failure.trap(NoServer, PoolExhausted, CancelledError))
        self.assertEqual(len(self.room.queue), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def late(self, waiting: Waiting) -> Exception:
        return NoServer(waiting.why.value)

    def hold(self, *names: str, limit: float = 5.0) -> None:
        for name in names:
            turn = self.turns[name] = self.room.hold(name, WhyHeld.FULL, limit, PoolExhausted())
            turn.addCallback(self.take, name)

    def take(self, _: None, name: str) -> None:
        self.places -= 1
        self.called.append(name)

    def free(self, places: int) -> None:
        self.places += places
        self.room.serve()

    def test_called_in_their_order(self) -> None:
        """As many are called as there are places, who came first first; the others go on waiting."""
        self.hold("anna", "bert", "carl")
        self.free(2)
        self.assertEqual(self.called, ["anna", "bert"])
        self.assertNoResult(self.turns["carl"])
        self.free(1)
        self.assertEqual(self.called, ["anna", "bert", "carl"])
        self.assertEqual(repr(self.room), "<WaitingRoom <Queue open waiting=0>>")

    def test_the_pace_is_kept_while_time_passes(self) -> None:
        """A turn that comes while it is reckoned whose it is is not missed: all are served in their time."""

        class Passing(Clock):
            """On which time passes with each look."""

            def seconds(self) -> float:
                self.rightNow += 2e-6
                return super().seconds()

        clock, served = Passing(), list[int]()
        room: WaitingRoom[int] = WaitingRoom(clock, lambda *_: True, self.late, Queue(500))
        room.pause()
        for number in range(500):
            turn = room.hold(number, WhyHeld.PAUSED, 60.0, PoolExhausted())
            turn.addCallback(lambda _, who: served.append(who), number)
        room.resume(1000.0)
        while room.queue:
            (timer,) = clock.getDelayedCalls()
            clock.advance(max(0.0, timer.getTime() - clock.rightNow) + 1e-4)
        self.assertEqual(served, list(range(500)))
        self.assertLess(clock.rightNow, 1.0)

    def test_nobody_is_asked_when_there_is_nothing(self) -> None:
        """While there is no place for anybody, who waits is not asked one by one."""
        asked: list[str] = []

        def ready(who: str, _: Waiting) -> bool:
            asked.append(who)
            return self.places > 0

        self.room = WaitingRoom(self.clock, ready, self.late, Queue(4), lambda: self.places > 0)
        self.hold("anna", "bert", "carl")
        self.free(0)
        self.assertEqual(asked, [])
        self.free(1)
        self.assertEqual((asked, self.called), (["anna"], ["anna"]))

    def test_who_cannot_go_keeps_nobody(self) -> None:
        """One for whom there is no place is passed over, and called when there is."""
        self.hold("anna", "bert")
        self.barred.add("anna")
        self.free(2)
        self.assertEqual(self.called, ["bert"])
        self.barred.clear()
        self.room.serve()
        self.assertEqual(self.called, ["bert", "anna"])

    def test_sent_away_when_its_time_is_over(self) -> None:
        """Each waits as long as it may, and is told why it waited in vain."""
        self.hold("anna", limit=2.0)
        self.hold("bert", limit=1.0)
        self.clock.advance(1.0)
        self.assertEqual(str(self.failureResultOf(self.turns["bert"], NoServer).value), "full")
        self.assertNoResult(self.turns["anna"])
        self.clock.advance(1.0)
        self.failureResultOf(self.turns["anna"], NoServer)

    def test_refused_when_too_many_wait(self) -> None:
        """Who comes when as many wait as may gets its own error at once."""
        self.hold("anna", "bert", "carl", "dora", "emil")
        self.failureResultOf(self.turns["emil"], PoolExhausted)
        self.assertNoResult(self.turns["dora"])

    def test_cancelled(self) -> None:
        """Who gives up is not called, and the next one is in its place."""
        self.hold("anna", "bert")
        self.turns["anna"].cancel()
        self.failureResultOf(self.turns["anna"], CancelledError)
        self.free(1)
        self.assertEqual(self.called, ["bert"])

    def test_no_time(self) -> None:
        """Who may wait for no time is late at once, and takes nobody's place."""
        self.hold("anna", limit=0.0)
        self.assertEqual(str(self.failureResultOf(self.turns["anna"], NoServer).value), "full")
        self.assertEqual(self.room.queue.stats(0.0)["timed_out"], 1)
        self.assertEqual((len(self.room.queue), self.clock.getDelayedCalls()), (0, []))

    def test_one_timer(self) -> None:
        """However many wait, the reactor has one timer for them; none when nobody does."""
        self.hold("anna", "bert", "carl")
        self.hold("dora", limit=1.0)
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [1.0])
        self.turns["dora"].cancel()
        self.failureResultOf(self.turns["dora"], CancelledError)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.free(3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_paused_and_resumed(self) -> None:
        """Nobody is called before the end of a pause, whatever places there are; then all who can go."""
        self.room.pause()
        self.hold("anna", "bert", "carl")
        self.free(2)
        self.assertEqual(self.called, [])
        self.assertTrue(self.room.goes_first)
        self.room.resume(0.0)
        self.assertEqual(self.called, ["anna", "bert"])
        self.assertFalse(self.room.goes_first)

    def test_resumed_at_a_pace(self) -> None:
        """At two a second the first goes at once, and the others by and by, without anything else happening;
        a turn for which there is no place is taken as soon as there is.
        """
        self.room.pause()
        self.hold("anna", "bert", "carl", "dora")
        self.places = 2
        self.room.resume(2.0)
        self.assertEqual(self.called, ["anna"])
        self.clock.advance(0.4)
        self.assertEqual(self.called, ["anna"])
        self.clock.advance(0.1)
        self.assertEqual(self.called, ["anna", "bert"])
        self.clock.advance(0.8)
        self.free(1)
        self.assertEqual(self.called, ["anna", "bert", "carl"])
        self.assertTrue(self.room.goes_first)

    def test_who_leaves_is_not_waited_for(self) -> None:
        """When all who were called at a pace are gone, who comes next is called at once."""
        self.room.pause()
        self.hold("anna")
        self.room.resume(0.1)
        self.free(1)
        self.hold("bert")
        self.clock.advance(1)
        self.free(1)
        self.assertEqual(self.called, ["anna", "bert"])

    def test_closed(self) -> None:
        """Everybody is sent away with an error of its own."""
        self.hold("anna", "bert")
        self.room.close(NoServer)
        errors = [self.failureResultOf(self.turns[name], NoServer).value for name in ("anna", "bert")]
        self.assertIsNot(*errors)

    def test_a_place_that_is_given_back_at_once(self) -> None:
        """Who is called and gives its place back at once lets the next one have it, in the same turn."""

        def give_back(_: None) -> None:
            self.free(1)

        self.hold("anna", "bert")
        self.turns["anna"].addCallback(give_back)
        self.free(1)
        self.assertEqual(self.called, ["anna", "bert"])

    def test_however_many_give_theirs_back_at_once(self) -> None:
        """A crowd of such is called one after the other, not one inside the other."""
        self.room = WaitingRoom(self.clock, lambda who, _: self.places > 0, self.late, Queue(1000))
        names = [str(number) for number in range(1000)]
        self.hold(*names)
        for turn in self.turns.values():
            turn.addCallback(lambda _: self.free(1))
        self.free(1)
        self.assertEqual(self.called, names)
        for turn in self.turns.values():
            self.successResultOf(turn)

    def test_who_comes_while_others_are_called(self) -> None:
        """Who comes from what another one does when it is called waits behind those who came before."""
        seen = []

        def come(_: None) -> None:
            seen.append(self.room.goes_first)
            self.hold("carl")

        self.hold("anna", "bert")
        self.turns["anna"].addCallback(come)
        self.free(3)
        self.assertEqual((seen, self.called), ([True], ["anna", "bert", "carl"]))

    def test_an_error_of_one_is_its_own(self) -> None:
        """What goes wrong with one that was called keeps nobody else from being called."""

        def fail(_: None) -> None:
            raise ZeroDivisionError

        self.hold("anna", "bert")
        self.turns["anna"].addCallback(fail)
        self.free(2)
        self.assertEqual(self.called, ["anna", "bert"])
        self.failureResultOf(self.turns["anna"], ZeroDivisionError)

    def test_who_is_sent_away_takes_others_along(self) -> None:
        """One whose time is over may cancel others whose time is over too: each has one answer, and the rest
        go on waiting as before.
        """
        self.hold("anna", "bert", limit=1.0)
        self.hold("carl")
        self.turns["anna"].addErrback(lambda _: self.turns["bert"].cancel())
        self.clock.advance(1.0)
        self.failureResultOf(self.turns["bert"], CancelledError)
        self.clock.advance(4.0)
        self.failureResultOf(self.turns["carl"], NoServer)

    def test_who_is_sent_away_at_the_end_takes_others_along(self) -> None:
        """The same when it is closed."""
        self.hold("anna", "bert", "carl")
        self.turns["anna"].addErrback(lambda _: self.turns["bert"].cancel())
        self.room.close(NoServer)
        self.failureResultOf(self.turns["bert"], CancelledError)
        self.failureResultOf(self.turns["carl"], NoServer)

    def test_comes_again_when_sent_away(self) -> None:
        """One that was sent away may wait again at once."""
        self.hold("anna", limit=1.0)
        self.turns["anna"].addErrback(lambda _: self.hold("again", limit=1.0))
        self.clock.advance(1.0)
        self.assertNoResult(self.turns["again"])
        self.clock.advance(1.0)
        self.failureResultOf(self.turns["again"], NoServer)
