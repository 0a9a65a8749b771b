"""When a server goes up or down, and when it is checked next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.health import RiseFall, Schedule, Transition
from tcpsuite.interfaces import Outcome

GOOD = Outcome(True, seconds=0.01)
BAD = Outcome(False, "refused")


def fed(health: RiseFall, *outcomes: Outcome) -> list[Transition | None]:
    """What the outcomes, one a second from second 1 on, bring about."""
    return [health.observe(outcome, float(now)) for now, outcome in enumerate(outcomes, 1)]


class RiseFallTests(SynchronousTestCase):
    """The state of one server."""

    def test_defaults(self) -> None:
        """Two good checks bring a server up, three failed ones take it down."""
        health = RiseFall()
        self.assertEqual((health.rise, health.fall), (2, 3))

    def test_unchecked_counts_as_up(self) -> None:
        """Before its first check a server is up, since nobody knows when."""
        health = RiseFall()
        self.assertTrue(health.up)
        self.assertFalse(health.changing)
        self.assertIsNone(health.since)
        self.assertIsNone(health.last)
        self.assertEqual(repr(health), "<RiseFall up, unchecked>")

    def test_first_check_fails(self) -> None:
        """The very first check takes a server down when it fails, whatever fall says."""
        health = RiseFall(rise=2, fall=3)
        self.assertEqual(fed(health, BAD), [Transition(False, 1.0, "1 check failed: refused")])
        self.assertFalse(health.up)
        self.assertFalse(health.changing)
        self.assertEqual(health.since, 1.0)

    def test_first_check_is_good(self) -> None:
        """The very first check confirms what the server counted as; from there it takes fall to go down."""
        health = RiseFall(fall=2)
        self.assertEqual(fed(health, GOOD), [None])
        self.assertEqual((health.up, health.since, health.row), (True, 1.0, 1))
        self.assertIsNone(health.observe(BAD, 2.0))
        self.assertIsNotNone(health.observe(BAD, 3.0))

    def test_first_check_of_one_that_was_down(self) -> None:
        """One that counts as down before its first check comes up with that one when it is good."""
        health = RiseFall(rise=2, up=False)
        self.assertEqual(repr(health), "<RiseFall down, unchecked>")
        self.assertEqual(fed(health, GOOD), [Transition(True, 1.0, "1 check succeeded")])
        health = RiseFall(rise=2, up=False)
        self.assertEqual(fed(health, BAD, GOOD), [None, None])
        self.assertFalse(health.up)

    def test_falls(self) -> None:
        """It goes down with the last of fall failures in a row, and not before."""
        health = RiseFall(fall=3)
        down = Transition(False, 4.0, "3 checks in a row failed: refused")
        self.assertEqual(fed(health, GOOD, BAD, BAD, BAD, BAD), [None, None, None, down, None])
        self.assertEqual((health.up, health.since, health.row, health.last), (False, 4.0, 4, BAD))

    def test_good_check_between_failures(self) -> None:
        """Failures count only in a row."""
        health = RiseFall(fall=2)
        self.assertEqual(fed(health, GOOD, BAD, GOOD, BAD, GOOD), [None] * 5)
        self.assertEqual((health.up, health.since), (True, 1.0))

    def test_rises(self) -> None:
        """It comes up with the last of rise good checks in a row, and not before."""
        health = RiseFall(rise=2)
        down, up = (
            Transition(False, 1.0, "1 check failed: refused"),
            Transition(True, 5.0, "2 checks in a row succeeded"),
        )
        self.assertEqual(fed(health, BAD, GOOD, BAD, GOOD, GOOD, GOOD), [down, None, None, None, up, None])
        self.assertEqual((health.up, health.since, health.row, health.last), (True, 5.0, 3, GOOD))

    def test_one_is_enough(self) -> None:
        """With a rise and a fall of 1 each check decides."""
        health = RiseFall(rise=1, fall=1)
        self.assertEqual(
            [change and change.up for change in fed(health, GOOD, BAD, GOOD)], [None, False, True]
        )

    def test_changing(self) -> None:
        """Between states it is changing, and its repr says how far."""
        health = RiseFall(rise=2, fall=3)
        fed(health, GOOD)
        self.assertEqual(repr(health), "<RiseFall up>")
        fed(health, BAD, BAD)
        self.assertTrue(health.changing)
        self.assertEqual(repr(health), "<RiseFall up, changing 2 of 3>")
        fed(health, BAD)
        self.assertFalse(health.changing)
        self.assertEqual(repr(health), "<RiseFall down>")
        fed(health, GOOD)
        self.assertEqual(repr(health), "<RiseFall down, changing 1 of 2>")

    @given(
        results=st.lists(st.booleans(), min_size=1, max_size=40),
        rise=st.integers(1, 4),
        fall=st.integers(1, 4),
    )
    def test_any_history(self, results: list[bool], rise: int, fall: int) -> None:
        """Transitions alternate, and each stands at the end of a row that is just long enough."""
        health = RiseFall(rise, fall)
        changes = fed(health, *(GOOD if ok else BAD for ok in results))
        up = True
        for index, change in enumerate(changes):
            needed = (1 if index == 0 else fall) if up else rise
            row = results[max(0, index + 1 - needed) : index + 1]
            due = row == [not up] * needed
            self.assertEqual(change is not None, due)
            if change is not None:
                up = not up
                self.assertIs(change.up, up)
        self.assertIs(health.up, up)


class ScheduleTests(SynchronousTestCase):
    """The wait for the next check, in the middle of its jitter."""

    def wait(self, *outcomes: Outcome, schedule: Schedule | None = None, chance: float = 0.5) -> float:
        health = RiseFall(rise=2, fall=3)
        fed(health, *outcomes)
        return (schedule or Schedule()).wait(health, chance)

    def test_unchecked(self) -> None:
        """The first check comes at once, within 0.2 s."""
        self.assertEqual(self.wait(chance=0.0), 0.0)
        self.assertEqual(self.wait(chance=1.0), 0.2)

    def test_up(self) -> None:
        """A server that is up is checked every 5 s."""
        self.assertEqual(self.wait(GOOD), 5.0)

    def test_down(self) -> None:
        """A server that is down is checked every 10 s."""
        self.assertEqual(self.wait(BAD), 10.0)

    def test_changing(self) -> None:
        """Between states a server is checked every second."""
        self.assertEqual(self.wait(GOOD, BAD), 1.0)
        self.assertEqual(self.wait(BAD, GOOD), 1.0)

    def test_other_interval(self) -> None:
        """While down it is twice the interval, and a short one is never made longer by a change."""
        short, long = Schedule(interval=0.25), Schedule(interval=30.0)
        self.assertEqual(
            [self.wait(*seen, schedule=short) for seen in ([GOOD], [BAD], [GOOD, BAD])], [0.25, 0.5, 0.25]
        )
        self.assertEqual(
            [self.wait(*seen, schedule=long) for seen in ([GOOD], [BAD], [GOOD, BAD])], [30, 60, 1]
        )

    def test_given_intervals(self) -> None:
        """Each interval can be given."""
        schedule = Schedule(interval=4.0, fast_interval=2.0, down_interval=7.0, jitter=0.0)
        self.assertEqual(
            [self.wait(*seen, schedule=schedule, chance=0.9) for seen in ([], [GOOD], [BAD], [BAD, GOOD])],
            [0.0, 4.0, 7.0, 2.0],
        )

    def test_jitter(self) -> None:
        """A wait is up to a fifth shorter or longer."""
        self.assertEqual(self.wait(GOOD, chance=0.0), 4.0)
        self.assertEqual(self.wait(GOOD, chance=1.0), 6.0)
