"""Many deadlines, and which of them are over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.deadlines import GRAIN, SPARE, Timetable

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

TIMES: SearchStrategy[float] = st.floats(0, 100, allow_nan=False)
KEYS = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), KEYS, TIMES),
        st.tuples(st.just("remove"), KEYS, st.just(0.0)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0, 10, allow_nan=False)),
    )
)


class TimetableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.timetable: Timetable[str] = Timetable()

    def test_is_met_when_it_is_over(self) -> None:
        """A deadline on a whole slot is met then, not before, and once."""
        self.assertEqual(self.timetable.add("a", 5.0), 5.0)
        self.assertEqual(self.timetable.next(), 5.0)
        self.assertEqual(self.timetable.due(4.999), [])
        self.assertEqual(self.timetable.due(5.0), ["a"])
        self.assertEqual(self.timetable.due(99.0), [])
        self.assertIsNone(self.timetable.next())

    def test_in_their_order(self) -> None:
        """Those that are over come in the order of their slots, in a slot as they were added."""
        for key, due in [("late", 3.0), ("first", 1.0), ("second", 1.0 - GRAIN / 2), ("never", 9.0)]:
            self.timetable.add(key, due)
        self.assertEqual(self.timetable.due(3.0), ["first", "second", "late"])
        self.assertEqual(len(self.timetable), 1)

    def test_removed(self) -> None:
        """What was removed is not met, is not waited for, and may be removed again."""
        self.timetable.add("a", 1.0)
        self.timetable.add("b", 2.0)
        self.timetable.remove("a")
        self.timetable.remove("a")
        self.assertEqual(self.timetable.next(), 2.0)
        self.assertEqual(self.timetable.due(1.5), [])

    def test_removed_beside_another(self) -> None:
        """Of two that end together the other one is met."""
        for key in "ab":
            self.timetable.add(key, 1.0)
        self.timetable.remove("a")
        self.assertEqual(self.timetable.due(1.0), ["b"])

    def test_added_anew(self) -> None:
        """A key has one deadline, the one that was added last."""
        self.timetable.add("a", 1.0)
        self.timetable.add("a", 2.0)
        self.assertEqual(self.timetable.due(1.0), [])
        self.assertEqual(self.timetable.due(2.0), ["a"])

    def test_leaves_nothing_behind(self) -> None:
        """However many come and go before their time, nothing is kept of them."""
        for second in range(1000):
            self.timetable.add("a", float(second))
            self.timetable.remove("a")
        self.assertEqual(repr(self.timetable), "<Timetable deadlines=0 slots=0>")

    def test_keeps_no_empty_slots(self) -> None:
        """Nor beside one that stays, before it or behind it; what is kept in order is no more than that."""
        for due in (1e6, 0.0):
            self.timetable.add("long", due)
            for second in range(1000):
                self.timetable.add("a", 1.0 + second)
            self.assertEqual(repr(self.timetable), "<Timetable deadlines=2 slots=2>")
            self.assertLessEqual(len(self.timetable._order), 2 * 2 + SPARE)
            self.timetable.remove("a")
            self.assertEqual(self.timetable.next(), due)

    def test_comes_back_to_a_slot(self) -> None:
        """A slot that became empty, and is used again, is met once."""
        self.timetable.add("long", 100.0)
        for _ in range(5):
            self.timetable.add("a", 1.0)
            self.timetable.remove("a")
        self.timetable.add("a", 1.0)
        self.assertEqual(self.timetable.next(), 1.0)
        self.assertEqual(self.timetable.due(1.0), ["a"])
        self.assertEqual(self.timetable.due(99.0), [])
        self.assertEqual(self.timetable.next(), 100.0)

    @given(STEPS)
    def test_as_a_list_would(self, steps: list[tuple[str, int, float]]) -> None:
        """Whatever is added and removed: none is met early, none more than a grain late, none is lost, and
        the first of them is the one to wait for.
        """
        timetable: Timetable[int] = Timetable()
        model: dict[int, float] = {}
        now = 0.0
        for what, key, number in steps:
            if what == "add":
                met = timetable.add(key, now + number)
                self.assertTrue(now + number <= met <= now + number + GRAIN)
                model[key] = now + number
            elif what == "remove":
                timetable.remove(key)
                model.pop(key, None)
            else:
                now += number
                over = timetable.due(now)
                self.assertEqual(len(over), len(set(over)))
                for late in over:
                    self.assertLessEqual(model.pop(late), now)
                for due in model.values():
                    self.assertGreaterEqual(due + GRAIN, now)
            self.assertEqual(len(timetable), len(model))
            following = timetable.next()
            if following is None:
                self.assertEqual(model, {})
            else:
                first = min(model.values())
                self.assertTrue(first <= following <= first + GRAIN)
        self.assertEqual(sorted(timetable.due(now + 1000)), sorted(model))
