"""So many bytes a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits.bandwidth import HOLDS, LEAST_AHEAD, SLICE, UNBOUNDED, Bucket, Flow, Shared
from tcpsuite.errors import LocalError

FAST = 1_000_000
"""Bytes a second of which a slice is worth taking ahead."""


def flow_through(*buckets: Bucket) -> Flow:
    """What passes through all of these."""
    flow = Flow()
    for bucket in buckets:
        flow.add(bucket)
    return flow


class BucketTests(SynchronousTestCase):
    """A thousand bytes a second."""

    def setUp(self) -> None:
        self.bucket = Bucket(1000, 5.0)

    def test_fills(self) -> None:
        """It begins empty, fills at its rate, and holds what a tenth of a second brings."""
        levels = [self.bucket.level(5.0 + seconds) for seconds in (0, 0.01, HOLDS, 60)]
        self.assertEqual([round(level, 6) for level in levels], [0, 10, 100, 100])
        self.assertEqual(repr(self.bucket), "<Bucket 100 of 100>")

    def test_a_clock_that_goes_back(self) -> None:
        """Time that comes twice counts for no more than it lasts."""
        self.bucket.level(5.05)
        self.assertEqual(round(self.bucket.level(1.0), 6), 50)
        self.assertEqual(round(self.bucket.level(1.01), 6), 60)

    def test_no_rate(self) -> None:
        """Nothing at all a second is refused."""
        for rate in (0, -1, float("nan")):
            self.assertRaises(LocalError, Bucket, rate, 0.0)


class FlowTests(SynchronousTestCase):
    """What passes through one bucket, and through several."""

    def test_takes_what_is_there(self) -> None:
        """It passes what is there, and waits for a slice, or for what is wanted if that is less."""
        flow = flow_through(Bucket(1000, 0.0))
        self.assertEqual(flow.take(500, 0.05), 50)
        self.assertAlmostEqual(flow.wait(500, 0.05), SLICE)
        self.assertAlmostEqual(flow.wait(7, 0.05), 0.007)
        self.assertEqual(flow.take(7, 0.0571), 7)

    def test_no_crumbs(self) -> None:
        """Of much, less than a slice does not pass: it would be a byte for each look at the clock."""
        flow = flow_through(Bucket(1000, 0.0))
        self.assertEqual(flow.take(500, SLICE - 0.002), 0)
        self.assertEqual(flow.take(500, SLICE), 20)

    def test_nothing_to_wait_for(self) -> None:
        """What was saved up passes without a wait."""
        flow = flow_through(Bucket(1000, 0.0))
        self.assertEqual(flow.wait(7, 10.0), 0.0)

    def test_the_narrowest_counts(self) -> None:
        """Through several buckets passes what the narrowest lets pass; all of them are taken from."""
        wide, narrow = Bucket(1000, 0.0), Bucket(100, 0.0)
        flow = flow_through(wide, narrow)
        self.assertEqual(flow.take(500, HOLDS), 10)
        self.assertEqual((round(wide.level(HOLDS)), round(narrow.level(HOLDS))), (90, 0))
        self.assertAlmostEqual(flow.wait(500, HOLDS), SLICE)
        self.assertEqual(repr(flow), "<Flow [<Bucket 90 of 100>, <Bucket 0 of 10>] ahead=0>")

    def test_no_bucket(self) -> None:
        """Without a bucket all passes."""
        self.assertEqual((Flow().take(500, 0.0), Flow().wait(500, 0.0)), (500, 0.0))

    def test_very_slow(self) -> None:
        """A slice is at least one byte: whoever waits for it then gets it."""
        flow = flow_through(Bucket(2, 0.0))
        self.assertAlmostEqual(flow.wait(500, 0.0), 0.5)
        self.assertEqual([flow.take(500, now) for now in (0.4, 0.5, 0.6)], [0, 1, 0])

    @given(st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 0.02)), min_size=1, max_size=50))
    def test_the_rate_is_kept(self, steps: list[tuple[int, float]]) -> None:
        """Who takes slice by slice, up to 20 ms late each time, has the rate, and never more."""
        flow, now, passed, start = flow_through(Bucket(50_000, 9.0)), 9.0, 0, 9.0
        for wanted, late in steps:
            left = wanted
            while left:
                taken = flow.take(left, now)
                left -= taken
                passed += taken
                if left:
                    now += flow.wait(left, now) + late
            self.assertLessEqual(passed, 50_000 * (now - start) + 1)
        if passed > 5000:
            self.assertGreater(passed / (now - start), 50_000 * 0.66)


class AheadTests(SynchronousTestCase):
    """What is taken ahead, so that nobody asks for each few bytes."""

    def setUp(self) -> None:
        self.bucket = Bucket(FAST, 0.0)
        self.flow = flow_through(self.bucket)

    def test_a_slice(self) -> None:
        """From a bucket that is half full a slice is taken; what of it does not pass is given back."""
        self.assertFalse(self.flow.run_ahead(HOLDS / 2 - 0.001))
        self.assertTrue(self.flow.run_ahead(HOLDS))
        self.assertEqual((self.flow.ahead, round(self.bucket.level(HOLDS))), (20_000, 80_000))
        self.assertTrue(self.flow.run_ahead(HOLDS))
        self.assertEqual(self.flow.ahead, 20_000)
        self.flow.ahead -= 1000
        self.flow.stay()
        self.assertEqual((self.flow.ahead, round(self.bucket.level(HOLDS))), (0, 99_000))

    def test_more_than_that(self) -> None:
        """What has passed beyond it is owed: nobody passes anything before it is paid for."""
        self.flow.run_ahead(HOLDS)
        self.flow.ahead -= 20_000 + 130_000
        self.assertFalse(self.flow.run_ahead(HOLDS))
        self.assertEqual((self.flow.ahead, round(self.bucket.level(HOLDS))), (0, -50_000))
        self.assertEqual(self.flow.take(1, HOLDS), 0)
        self.assertAlmostEqual(self.flow.wait(20_000, HOLDS), 0.07)

    def test_shared(self) -> None:
        """All who take from a bucket have one slice ahead between them."""
        shared = Shared()
        flows = [flow_through(shared.join("a", 10 * FAST, 0.0)) for _ in range(10)]
        for flow in flows:
            self.assertTrue(flow.run_ahead(HOLDS))
        self.assertEqual([flow.ahead for flow in flows], [20_000] * 10)

    def test_too_little(self) -> None:
        """So little that it would not be worth while is not taken ahead; nor is anything lent of it."""
        slow = (LEAST_AHEAD - 1) / SLICE
        self.assertFalse(flow_through(Bucket(slow, 0.0)).run_ahead(HOLDS))
        flow = Flow(slow)
        self.assertFalse(flow.run_ahead(0.0))
        self.assertEqual(flow.take(1, 0.0), 0)

    def test_its_own(self) -> None:
        """The first slice is lent; then it passes through a bucket that begins empty, and fills."""
        flow = Flow(FAST)
        self.assertTrue(flow.run_ahead(5.0))
        self.assertEqual(repr(flow), "<Flow [] ahead=20000>")
        flow.ahead -= 20_001
        self.assertFalse(flow.run_ahead(5.0))
        self.assertFalse(flow.run_ahead(5.04))
        self.assertTrue(flow.run_ahead(5.1))
        self.assertEqual(repr(flow), "<Flow [<Bucket 80000 of 100000>] ahead=20000>")

    def test_one_more_bucket(self) -> None:
        """Who is to pass through one more has nothing ahead that was not taken from it too."""
        self.flow.run_ahead(HOLDS)
        self.flow.add(Bucket(1000, HOLDS))
        self.assertEqual((self.flow.ahead, round(self.bucket.level(HOLDS))), (0, 100_000))

    def test_unbounded(self) -> None:
        """Without a bucket more than ever passes is ahead."""
        flow = Flow()
        self.assertTrue(flow.run_ahead(0.0))
        self.assertEqual(flow.ahead, UNBOUNDED)

    @given(
        st.integers(1, 5),
        st.lists(st.tuples(st.integers(0, 4), st.integers(1, 70_000), st.floats(0, 0.05)), min_size=1),
    )
    def test_the_rate_is_kept(self, takers: int, steps: list[tuple[int, int, float]]) -> None:
        """All together never pass more than the rate, what a bucket holds, and a read each on top."""
        shared, now, passed = Shared(), 0.0, 0
        flows = [flow_through(shared.join("a", 2 * FAST, 0.0)) for _ in range(takers)]
        for number, size, pause in steps:
            flow = flows[number % takers]
            if flow.run_ahead(now):
                flow.ahead -= size
                passed += size
            else:
                passed += flow.take(size, now)
            now += pause
            self.assertLessEqual(passed, 2 * FAST * (now + HOLDS + SLICE) + takers * 70_000)


class SharedTests(SynchronousTestCase):
    """Buckets of keys."""

    def test_shared(self) -> None:
        """Those of one key take from the same, at the rate that was named last; it goes with the last."""
        shared = Shared()
        first = shared.join("a", 1000, 0.0)
        self.assertIs(shared.join("a", 500, 0.1), first)
        self.assertEqual(first.rate, 500)
        self.assertIsNot(shared.join("b", 1000, 0.0), first)
        shared.leave("a")
        self.assertIs(shared.join("a", 500, 0.1), first)
        shared.leave("a")
        shared.leave("a")
        self.assertEqual(len(shared), 1)
        self.assertIsNot(shared.join("a", 500, 0.1), first)
