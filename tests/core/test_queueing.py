"""Clients that wait for a server: whose turn it is, and whose time is over."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.deadlines import GRAIN
from tcpsuite.core.queueing import Queue, Waiting, WhyHeld


class QueueTests(SynchronousTestCase):
    """Up to three may wait."""

    def setUp(self) -> None:
        self.queue = Queue(3)

    def enter(self, *takers: int, now: float = 0.0, limit: float = 5.0) -> None:
        for taker in takers:
            self.assertTrue(self.queue.enter(taker, WhyHeld.FULL, now, limit))

    def waiting(self) -> list[int]:
        return [each.taker for each in self.queue]

    def serve(self, now: float) -> int | None:
        """Serve the first, if one may be served."""
        if not self.queue.may_serve(now):
            return None
        first = self.waiting()[0]
        self.queue.served(first, now)
        return first

    def test_in_the_order_in_which_they_came(self) -> None:
        """Those who wait are told in their order, each with why and since when."""
        self.enter(1, 2)
        self.assertTrue(self.queue.enter(3, WhyHeld.NONE_UP, 0.5, 5.0))
        self.assertEqual(
            list(self.queue),
            [Waiting(1, WhyHeld.FULL, 0.0), Waiting(2, WhyHeld.FULL, 0.0), Waiting(3, WhyHeld.NONE_UP, 0.5)],
        )
        self.assertEqual(len(self.queue), 3)

    def test_no_more_than_there_is_room_for(self) -> None:
        """Who comes when it is full is refused and counted, until somebody has left."""
        self.enter(1, 2, 3)
        self.assertFalse(self.queue.enter(4, WhyHeld.FULL, 0.0, 5.0))
        self.assertEqual(self.queue.stats(0.0)["refused"], 1)
        self.queue.leave(2, 1.0)
        self.enter(4)
        self.assertEqual(self.waiting(), [1, 3, 4])

    def test_a_queue_for_nobody(self) -> None:
        """With room for none everybody is refused, and nothing is due."""
        self.queue = Queue(0)
        self.assertFalse(self.queue.enter(1, WhyHeld.FULL, 0.0, 5.0))
        self.assertIsNone(self.queue.due(0.0))

    def test_no_time_to_wait(self) -> None:
        """Who has no time to wait is counted among those whose time was over, and is not there."""
        self.assertEqual(self.queue.turn_away(1, WhyHeld.FULL, 2.0), Waiting(1, WhyHeld.FULL, 2.0))
        self.assertEqual((self.waiting(), self.queue.stats(2.0)["timed_out"]), ([], 1))

    def test_the_pace_is_told(self) -> None:
        """How many are served a second is told while somebody is slowed down, and no longer."""
        self.enter(1)
        self.queue.resume(2.0, 0.0)
        self.assertEqual(self.queue.rate, 2.0)
        self.queue.pause()
        self.assertEqual(self.queue.rate, 0.0)
        self.queue.resume(2.0, 0.0)
        self.serve(0.0)
        self.assertEqual(self.queue.rate, 0.0)

    def test_when_servers_may_be_tried_again(self) -> None:
        """That servers which have failed somebody may be tried again is due, and ends nobody's time."""
        self.assertTrue(self.queue.enter(1, WhyHeld.NONE_UP, 0.0, 5.0, again=1.0))
        self.assertEqual(self.queue.due(0.0), 1.0)
        self.assertEqual(self.queue.expire(1.0), [])
        self.assertEqual((self.waiting(), self.queue.due(1.0)), ([1], 5.0))

    def test_whose_time_is_over(self) -> None:
        """Each is named once when its own time is over, and waits no longer."""
        self.enter(1, limit=2.0)
        self.enter(2, limit=1.0)
        self.assertEqual(self.queue.due(0.0), 1.0)
        self.assertEqual(self.queue.expire(0.999), [])
        self.assertEqual(self.queue.expire(1.0), [Waiting(2, WhyHeld.FULL, 0.0)])
        self.assertEqual((self.waiting(), self.queue.due(1.0)), ([1], 2.0))
        self.assertEqual(self.queue.expire(9.0), [Waiting(1, WhyHeld.FULL, 0.0)])
        self.assertEqual(self.queue.expire(99.0), [])
        self.assertIsNone(self.queue.due(99.0))
        self.assertEqual(self.queue.timed_out, 2)

    def test_who_has_left_is_not_waited_for(self) -> None:
        """One that was served, or has left, has no time that could be over; leaving twice changes nothing."""
        self.enter(1, 2)
        self.assertEqual(self.serve(0.0), 1)
        self.queue.leave(2, 1.0)
        self.queue.leave(2, 4.0)
        self.assertEqual(self.queue.expire(99.0), [])
        self.assertEqual(self.queue.stats(99.0)["longest_wait"], 1.0)

    def test_paused(self) -> None:
        """While it is paused nobody is served, their time goes on, and who comes has to wait."""
        self.assertFalse(self.queue.held_back)
        self.queue.pause()
        self.assertTrue(self.queue.held_back)
        self.enter(1, 2, limit=1.0)
        self.assertFalse(self.queue.may_serve(0.5))
        self.assertEqual(self.queue.due(0.5), 1.0)
        self.queue.resume(0.0, 0.5)
        self.assertFalse(self.queue.held_back)
        self.assertEqual([self.serve(0.5), self.serve(0.5), self.serve(0.5)], [1, 2, None])

    def test_at_a_pace(self) -> None:
        """Resumed at four a second, one is served at once, and one each quarter of a second; who comes
        meanwhile waits behind them.
        """
        self.queue = Queue()
        self.queue.pause()
        self.enter(*range(4))
        self.queue.resume(4.0, 10.0)
        self.assertEqual((self.serve(10.0), self.serve(10.0)), (0, None))
        self.assertTrue(self.queue.held_back)
        self.enter(4, now=10.1)
        served = {now: self.serve(now) for now in (10.24, 10.25, 10.49, 10.5, 10.75, 11.0)}
        self.assertEqual(served, {10.24: None, 10.25: 1, 10.49: None, 10.5: 2, 10.75: 3, 11.0: 4})
        self.assertFalse(self.queue.held_back)

    def test_the_pace_is_kept_from_the_first_on(self) -> None:
        """One that is served a little late does not make all others later."""
        self.queue.pause()
        self.enter(1, 2, 3)
        self.queue.resume(10.0, 0.0)
        for now in (0.0, 0.125, 0.2):
            self.assertTrue(self.queue.may_serve(now))
            self.serve(now)

    def test_little_is_made_up_for(self) -> None:
        """Of a time in which nobody could be served one turn is made up for, however long it was."""
        self.queue = Queue()
        self.queue.pause()
        self.enter(*range(1, 5))
        self.queue.resume(1.0, 0.0)
        served = [self.serve(now) for now in (9.5, 9.5, 9.5, 10.4, 10.5)]
        self.assertEqual(served, [1, 2, None, None, 3])

    def test_when_the_next_is_due(self) -> None:
        """At a pace the next turn is due if it comes before anybody's time is over; one whose turn it is
        waits for a server, not for a time.
        """
        self.queue.pause()
        self.enter(1, 2, 3, limit=8.0)
        self.queue.resume(0.25, 0.0)
        self.assertEqual(self.queue.due(0.0), 8.0)
        self.serve(0.0)
        self.assertEqual(self.queue.due(0.0), 4.0)
        self.serve(4.0)
        self.assertEqual(self.queue.due(4.0), 8.0)

    def test_no_turn_is_due_in_a_pause(self) -> None:
        """One that is paused again while others are served at a pace wakes nobody for the next turn."""
        self.queue.pause()
        self.enter(1, 2)
        self.queue.resume(0.5, 0.0)
        self.serve(0.0)
        self.assertEqual(self.queue.due(1.0), 2.0)
        self.queue.pause()
        self.assertEqual(self.queue.due(1.0), 5.0)

    def test_who_comes_later_is_not_slowed_down(self) -> None:
        """When the last of those who were served at a pace is gone, the pace is forgotten, and the turn that
        would have come next too.
        """
        for leave in (self.queue.served, self.queue.leave):
            self.queue.pause()
            self.enter(1)
            self.queue.resume(0.1, 0.0)
            leave(1, 0.0)
            self.enter(2, now=1.0)
            self.assertTrue(self.queue.may_serve(1.0))
            self.queue.leave(2, 1.0)

    def test_a_pace_for_nobody(self) -> None:
        """Resumed at a pace while nobody waits, it is open."""
        self.queue.pause()
        self.queue.resume(1.0, 0.0)
        self.assertFalse(self.queue.held_back)
        self.assertFalse(self.queue.may_serve(0.0))

    def test_stats(self) -> None:
        """The longest wait is that of those who are gone, or of the first who waits, if that is longer."""
        self.assertEqual(
            self.queue.stats(0.0), {"waiting": 0, "longest_wait": 0.0, "timed_out": 0, "refused": 0}
        )
        self.enter(1)
        self.enter(2, now=2.0)
        self.assertEqual(self.queue.stats(3.0)["longest_wait"], 3.0)
        self.queue.leave(1, 3.0)
        self.assertEqual(self.queue.stats(4.0)["longest_wait"], 3.0)
        self.assertEqual(self.queue.stats(6.0)["longest_wait"], 4.0)

    def test_says_its_state(self) -> None:
        """Its ``repr`` says whether it is open, paused or at a pace, and how many wait."""
        self.assertEqual(repr(self.queue), "<Queue open waiting=0>")
        self.queue.pause()
        self.enter(1)
        self.assertEqual(repr(self.queue), "<Queue paused waiting=1>")
        self.queue.resume(2.5, 0.0)
        self.assertEqual(repr(self.queue), "<Queue 2.5 a second waiting=1>")


