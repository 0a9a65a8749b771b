"""So many bytes a second."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits.bandwidth import (
    HOLDS,
    LEAST_AHEAD,
    MOST_AHEAD,
    SLICE,
    UNBOUNDED,
    Bucket,
    Flow,
    Shared,
)
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
                    wait = flow.wait(left, now)
                    assert wait is not None
                    now += wait + late
            self.assertLessEqual(passed, 50_000 * (now - start) + 1)
        if passed > 5000:
            self.assertGreater(passed / (now - start), 50_000 * 0.66)


class TurnsTests(SynchronousTestCase):
    """Several who take from the same buckets."""

    def setUp(self) -> None:
        self.now = 0.0
        self.passed: Counter[str] = Counter()
        self.longest: dict[str, float] = {}

    def run_for(self, seconds: float, wants: dict[str, int], flows: dict[str, Flow]) -> None:
        """Each wants so much, all the time: a new piece when it has the one before, which is noted with the
        longest time that a piece took.
        """
        left, since = dict(wants), dict.fromkeys(wants, self.now)
        for _ in range(round(seconds / 0.001)):
            self.now += 0.001
            for name, flow in flows.items():
                size = flow.take(left[name], self.now)
                self.passed[name] += size
                left[name] -= size
                if not left[name]:
                    self.longest[name] = max(self.longest.get(name, 0.0), self.now - since[name])
                    left[name], since[name] = wants[name], self.now

    def test_much_beside_little(self) -> None:
        """Who wants much and who asks for each few bytes have the same, and nothing is left over."""
        bucket = Bucket(100_000, 0.0)
        flows = {name: flow_through(bucket) for name in ("much", "little")}
        self.run_for(5.0, {"much": 1 << 20, "little": 100}, flows)
        self.assertApproximates(self.passed["much"], 250_000, 5000)
        self.assertApproximates(self.passed["little"], 250_000, 5000)

    def test_all_alike(self) -> None:
        """However many want much, each has its part, and its turn after one slice of each other one."""
        bucket = Bucket(100_000, 0.0)
        flows = {f"{number}": flow_through(bucket) for number in range(10)}
        self.run_for(10.0, dict.fromkeys(flows, 2000), flows)
        for name in flows:
            self.assertApproximates(self.passed[name], 100_000, 4000)
            self.assertLessEqual(self.longest[name], 11 * SLICE)

    def test_what_one_leaves_is_the_others(self) -> None:
        """Who has a narrower bucket of its own has all of that; the others share what it leaves."""
        bucket = Bucket(100_000, 0.0)
        flows = {"a": flow_through(bucket), "b": flow_through(bucket)}
        flows["slow"] = flow_through(Bucket(10_000, 0.0), bucket)
        self.run_for(10.0, {"a": 1 << 20, "b": 1 << 20, "slow": 1 << 20}, flows)
        for name, share in (("a", 45_000), ("b", 45_000), ("slow", 10_000)):
            self.assertApproximates(self.passed[name], share * 10, share * 0.2)

    def test_crosswise(self) -> None:
        """Who takes from two buckets of which others take too is not passed over in either."""
        address, user = Bucket(100_000, 0.0), Bucket(100_000, 0.0)
        flows = {"both": flow_through(address, user)}
        for number in range(3):
            flows[f"address {number}"] = flow_through(address)
            flows[f"user {number}"] = flow_through(user)
        self.run_for(10.0, dict.fromkeys(flows, 1 << 20), flows)
        for name in flows:
            self.assertApproximates(self.passed[name], 250_000, 5000)

    def test_nothing_saved_up(self) -> None:
        """Who was away has no more than the others when it is back."""
        bucket = Bucket(100_000, 0.0)
        flows = {name: flow_through(bucket) for name in ("stays", "away")}
        self.run_for(5.0, {"stays": 1 << 20}, {"stays": flows["stays"]})
        self.passed.clear()
        self.run_for(2.0, dict.fromkeys(flows, 1 << 20), flows)
        self.assertApproximates(self.passed["away"], 100_000, 4000)

    def test_who_is_next(self) -> None:
        """Who waits behind another knows no time, and is told of when that one has taken, or rests."""
        bucket = Bucket(1000, 0.0)
        first, second, third = (flow_through(bucket) for _ in range(3))
        for flow in (first, second, third):
            flow.who = flow
            self.assertEqual(flow.take(500, 0.0), 0)
        self.assertTrue(first.waits and second.waits)
        self.assertEqual((first.wait(500, 0.0), second.wait(500, 0.0)), (SLICE, None))
        self.assertEqual((first.next(), second.next()), ([], [first]))
        self.assertEqual((second.take(500, HOLDS), first.take(500, HOLDS)), (0, 20))
        self.assertEqual(first.next(), [second])
        second.rest()
        self.assertEqual((second.waits, second.next()), (False, [third]))
        for _ in range(2):
            third.rest()
        self.assertEqual((third.next(), round(bucket.level(HOLDS))), ([], 80))

    def test_rests_with_something_given(self) -> None:
        """What one bucket has given, while another has not, is given back by who rests."""
        wide, narrow = Bucket(1000, 0.0), Bucket(100, HOLDS)
        flow = flow_through(wide, narrow)
        self.assertEqual(flow.take(50, HOLDS), 0)
        self.assertEqual(round(wide.level(HOLDS)), 50)
        flow.rest()
        self.assertEqual(round(wide.level(HOLDS)), 100)

    def test_ahead_of_nobody(self) -> None:
        """While one waits nobody takes ahead."""
        bucket = Bucket(FAST, 0.0)
        waiting, other = flow_through(bucket), flow_through(bucket)
        waiting.take(1, 0.0)
        self.assertFalse(other.run_ahead(HOLDS))
        waiting.rest()
        self.assertTrue(other.run_ahead(HOLDS))


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
        flows = [flow_through(shared.join("a", 10 * FAST, 0.0)[0]) for _ in range(10)]
        for flow in flows:
            self.assertTrue(flow.run_ahead(HOLDS))
        self.assertEqual([flow.ahead for flow in flows], [20_000] * 10)

    def test_enough(self) -> None:
        """However fast a bucket is, no more is taken ahead than saves something."""
        flow = flow_through(Bucket(1e10, 0.0))
        self.assertTrue(flow.run_ahead(HOLDS))
        self.assertEqual(flow.ahead, MOST_AHEAD)

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
        flows = [flow_through(shared.join("a", 2 * FAST, 0.0)[0]) for _ in range(takers)]
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
        """Those of one key take from the same, at the rate that was named last; those of others do not."""
        shared = Shared()
        first = shared.join("a", 1000, 0.0)
        self.assertIs(shared.join("a", 500, 0.1), first)
        self.assertEqual([bucket.rate for bucket in first], [500, 500])
        self.assertIsNot(shared.join("b", 1000, 0.0), first)
        self.assertIsNot(first[0], first[1])
        shared.leave("a")
        self.assertIs(shared.join("a", 500, 0.1), first)
        self.assertEqual([bucket.takers for bucket in first], [2, 2])
        shared.leave("a")
        shared.leave("a")
        self.assertEqual(len(shared), 1)

    def test_who_is_new(self) -> None:
        """Who is new is lent a slice, which may be taken ahead; that is all, until the bucket has filled."""
        for bucket in Shared().join("a", FAST, 5.0):
            self.assertEqual(round(bucket.level(5.0)), FAST * SLICE)
            first, second = flow_through(bucket), flow_through(bucket)
            self.assertEqual((first.run_ahead(5.0), first.ahead), (True, FAST * SLICE))
            self.assertEqual((second.run_ahead(5.0), second.take(1, 5.0)), (False, 0))
            second.rest()
            self.assertFalse(second.run_ahead(5.0 + HOLDS / 2 - 0.001))
            self.assertTrue(second.run_ahead(5.0 + HOLDS / 2 + 0.001))

    def test_many_who_are_new(self) -> None:
        """All who come at once have the slice between them."""
        shared = Shared()
        flows = [flow_through(shared.join("a", 10 * FAST, 5.0)[0]) for _ in range(10)]
        self.assertEqual([flow.run_ahead(5.0) for flow in flows], [True] * 10)
        self.assertEqual(sum(flow.ahead for flow in flows), 10 * FAST * SLICE)

    def test_who_comes_again(self) -> None:
        """Who left is lent nothing when he comes again: he has what he had, and owes what he owed."""
        shared, now, passed = Shared(), 5.0, 0
        for _ in range(1000):
            arriving, _ = shared.join("a", FAST, now)
            flow = flow_through(arriving)
            if flow.run_ahead(now):
                flow.ahead -= 60_000
                passed += 60_000
                flow.stay()
            shared.leave("a")
            now += 0.01
        self.assertLessEqual(passed, FAST * (now - 5.0 + SLICE) + 60_000)
        self.assertGreater(passed, FAST * (now - 5.0) * 0.9)

    def test_forgotten(self) -> None:
        """Of those who left so many are remembered, the last ones; of those who are there, all."""
        shared = Shared(remembered=2)
        buckets = {key: shared.join(key, 1000, 0.0) for key in "abcd"}
        for key in "abc":
            shared.leave(key)
        again = [key for key in "bcda" if shared.join(key, 1000, 0.0) is buckets[key]]
        self.assertEqual(again, ["b", "c", "d"])
