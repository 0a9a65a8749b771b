"""The connections that nobody has: their order, and what they are looked at for."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import End, PoolSettings
from tcpsuite.core.pooling.idle import Idle
from tcpsuite.core.pooling.pooled import Pooled


def pooled(number: int, since: float, proved: float | None = None) -> Pooled:
    """A connection that was used last at that time, and is not retired before 1000."""
    return Pooled(number, 1000.0, since, since if proved is None else proved)


class IdleTests(SynchronousTestCase):
    """Looked at for age every 60 seconds, and for what they do every 30."""

    def make(self, *connections: Pooled, **settings: object) -> Idle:
        idle = Idle(PoolSettings("message", **settings))  # type: ignore[arg-type]
        for each in connections:
            idle.add(each, each.since)
        return idle

    def test_the_order_is_that_of_the_last_use(self):
        """Whenever one is added, it stands where its last use puts it; of two alike the later is newer."""
        idle = self.make(pooled(1, 10.0), pooled(2, 30.0), pooled(3, 20.0), pooled(4, 30.0), pooled(5, 5.0))
        self.assertEqual(repr(idle), "<Idle [5, 1, 3, 2, 4]>")
        self.assertEqual((idle.next().number, len(idle)), (4, 5))
        idle = self.make(pooled(1, 10.0), pooled(2, 20.0), idle_order="fifo")
        self.assertEqual(idle.next().number, 1)

    def test_nothing_is_looked_at_where_nothing_is(self):
        """Without a connection there is no time to look; with the first there is, and it does not move."""
        idle = self.make()
        self.assertEqual(idle.look_at, inf)
        idle.add(pooled(1, 10.0), 10.0)
        idle.add(pooled(2, 15.0), 15.0)
        self.assertEqual(idle.look_at, 40.0)
        idle.clear()
        idle.look(70.0, 0)
        self.assertEqual(idle.look_at, inf)

    def test_what_is_above_the_minimum_goes_the_oldest_first(self):
        """As many as are too many, of those that were idle for long; then time alone ends one."""
        idle = self.make(*(pooled(number, float(number), proved=60.0) for number in (1, 2, 3)))
        over, _ = idle.look(63.0, 2)
        self.assertEqual([(each.number, end) for each, end in over], [(1, End.MAX_IDLE), (2, End.MAX_IDLE)])
        self.assertEqual(repr(idle), "<Idle [3]>")
        over, _ = idle.look(303.0, 0)
        self.assertEqual([(each.number, end) for each, end in over], [(3, End.IDLE_TIME)])

    def test_what_was_not_seen_to_work_is_asked(self):
        """It is taken out until it has answered; what was seen to work meanwhile is not asked."""
        idle = self.make(pooled(1, 0.0), pooled(2, 1.0, proved=20.0))
        over, unproved = idle.look(30.0, 0)
        self.assertEqual((over, [each.number for each in unproved]), ([], [1]))
        self.assertEqual((repr(idle), idle.look_at), ("<Idle [2]>", 60.0))
