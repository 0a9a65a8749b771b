"""When a pool is due: what is due can be done then, and costs no look at everything."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import Close, Connect, End, Lease, PoolSettings, Reuse, SingleUse, Validate, Warn

MOMENTS = st.floats(0, 1e6)
SPANS = st.floats(0.1, 3600)


class Moment(float):
    """A time that counts how often something is added to it."""

    additions = 0

    def __add__(self, other):
        Moment.additions += 1
        return float(self) + other


class DueTests(SynchronousTestCase):
    """A clock that rings when it is told to never rings in vain, whatever floats make of the sums."""

    @given(MOMENTS, SPANS)
    @example(3.2, 5.0)
    def test_a_warm_one_is_old_when_it_is_due(self, made, age):
        """It is closed at the very moment that was named, and replaced."""
        state = SingleUse(PoolSettings("preconnect", min_connections=1, warm_max_age=age))
        self.assertEqual(state.tick(made), [Connect(1)])
        state.connected(1, made, 0.0)
        self.assertEqual(state.tick(state.due() or 0.0), [Close(1, End.AGED), Connect(2)])

    @given(MOMENTS, SPANS)
    @example(3.2, 5.0)
    def test_a_lease_is_long_when_it_is_due(self, lent, warning):
        """It is warned of at the very moment that was named."""
        state = Reuse(PoolSettings("message", min_connections=0, leak_warning=warning))
        state.acquire(11, lent)
        self.assertEqual(state.connected(1, lent, 0.0), [Lease(11, 1)])
        (warned,) = state.tick(state.due() or 0.0)
        assert isinstance(warned, Warn)
        self.assertEqual(warned.connection, 1)

    @given(MOMENTS, SPANS)
    @example(3.2, 5.0)
    def test_one_that_is_idle_is_checked_when_it_is_due(self, made, interval):
        """Not at the next look, an interval later."""
        settings = PoolSettings(
            "message", min_connections=1, health_check_interval=interval, eviction_interval=7200.0
        )
        state = Reuse(settings)
        self.assertEqual(state.tick(made), [Connect(1)])
        state.connected(1, made, 0.0)
        self.assertEqual(state.tick(state.due() or 0.0), [Validate(1)])

    @given(MOMENTS, SPANS, st.sampled_from([0, 1]))
    @example(3.2, 5.0, 0)
    def test_one_that_is_idle_for_long_is_evicted_when_it_is_due(self, made, span, kept):
        """Where looks are as far apart as what they look for, the first one finds it."""
        settings = PoolSettings(
            "message",
            min_connections=kept,
            max_connections=1,
            health_check_interval=7200.0,
            eviction_interval=span,
            idle_timeout=span,
            max_idle_time=3600.0 if kept == 0 else span,
            max_lifetime=30 * 86400.0,
        )
        state = Reuse(settings)
        state.acquire(11, made)
        state.connected(1, made, 0.0)
        state.release(1, made)
        (closed, *_) = state.tick(made + span)
        assert isinstance(closed, Close)
        self.assertIn(closed.why, (End.MAX_IDLE, End.IDLE_TIME))


class CostTests(SynchronousTestCase):
    """A large supply."""

    def test_only_the_oldest_warm_one_is_looked_at(self):
        """A lease out of a thousand warm connections looks at two of them, not at each."""
        settings = PoolSettings("preconnect", min_connections=1000, max_connections=1000, max_connecting=1000)
        state = SingleUse(settings)
        begun = len(state.tick(0.0))
        for connection in range(1, begun + 1):
            state.connected(connection, Moment(0.0), 0.0)
        self.assertEqual(state.stats()["warm"], 1000)
        Moment.additions = 0
        self.assertEqual(state.take(1.0)[0], 1)
        state.due()
        self.assertLessEqual(Moment.additions, 2)


class ForgettingTests(SynchronousTestCase):
    """A pool that nobody leases from, and whose server comes back."""

    def test_a_validation_that_comes_out_fine_forgets_setbacks(self):
        """Behind it the next setback waits as the first did, though nobody has leased anything; behind a
        connection alone it does not, for a server may take it only to cut it.
        """
        for checked, wait in ((30.0, 0.2), (1000.0, 0.3)):
            settings = PoolSettings(
                "message", min_connections=1, max_connections=1, health_check_interval=checked
            )
            state = Reuse(settings)
            state.tick(0.0)
            state.failed(1, "refused", 0.0, 0.0)
            self.assertEqual(state.tick(1.0), [Connect(2)])
            state.connected(2, 1.0, 0.0)
            if checked == 30.0:
                self.assertEqual(state.tick(31.0), [Validate(2)])
                state.answered(2, True, 31.0)
            state.lost(2, 40.0, 0.0)
            self.assertAlmostEqual(state.due(), 40.0 + wait)
