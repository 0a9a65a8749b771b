"""Time-outs on one timer of the reactor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.deadlines import GRAIN
from tcpsuite.net.deadlines import Deadlines, PhaseDeadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.net.deadlines import Deadline


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.missed: list[str] = []

    def tearDown(self) -> None:
        """Nothing is left in the reactor when no deadline is under way."""
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.missed.append(name)

    def test_calls_when_time_is_over(self) -> None:
        """Each is called after its time, once, in whichever order they were begun."""
        self.deadlines.after(5, self.note("second"))
        self.deadlines.after(2, self.note("first"))
        self.clock.advance(1.9)
        self.assertEqual(self.missed, [])
        self.clock.advance(0.1)
        self.assertEqual(self.missed, ["first"])
        self.clock.advance(3)
        self.assertEqual(self.missed, ["first", "second"])

    def test_one_timer_for_all(self) -> None:
        """However many there are, the reactor has one timer."""
        deadlines = [self.deadlines.after(5 + number / 10, self.note("")) for number in range(100)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for deadline in deadlines:
            deadline.cancel()

    def test_never_early_and_a_grain_late_at_most(self) -> None:
        """Between two slots it is called at the end of its own."""
        self.clock.advance(0.3)
        self.deadlines.after(1, self.note("a"))
        self.clock.advance(1 - 0.001)
        self.assertEqual(self.missed, [])
        self.clock.advance(GRAIN + 0.001)
        self.assertEqual(self.missed, ["a"])

    def test_cancelled(self) -> None:
        """What is cancelled is not called; cancelling again, or too late, does nothing."""
        first, second = self.deadlines.after(1, self.note("a")), self.deadlines.after(2, self.note("b"))
        self.assertEqual(repr(self.deadlines), "<Deadlines 2>")
        first.cancel()
        first.cancel()
        self.clock.advance(3)
        second.cancel()
        self.assertEqual(self.missed, ["b"])

    def test_cancelled_by_another_that_is_due(self) -> None:
        """Of two that are due at once, the first may cancel the second."""

        def cancel() -> None:
            second.cancel()

        self.deadlines.after(1, cancel)
        second = self.deadlines.after(1, self.note("a"))
        self.clock.advance(1)
        self.assertEqual(self.missed, [])

    def test_begun_by_one_that_is_due(self) -> None:
        """One that is over may begin the next, and an earlier one still comes first."""
        self.deadlines.after(4, self.note("other"))
        self.deadlines.after(1, lambda: self.deadlines.after(5, self.note("next")))
        self.clock.pump([1, 3])
        self.assertEqual(self.missed, ["other"])
        self.clock.advance(2)
        self.assertEqual(self.missed, ["other", "next"])

    def test_one_that_fails_keeps_no_other_from_its_call(self) -> None:
        """What a call raises is logged, and the others that are due are called."""
        self.deadlines.after(1, lambda: 1 // 0)
        self.deadlines.after(1, self.note("a"))
        self.clock.advance(1)
        self.assertEqual(self.missed, ["a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class PhaseDeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.missed: list[float] = []
        self.deadline = PhaseDeadline(self.deadlines, lambda: self.missed.append(self.clock.seconds()))

    def tearDown(self) -> None:
        """Nothing is left in the reactor behind the last phase."""
        self.deadline.cancel()
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_missed(self) -> None:
        """A phase that takes longer than it may is told once, and the next one is timed as well."""
        self.deadline.begin(2)
        self.clock.pump([1, 1, 10])
        self.assertEqual(self.missed, [2])
        self.deadline.begin(3)
        self.clock.pump([2, 1, 10])
        self.assertEqual(self.missed, [2, 15])

    def test_next_phase(self) -> None:
        """Only the phase that began last counts, whether its time is over sooner or later."""
        self.deadline.begin(10)
        self.deadline.begin(2)
        self.clock.advance(1)
        self.deadline.begin(4)
        self.clock.pump([1, 1, 1])
        self.assertEqual(self.missed, [])
        self.clock.pump([1, 20])
        self.assertEqual(self.missed, [5])

    def test_any_time(self) -> None:
        """A phase that may take any time ends the one before, and is never late."""
        self.deadline.begin(2)
        self.deadline.begin(0)
        self.clock.advance(1000)
        self.assertEqual(self.missed, [])
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")
        self.deadline.begin(2)
        self.clock.advance(2)
        self.assertEqual(self.missed, [1002])

    def test_begun_when_late(self) -> None:
        """Who is told that it is late may begin the next phase."""
        self.deadline = PhaseDeadline(self.deadlines, lambda: self.deadline.begin(0 if self.missed else 5))
        self.deadline.begin(2)
        self.clock.advance(2)
        self.missed.append(0)
        self.clock.pump([4.9, 0.1])
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")

    def test_seldom_sets_a_timer(self) -> None:
        """Of a thousand phases in a second, a few have to do with timers."""
        begun: list[float] = []
        after = self.deadlines.after

        def noted(seconds: float, missed: Callable[[], object]) -> Deadline:
            begun.append(seconds)
            return after(seconds, missed)

        self.patch(self.deadlines, "after", noted)
        for _ in range(500):
            self.deadline.begin(30)
            self.deadline.begin(0)
            self.deadline.begin(60)
            self.clock.advance(0.002)
        self.assertEqual(begun, [30])
        self.assertEqual(self.missed, [])

    def test_cancelled(self) -> None:
        """Behind the last phase none begins."""
        self.deadline.begin(2)
        self.deadline.cancel()
        self.deadline.begin(2)
        self.assertEqual(repr(self.deadlines), "<Deadlines 0>")
        self.clock.advance(5)
        self.assertEqual(self.missed, [])
