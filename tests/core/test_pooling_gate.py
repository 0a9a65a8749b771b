"""Who is held while a pool is paused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling.gate import Expire, Gate, Pass


class GateTests(SynchronousTestCase):
    """A gate that holds everybody for 30 seconds at most."""

    def setUp(self):
        self.gate = Gate()
        self.gate.pause(30.0)

    def test_is_open_until_it_is_paused(self):
        """Nobody is held by one that was never paused, and it waits for nothing."""
        gate = Gate()
        self.assertFalse(gate.shut)
        self.assertIsNone(gate.due())
        self.assertEqual(repr(gate), "<Gate open held=0>")

    def test_lets_all_go_on_in_their_order(self):
        """Behind a pause those who came first go first, in one breath."""
        for taker in (3, 1, 2):
            self.gate.hold(taker, 0.0, None)
        self.assertEqual((self.gate.shut, self.gate.held), (True, 3))
        self.assertEqual(self.gate.tick(29.9), [])
        self.gate.resume(29.9, 0)
        self.assertEqual(self.gate.due(), 29.9)
        self.assertEqual(self.gate.tick(29.9), [Pass(3), Pass(1), Pass(2)])
        self.assertFalse(self.gate.shut)

    def test_lets_them_go_on_at_a_rate(self):
        """At four in a second, the first goes at once and one each quarter of a second."""
        for taker in range(3):
            self.gate.hold(taker, 0.0, None)
        self.gate.resume(1.0, 4)
        self.assertEqual(repr(self.gate), "<Gate resuming held=3>")
        self.assertEqual(self.gate.tick(1.0), [Pass(0)])
        self.assertEqual(self.gate.due(), 1.25)
        self.assertEqual(self.gate.tick(1.2), [])
        self.assertEqual(self.gate.tick(1.25), [Pass(1)])
        self.gate.hold(3, 1.25, None)
        self.assertEqual(self.gate.tick(1.75), [Pass(2), Pass(3)])
        self.assertFalse(self.gate.shut)

    def test_nobody_is_held_for_longer_than_the_limit(self):
        """Each is held for as long as the pause allows, or for its own time if that is less."""
        self.gate.hold(1, 0.0, None)
        self.gate.hold(2, 1.0, 100.0)
        self.gate.hold(3, 1.0, 2.0)
        self.assertEqual(self.gate.due(), 3.0)
        self.assertEqual(self.gate.tick(2.9), [])
        self.assertEqual(self.gate.tick(3.0), [Expire(3)])
        self.assertEqual(self.gate.due(), 30.0)
        self.assertEqual(self.gate.tick(31.0), [Expire(1), Expire(2)])
        self.assertIsNone(self.gate.due())

    def test_holds_no_more_than_it_may(self):
        """Who comes while as many are held is not; when one of them goes, there is room for one."""
        gate = Gate(2)
        gate.pause(30.0)
        self.assertEqual([gate.hold(taker, 0.0, None) for taker in (1, 2, 3)], [True, True, False])
        gate.give_up(1)
        self.assertTrue(gate.hold(4, 0.0, None))
        gate.resume(1.0, 0)
        self.assertEqual(gate.tick(1.0), [Pass(2), Pass(4)])

    def test_one_may_give_up(self):
        """Who gives up is not heard of again, and one who is not held is none of its business."""
        self.gate.hold(1, 0.0, None)
        self.assertTrue(self.gate.give_up(1))
        self.assertFalse(self.gate.give_up(1))
        self.assertEqual(self.gate.tick(100.0), [])

    def test_closing_gives_all_who_are_held(self):
        """A gate that is closed holds nobody."""
        self.gate.hold(1, 0.0, None)
        self.gate.hold(2, 0.0, None)
        self.assertEqual(self.gate.close(), [1, 2])
        self.assertFalse(self.gate.shut)
        self.assertFalse(self.gate.paused)

    @given(st.lists(st.floats(0.1, 50), max_size=20), st.floats(0.5, 100), st.floats(0, 60))
    def test_everybody_is_answered_once(self, patience, rate, pause):
        """Whatever the times: each goes on or is told, once, and never behind its own time."""
        gate = Gate()
        gate.pause(30.0)
        for taker, seconds in enumerate(patience):
            gate.hold(taker, 0.0, seconds)
        answered, now, resumed = [], 0.0, False
        while gate.held:
            due = gate.due() or 0.0
            if not resumed and due >= pause:
                now, resumed = pause, True
                gate.resume(now, rate)
            else:
                now = max(now, due)
            for each in gate.tick(now):
                answered.append(each.taker)
                self.assertLessEqual(now, min(30.0, patience[each.taker]) + 1e-9)
        self.assertEqual(sorted(answered), list(range(len(patience))))
