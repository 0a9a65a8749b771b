"""When memory and the loop's lag ask for something, and when they ask for it no more."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.overload import (
    CALM,
    CLOSE,
    LOOKS,
    MARGIN,
    SHRINK_AGAIN,
    Again,
    Begin,
    Course,
    End,
    LagPressure,
    Line,
    MemoryPressure,
    Step,
    Trend,
)
from tcpsuite.errors import LocalError

LIMIT = 1000


class LineTests(SynchronousTestCase):
    def test_is_crossed_at_the_top_and_again_below_the_bottom(self) -> None:
        """What lies on the upper line has crossed it; what lies on the lower one has not come back."""
        line = Line(10, 8)
        for figure, changed, crossed in (
            (9.9, False, False), (10, True, True), (8, False, True), (7.9, True, False), (9.9, False, False),
        ):  # fmt: skip
            self.assertEqual((line.see(figure), line.crossed), (changed, crossed), figure)
        self.assertEqual(repr(line), "<Line below 10/8>")
        line.see(10)
        self.assertEqual(repr(line), "<Line above 10/8>")

    @given(st.lists(st.floats(0, 20), max_size=50))
    def test_each_crossing_takes_the_whole_way(self, figures: list[float]) -> None:
        """Between two changes the figure has gone from one line to the other: it does not flap between."""
        line, since = Line(10, 8), [0.0]
        for figure in figures:
            since.append(figure)
            if line.see(figure):
                self.assertEqual((min(since) < 8, max(since) >= 10), (True, True))
                since = [figure]

    @given(st.lists(st.floats(8, 9.99), max_size=50), st.booleans())
    def test_what_trembles_between_the_lines_changes_nothing(self, figures: list[float], high: bool) -> None:
        """Wherever it came from."""
        line = Line(10, 8)
        line.see(10 if high else 0)
        self.assertEqual([line.see(figure) for figure in figures], [False] * len(figures))


class CourseTests(SynchronousTestCase):
    def trend(self, *samples: float, length: int = 8) -> Trend:
        course = Course(length)
        for sample in samples:
            course.add(sample)
        return course.trend(1.0)

    def test_trend(self) -> None:
        """The newer half is compared with the older half; a difference within the band is none."""
        self.assertEqual(self.trend(), Trend.STABLE)
        self.assertEqual(self.trend(5), Trend.STABLE)
        self.assertEqual(self.trend(5, 6), Trend.STABLE)
        self.assertEqual(self.trend(5, 6.1), Trend.INCREASING)
        self.assertEqual(self.trend(9, 9, 99, 5, 5), Trend.DECREASING)
        self.assertEqual(self.trend(5, 9, 5, 9), Trend.STABLE)

    def test_what_was_long_ago_counts_no_more(self) -> None:
        """Only the latest are kept."""
        self.assertEqual(self.trend(0, 0, 9, 9, 9, 9, length=4), Trend.STABLE)
        course = Course(2)
        course.add(1)
        self.assertEqual(repr(course), "<Course of 1>")

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
    def test_backwards_it_is_the_opposite(self, samples: list[float]) -> None:
        """A figure that rises falls when time runs backwards."""
        opposite = {Trend.INCREASING: Trend.DECREASING, Trend.DECREASING: Trend.INCREASING}

        def trend(taken: list[float]) -> Trend:
            course = Course()
            for sample in taken:
                course.add(sample)
            return course.trend(0.1)

        there = trend(samples)
        self.assertEqual(trend(samples[::-1]), opposite.get(there, there))


class MemoryPressureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pressure = MemoryPressure()

    def steps(self, used: int, now: float = 0.0) -> list[tuple[type, Step]]:
        return [(type(each), each.step) for each in self.pressure.sample(used, LIMIT, now)]

    def test_the_steps_begin_and_end_in_their_order(self) -> None:
        """At 95 % it shrinks, at 98 % accepting rests; each ends three hundredths below where it began."""
        self.assertEqual(self.steps(949), [])
        self.assertEqual(self.steps(950), [(Begin, Step.SHRINK)])
        self.assertEqual(self.steps(979), [])
        self.assertEqual(self.steps(980), [(Begin, Step.PAUSE)])
        self.assertEqual(self.pressure.steps, (Step.SHRINK, Step.PAUSE))
        self.assertEqual(self.steps(951), [])
        self.assertEqual(self.steps(949), [(End, Step.PAUSE)])
        self.assertEqual(repr(self.pressure), "<MemoryPressure shrink stable>")
        self.assertEqual(self.steps(921), [])
        self.assertEqual(self.steps(919), [(End, Step.SHRINK)])
        self.assertEqual(self.pressure.steps, ())

    def test_no_line_that_nothing_falls_below(self) -> None:
        """A line whose step could never end is refused; one just above it ends when nothing is in use."""
        for share in (MARGIN, 0.001, -1.0):
            self.assertRaises(LocalError, MemoryPressure, share, 0)
            self.assertRaises(LocalError, MemoryPressure, 0, share)
        self.pressure = MemoryPressure(0, MARGIN + 0.001)
        self.assertEqual(self.steps(40), [(Begin, Step.PAUSE)])
        self.assertEqual(self.steps(0), [(End, Step.PAUSE)])

    def test_both_at_once(self) -> None:
        """What rises past both lines in one look begins both, and what falls past both ends both."""
        self.assertEqual(self.steps(1200), [(Begin, Step.SHRINK), (Begin, Step.PAUSE)])
        self.assertEqual(self.steps(0), [(End, Step.SHRINK), (End, Step.PAUSE)])

    def test_shrinks_again_while_it_lasts(self) -> None:
        """Every ten seconds, and not after the end; a new beginning counts anew."""
        self.steps(950, 0.0)
        self.assertEqual(self.steps(950, SHRINK_AGAIN - 0.1), [])
        self.assertEqual(self.steps(950, SHRINK_AGAIN), [(Again, Step.SHRINK)])
        self.assertEqual(self.steps(950, SHRINK_AGAIN + 1), [])
        self.assertEqual(self.steps(950, 2 * SHRINK_AGAIN), [(Again, Step.SHRINK)])
        self.steps(0, 2 * SHRINK_AGAIN + 1)
        self.assertEqual(self.steps(0, 9 * SHRINK_AGAIN), [])
        self.steps(950, 10 * SHRINK_AGAIN)
        self.assertEqual(self.steps(950, 11 * SHRINK_AGAIN - 1), [])

    def test_a_step_that_is_off(self) -> None:
        """A share of 0 begins nothing."""
        self.pressure = MemoryPressure(0, 0.5)
        self.assertEqual(self.steps(999), [(Begin, Step.PAUSE)])
        self.pressure = MemoryPressure(0.5, 0)
        self.assertEqual(self.steps(999), [(Begin, Step.SHRINK)])

    def test_is_looked_at_closely_when_it_is_near(self) -> None:
        """From a tenth of the limit below the first line that there is."""
        seen = []
        for pressure, used in (
            (self.pressure, 0), (self.pressure, 849), (self.pressure, 850), (MemoryPressure(0, 0.5), 399),
            (MemoryPressure(0, 0.5), 400), (MemoryPressure(0, 0), 999),
        ):  # fmt: skip
            pressure.sample(used, LIMIT, 0.0)
            seen.append(pressure.interval)
        self.assertEqual(seen, [CALM, CALM, CLOSE, CALM, CLOSE, CALM])

    def test_says_why(self) -> None:
        """In per cent, and of how much."""
        (begin, _) = self.pressure.sample(1970 * 2**20, 2000 * 2**20, 0.0)
        self.assertEqual(begin, Begin(Step.SHRINK, "98.5% of 2,000 MiB is in use"))

    def test_trend(self) -> None:
        """A change of more than a hundredth of the limit within the last minute is told."""
        for used in (500, 500, 509, 509):
            self.steps(used)
        self.assertEqual(self.pressure.trend, Trend.STABLE)
        for used in (530, 530, 530, 530):
            self.steps(used)
        self.assertEqual(self.pressure.trend, Trend.INCREASING)

    @given(st.lists(st.integers(0, 1100), max_size=60))
    def test_does_not_flap(self, course: list[int]) -> None:
        """Whatever memory does, each step begins and ends by turns, and only when memory has gone all the way
        from one of its lines to the other.
        """
        pressure = MemoryPressure()
        last: dict[Step, float] = {}
        for used in course:
            for decision in pressure.sample(used, LIMIT, 0.0):
                share, step = used / LIMIT, decision.step
                if step in last:
                    self.assertGreater(abs(share - last[step]), MARGIN - 1e-9)
                self.assertEqual(type(decision), End if step in last and share < last[step] else Begin)
                last[step] = share


class LagPressureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pressure = LagPressure(0.1)

    def see(self, *lates: float) -> list[object]:
        return [decision for late in lates for decision in self.pressure.sample(late)]

    def test_what_lasts_pauses(self) -> None:
        """Three of five looks at the limit rest accepting; five below half of it in a row end that."""
        self.assertEqual(self.see(0.1, 0.3), [])
        self.assertEqual(self.see(0.2), [Begin(Step.PAUSE, "the loop is 100 ms late")])
        self.assertEqual(self.pressure.steps, (Step.PAUSE,))
        self.assertEqual(repr(self.pressure), "<LagPressure pause>")
        self.assertEqual(self.see(*[0.05] * LOOKS), [])
        self.assertEqual(self.see(0.04, 0.04, 0.03, 0.04), [])
        self.assertEqual(self.see(0.03), [End(Step.PAUSE, "the loop is 40 ms late")])
        self.assertEqual(repr(self.pressure), "<LagPressure none>")

    def test_one_long_turn_is_no_overload(self) -> None:
        """Nor are two, however long they are."""
        self.assertEqual(self.see(60.0, 60.0, 0.0, 0.0, 0.0), [])

    def test_is_looked_at_closely_after_a_late_look(self) -> None:
        """One that is half the limit late, until it is no longer among the last five."""
        seen = []
        for late in (0.04, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0):
            self.see(late)
            seen.append(self.pressure.interval)
        self.assertEqual(seen, [CALM, *[CLOSE] * 5, CALM])

    def test_off(self) -> None:
        """A limit of 0 is none."""
        self.pressure = LagPressure(0.0)
        self.assertEqual((self.see(*[9.0] * 9), self.pressure.interval), ([], CALM))
        self.assertEqual(self.pressure.steps, ())

    @given(st.lists(st.floats(0, 1), max_size=60))
    def test_does_not_flap(self, lates: list[float]) -> None:
        """By turns it begins and ends, after at least five looks an end, after three a beginning."""
        pressure, changes = LagPressure(0.1), []
        for number, late in enumerate(lates):
            changes += [(number, type(decision)) for decision in pressure.sample(late)]
        self.assertEqual([kind for _, kind in changes], ([Begin, End] * len(changes))[: len(changes)])
        for (before, _), (after, kind) in pairwise(changes):
            self.assertGreaterEqual(after - before, LOOKS if kind is End else LOOKS // 2 + 1)
