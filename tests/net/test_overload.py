"""What is done when memory or the loop's time becomes short."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.overload import CALM, CLOSE
from tcpsuite.interfaces import IShrinkable
from tcpsuite.net.memory import Reading
from tcpsuite.net.overload import (
    Garbage,
    LagMonitor,
    MemoryMonitor,
    Overload,
    OverloadOptions,
)
from tests.support.upstreams import UpstreamCase


class Scripted:
    """Memory as the test says."""

    def __init__(self) -> None:
        self.used: int | None = 0
        self.limited = True
        self.opened = self.looks = 0

    def open(self) -> bool:
        self.opened += self.limited
        return self.limited

    def read(self) -> Reading | None:
        self.looks += 1
        return None if self.used is None else Reading(self.used, 1000, "the test's")

    def close(self) -> None:
        self.opened = 0


@implementer(IShrinkable)
class Spare:
    """Counts how often it was asked; ``fault`` is raised instead."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked = 0
        self.fault = fault

    def shrink(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault


class MemoryMonitorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gauge = Scripted()
        self.paused: list[bool] = []
        self.monitor = MemoryMonitor(self.gauge, self.clock, self.paused.append)
        self.spare = Spare()
        self.monitor.shrinkables.append(self.spare)
        self.addCleanup(self.monitor.stop)

    def grow(self, used: int | None) -> list[tuple[LogLevel, str]]:
        """So much is in use for a second; what was logged."""
        self.gauge.used = used
        with capturedLogs() as events:
            self.clock.pump([CLOSE] * 4)
        return [(event["log_level"], formatEvent(event)) for event in events]

    def test_the_steps_are_taken_and_told_once(self) -> None:
        """At the first line what can be given back is, at the second accepting rests; below both go on."""
        self.monitor.start()
        self.assertEqual(self.grow(900), [])
        said = "memory: 96.0% of 0 MiB is in use: what is idle is given back, and garbage is collected"
        self.assertEqual(self.grow(960), [(LogLevel.warn, said)])
        self.assertEqual((self.spare.asked, self.paused), (1, []))
        said = "memory: 99.0% of 0 MiB is in use: no new connections are accepted"
        self.assertEqual(self.grow(990), [(LogLevel.warn, said)])
        self.assertEqual((self.spare.asked, self.paused), (1, [True]))
        self.assertEqual(self.monitor.pausing, "99.0% of 0 MiB is in use")
        said = "memory: 94.0% of 0 MiB is in use: new connections are accepted again"
        self.assertEqual(self.grow(940), [(LogLevel.info, said)])
        self.assertEqual((self.paused, self.monitor.pausing), ([True, False], ""))
        said = "memory: 10.0% of 0 MiB is in use: nothing need be given back"
        self.assertEqual(self.grow(100), [(LogLevel.info, said)])

    def test_asks_again_while_it_lasts(self) -> None:
        """Every ten seconds, without another word."""
        self.monitor.start()
        self.grow(960)
        self.clock.advance(10)
        self.assertEqual(self.grow(960), [])
        self.assertEqual(self.spare.asked, 2)

    def test_one_that_fails_keeps_no_other_from_it(self) -> None:
        """Its fault is logged."""
        self.monitor.shrinkables.insert(0, Spare(ValueError("broken")))
        self.monitor.start()
        self.grow(960)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.spare.asked, 1)

    def test_status(self) -> None:
        """How much is in use, of what, where it is going, and what is done about it."""
        self.assertEqual(
            self.monitor.status(),
            {
                "used": None, "limit": None, "limit_of": "", "trend": "stable",
                "steps": {
                    "shrink": {"active": False, "why": "", "begun": 0},
                    "pause": {"active": False, "why": "", "begun": 0},
                },
            },
        )  # fmt: skip
        self.monitor.start()
        self.grow(100)
        self.grow(960)
        status = self.monitor.status()
        self.assertEqual([status[key] for key in ("used", "limit", "limit_of")], [960, 1000, "the test's"])
        self.assertEqual(status["trend"], "increasing")
        active = {"active": True, "why": "96.0% of 0 MiB is in use", "begun": 1}
        self.assertEqual(status["steps"]["shrink"], active)
        self.assertIn("shrink increasing", repr(self.monitor))

    def test_what_cannot_be_told_changes_nothing(self) -> None:
        """The last that was known holds."""
        self.monitor.start()
        self.grow(990)
        self.assertEqual(self.grow(None), [])
        self.assertEqual(self.monitor.pausing, "99.0% of 0 MiB is in use")

    def test_without_a_limit_nobody_looks(self) -> None:
        """Then it costs nothing: there is no timer."""
        self.gauge.limited = False
        self.monitor.start()
        self.assertEqual((self.gauge.looks, self.clock.getDelayedCalls()), (0, []))
        self.monitor.stop()

    def test_stops(self) -> None:
        """Nothing is open behind that, and nobody looks."""
        self.monitor.start()
        self.monitor.stop()
        self.assertEqual((self.gauge.opened, self.clock.getDelayedCalls()), (0, []))

    def test_looks_closely_when_it_is_near(self) -> None:
        """Once a second while there is enough, four times from 85 % on; the first time at once."""
        self.monitor.start()
        self.assertEqual(self.gauge.looks, 1)
        self.gauge.used = 849
        self.clock.pump([CLOSE] * 12)
        self.assertEqual(self.gauge.looks, 4)
        self.gauge.used = 851
        self.clock.pump([CLOSE] * 12)
        self.assertEqual(self.gauge.looks, 4 + 9)


class LagMonitorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.paused: list[bool] = []
        self.monitor = LagMonitor(self.clock, self.paused.append)
        self.monitor.start()
        self.addCleanup(self.monitor.stop)

    def late(self, seconds: float, looks: int = 1) -> None:
        """The loop comes so late to the next looks."""
        for _ in range(looks):
            (call,) = self.clock.getDelayedCalls()
            self.clock.advance(call.getTime() - self.clock.seconds() + seconds)

    def test_lasting_lag_rests_accepting(self) -> None:
        """Three looks that come too late do; five in time end it."""
        with capturedLogs() as events:
            self.late(0.125, 2)
            self.assertEqual((self.paused, self.monitor.pausing), ([], ""))
            self.late(0.5)
            self.assertEqual((self.paused, self.monitor.pausing), ([True], "the loop is 125 ms late"))
            self.late(0.0, 5)
        self.assertEqual(self.paused, [True, False])
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "lag: the loop is 125 ms late: no new connections are accepted",
                "lag: the loop is 0 ms late: new connections are accepted again",
            ],
        )
        steps = {"pause": {"active": False, "why": "", "begun": 1}}
        self.assertEqual(self.monitor.status(), {"worst": 0.5, "steps": steps})
        self.assertEqual(repr(self.monitor), "<LagMonitor worst=0.500 <LagPressure none>>")

    def test_the_worst_of_a_minute(self) -> None:
        """It is remembered so long, and forgotten behind that, however often was looked."""
        self.late(0.0)
        self.assertEqual(self.monitor.worst, 0.0)
        self.late(0.75)
        seen = self.clock.seconds()
        while self.clock.seconds() + CALM < seen + 60:
            self.late(0.0)
        self.assertEqual(self.monitor.worst, 0.75)
        self.late(0.0)
        self.assertEqual(self.monitor.worst, 0.0)

    def test_looks_closely_after_a_late_look(self) -> None:
        """Four times in a second, until five looks in a row were in time; once a second before and then."""
        times = []
        for seconds in (0.0, 0.0625, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0):
            self.late(seconds)
            times.append(self.clock.seconds())
        self.assertEqual(times, [1.0, 2.0625, 2.25, 2.5, 2.75, 3.0, 3.25, 4.0])

    def test_stops(self) -> None:
        """Twice, too."""
        self.monitor.stop()
        self.monitor.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class OverloadTests(SynchronousTestCase):
    def make(self, **options: Any) -> Overload:
        self.clock = Clock()
        self.rests: list[tuple[bool, str]] = []
        overload = Overload(
            OverloadOptions(**options), self.clock, lambda wanted, cause: self.rests.append((wanted, cause))
        )
        self.addCleanup(overload.stop)
        return overload

    def test_both_causes(self) -> None:
        """Each rests accepting by its own name, and says why; the status tells of both."""
        overload = self.make(memory_limit=2**20)  # far less than this process has
        overload.start(watched=False)
        self.assertEqual(self.rests, [(True, "memory")])
        self.clock.pump([1.75, 1.0, 1.0])
        self.assertEqual(self.rests, [(True, "memory"), (True, "lag")])
        memory, lag = overload.reasons
        self.assertRegex(memory, r"overloaded: memory: [\d.]+% of 1 MiB is in use")
        self.assertEqual(lag, "overloaded: lag: the loop is 750 ms late")
        self.assertEqual(repr(overload), f"<Overload {memory}; {lag}>")
        self.assertEqual(set(overload.status()), {"memory", "lag"})

    def test_off(self) -> None:
        """What is not asked for has no timer; somebody may want to know the lag all the same."""
        overload = self.make(memory_limit=2**20, shrink_at=0, pause_at=0, lag=0)
        overload.start(watched=False)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        overload.start(watched=True)
        self.clock.pump([9.0] * 9)
        self.assertEqual((overload.lag.worst, self.rests), (8.0, []))
        self.assertEqual(repr(overload), "<Overload none>")


class GarbageTests(SynchronousTestCase):
    def test_is_collected(self) -> None:
        """What only refers to itself is gone behind it."""

        class Ring:
            pass

        ring = Ring()
        ring.itself = ring  # type: ignore[attr-defined]
        gone = weakref.ref(ring)
        gc.disable()
        self.addCleanup(gc.enable)
        del ring
        self.assertIsNotNone(gone())
        Garbage().shrink()
        self.assertIsNone(gone())


class MembersTests(UpstreamCase):
    def test_each_pool_that_can_gives_back(self) -> None:
        """The pools of all servers are asked; one of somebody's own that knows no such thing is not."""
        pools, spares = self.members.pools, [Spare(), Spare()]
        others: Any = {"a": spares[0], "b": object(), "c": spares[1]}
        self.members.pools = others
        self.members.shrink()
        self.members.pools = pools
        self.assertEqual([spare.asked for spare in spares], [1, 1])