class QueueMachine(RuleBasedStateMachine):
    """Whatever happens to it, in whatever order: the bound holds, everybody leaves once, in one way, and
    those who can go do so in the order in which they came, no faster than the pace.
    """

    MOST = 4

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(self.MOST)
        self.now = 0.0
        self.taker = 0
        self.until: dict[int, float] = {}  # who waits, in order, and how long each may
        self.period = 0.0
        self.turns: list[float] = []  # when somebody was served since the last resume

    def gone(self, taker: int) -> None:
        del self.until[taker]
        if not self.until:
            self.period = 0.0

    @rule(limit=st.sampled_from([0.0, 0.5, 1.0, 3.0]), why=st.sampled_from(WhyHeld))
    def enter(self, limit: float, why: WhyHeld) -> None:
        self.taker += 1
        assert self.queue.enter(self.taker, why, self.now, limit) is (len(self.until) < self.MOST)
        if len(self.until) < self.MOST:
            self.until[self.taker] = self.now + limit

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        taker = data.draw(st.integers(0, self.taker + 1))
        self.queue.leave(taker, self.now)
        if taker in self.until:
            self.gone(taker)

    @rule(seconds=st.sampled_from([0.01, GRAIN, 0.25, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        over = [waiting.taker for waiting in self.queue.expire(self.now)]
        assert len(set(over)) == len(over)
        for taker in over:
            assert self.until[taker] <= self.now, "nobody is sent away early"
            self.gone(taker)
        assert all(until + GRAIN > self.now for until in self.until.values()), "nor kept for longer"

    @rule(able=st.sets(st.integers(0, MOST - 1)))
    def serve(self, able: set[int]) -> None:
        """There are servers for some of those who wait, by their place."""
        while self.queue.may_serve(self.now):
            can_go = [waiting.taker for place, waiting in enumerate(self.queue) if place in able]
            if not can_go:
                break
            period = self.period
            self.queue.served(can_go[0], self.now)
            self.gone(can_go[0])
            if period:
                self.turns.append(self.now)
            if not self.period:
                self.turns = []

    @rule()
    def pause(self) -> None:
        self.queue.pause()

    @rule(rate=st.sampled_from([0.0, 0.5, 2.0, 10.0]))
    def resume(self, rate: float) -> None:
        self.queue.resume(rate, self.now)
        self.period = 1 / rate if rate and self.until else 0.0
        self.turns = []

    @precondition(lambda self: not self.queue.paused and self.until)
    @rule()
    def everybody_can_go(self) -> None:
        """With servers for all, and time, everybody is served or sent away."""
        for _ in range(1000):
            self.serve(set(range(self.MOST)))
            if not self.until:
                break
            due = self.queue.due(self.now)
            assert due is not None
            assert due >= self.now
            self.wait(due - self.now)
        assert not self.until

    @invariant()
    def bounded_and_in_order(self) -> None:
        assert [waiting.taker for waiting in self.queue] == list(self.until)
        assert len(self.queue) <= self.MOST

    @invariant()
    def nobody_forgotten(self) -> None:
        due = self.queue.due(self.now)
        if self.until:
            assert due is not None
            assert due < min(self.until.values()) + GRAIN
        else:
            assert due is None

    @invariant()
    def pace_kept(self) -> None:
        for behind, first in enumerate(self.turns):
            later = self.turns[behind:]
            # A turn may be late, and the one behind it in time: two may be closer, three in a row are not.
            assert len(later) <= (self.now - first) / self.period + 2 + 1e-9 if self.period else True


QueueMachineTests = QueueMachine.TestCase
