"""Objects are leased to one taker at a time, and cleaned in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.objects import MAX_OBJECTS, ObjectPool
from tcpsuite.errors import LocalError, OutOfResources


class Page:
    """Something that is used, and can be wiped."""

    def __init__(self) -> None:
        self.text = ""
        self.wiped = 0

    def wipe(self) -> None:
        self.text = ""
        self.wiped += 1


def make_pool(minimum: int = 0, maximum: int = 2, overflow: int = 0) -> ObjectPool[Page]:
    return ObjectPool(Page, Page.wipe, minimum=minimum, maximum=maximum, overflow=overflow)


def fail_inside(pool: ObjectPool[Page]) -> None:
    """A block that ends in an exception."""
    with pool.lease():
        raise ZeroDivisionError


class AcquireTests(SynchronousTestCase):
    """Who gets which object."""

    def test_made_when_asked(self) -> None:
        """Without a minimum nothing is made before the first acquire."""
        pool = make_pool()
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=0 maximum=2>")
        pool.acquire()
        self.assertEqual(repr(pool), "<ObjectPool leased=1 idle=0 maximum=2>")

    def test_minimum_is_made_at_once(self) -> None:
        """The minimum is there from the start, and is used before more is made."""
        pool = make_pool(minimum=1)
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=1 maximum=2>")
        pool.acquire()
        self.assertEqual(pool.stats()["created"], 1)

    def test_one_taker_each(self) -> None:
        """Two takers have two objects."""
        pool = make_pool()
        self.assertIsNot(pool.acquire(), pool.acquire())

    def test_last_in_first_out(self) -> None:
        """The object that was given back last is leased first."""
        pool = make_pool(maximum=3)
        things = [pool.acquire() for _ in range(3)]
        for thing in things:
            pool.release(thing)
        self.assertEqual([pool.acquire() for _ in range(3)], things[::-1])

    def test_refused_when_all_are_leased(self) -> None:
        """Beyond the maximum nothing is leased, until something is given back."""
        pool = make_pool()
        thing = pool.acquire()
        pool.acquire()
        error = self.assertRaises(OutOfResources, pool.acquire)
        self.assertEqual(str(error), "all 2 objects of the pool are leased")
        self.assertEqual(pool.stats()["refused"], 1)
        pool.release(thing)
        self.assertIs(pool.acquire(), thing)

    def test_overflow(self) -> None:
        """With an overflow more are made while all are leased, not one beyond it, and not kept."""
        pool = make_pool(maximum=1, overflow=1)
        first, second = pool.acquire(), pool.acquire()
        self.assertRaises(OutOfResources, pool.acquire)
        pool.release(first)
        self.assertEqual(repr(pool), "<ObjectPool leased=1 idle=0 maximum=1>")
        pool.release(second)
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=1 maximum=1>")
        self.assertIs(pool.acquire(), second)
        stats = pool.stats()
        self.assertEqual((stats["overflowed"], stats["dropped"], stats["refused"]), (1, 1, 1))

    def test_default_maximum(self) -> None:
        """Unless told otherwise a hundred objects are kept, and there is not one more."""
        pool = ObjectPool(Page)
        things = [pool.acquire() for _ in range(MAX_OBJECTS)]
        self.assertEqual(len(things), 100)
        self.assertRaises(OutOfResources, pool.acquire)

    def test_create_fails(self) -> None:
        """What create raises comes out of acquire, and no place is lost."""
        failing = True

        def create() -> Page:
            if failing:
                raise ZeroDivisionError
            return Page()

        pool = ObjectPool(create, maximum=1)
        self.assertRaises(ZeroDivisionError, pool.acquire)
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=0 maximum=1>")
        failing = False
        pool.acquire()

    def test_create_gives_the_same_twice(self) -> None:
        """An object that two would share is refused, leased or idle."""
        shared = Page()
        pool = ObjectPool(lambda: shared)
        pool.acquire()
        error = self.assertRaises(LocalError, pool.acquire)
        self.assertEqual(str(error), "create gave the same object of Page twice")
        self.assertRaises(LocalError, ObjectPool, lambda: shared, minimum=2)

    def test_what_cannot_be(self) -> None:
        """Limits that contradict each other are refused."""
        for minimum, maximum, overflow in ((-1, 1, 0), (2, 1, 0), (0, 0, 0), (0, 1, -1)):
            self.assertRaises(LocalError, make_pool, minimum, maximum, overflow)
        wrong: Any
        for wrong in (1.5, True, "1", None):
            for given in ((wrong, 2, 0), (0, wrong, 0), (0, 2, wrong)):
                error = self.assertRaises(LocalError, make_pool, *given)
                self.assertIn(f"whole numbers, not minimum={given[0]!r} ", str(error))


class ReleaseTests(SynchronousTestCase):
    """What comes back."""

    def test_reset_when_given_back(self) -> None:
        """An object is cleaned once, as soon as it is given back."""
        pool = make_pool()
        page = pool.acquire()
        page.text = "secret"
        pool.release(page)
        self.assertEqual((page.text, page.wiped), ("", 1))
        self.assertIs(pool.acquire(), page)
        self.assertEqual(page.wiped, 1)

    def test_without_reset(self) -> None:
        """Objects that keep nothing need no reset."""
        pool: ObjectPool[list[int]] = ObjectPool(list)
        thing = pool.acquire()
        thing.append(1)
        pool.release(thing)
        self.assertEqual(pool.acquire(), [1])

    def test_double_release(self) -> None:
        """Giving back twice is our caller's fault, and changes nothing."""
        pool = make_pool()
        page = pool.acquire()
        pool.release(page)
        error = self.assertRaises(LocalError, pool.release, page)
        self.assertEqual(str(error), "an object of Page was given back before")
        self.assertEqual((repr(pool), page.wiped), ("<ObjectPool leased=0 idle=1 maximum=2>", 1))

    def test_foreign_object(self) -> None:
        """An object of another pool, or of none, is refused, and not cleaned."""
        pool, page = make_pool(), make_pool().acquire()
        error = self.assertRaises(LocalError, pool.release, page)
        self.assertEqual(str(error), "an object of Page is not of this pool")
        self.assertEqual((repr(pool), page.wiped), ("<ObjectPool leased=0 idle=0 maximum=2>", 0))

    def test_equal_is_not_the_same(self) -> None:
        """Objects are told apart by what they are, not by what they equal."""
        pool: ObjectPool[list[int]] = ObjectPool(list)
        pool.acquire()
        self.assertRaises(LocalError, pool.release, [])

    def test_not_reusable(self) -> None:
        """What is past mending is dropped without a reset, and its place is free."""
        pool = make_pool(maximum=1)
        page = pool.acquire()
        pool.release(page, reusable=False)
        self.assertEqual((repr(pool), page.wiped), ("<ObjectPool leased=0 idle=0 maximum=1>", 0))
        self.assertIsNot(pool.acquire(), page)
        self.assertRaises(LocalError, pool.release, page)

    def test_reset_fails(self) -> None:
        """What reset raises comes out of release; the object is dropped, and its place is free."""
        pool: ObjectPool[Page] = ObjectPool(Page, lambda page: 1 // page.wiped, maximum=1)
        page = pool.acquire()
        self.assertRaises(ZeroDivisionError, pool.release, page)
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=0 maximum=1>")
        self.assertIsNot(pool.acquire(), page)


class LeaseTests(SynchronousTestCase):
    """An object for a block."""

    def test_given_back(self) -> None:
        """At the end of the block the object is cleaned and idle."""
        pool = make_pool()
        with pool.lease() as page:
            self.assertEqual(repr(pool), "<ObjectPool leased=1 idle=0 maximum=2>")
        self.assertEqual(page.wiped, 1)
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=1 maximum=2>")

    def test_exception(self) -> None:
        """When the block fails, the object is dropped, and the exception goes on."""
        pool = make_pool()
        self.assertRaises(ZeroDivisionError, fail_inside, pool)
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=0 maximum=2>")

    def test_given_back_inside(self) -> None:
        """Who gives it back inside the block gives it back twice."""
        pool = make_pool()
        with self.assertRaises(LocalError), pool.lease() as page:
            pool.release(page)

    def test_once(self) -> None:
        """A lease is for one block, during and after which it leases nothing more."""
        pool = make_pool()
        lease = pool.lease()
        with lease:
            self.assertRaises(LocalError, lease.__enter__)
        error = self.assertRaises(LocalError, lease.__enter__)
        self.assertEqual(str(error), "a lease is for one block: ask the pool for another")
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=1 maximum=2>")

    def test_refused(self) -> None:
        """A lease that had no object, for all were leased, may be tried again."""
        pool = make_pool(maximum=1)
        lease, page = pool.lease(), pool.acquire()
        self.assertRaises(OutOfResources, lease.__enter__)
        pool.release(page)
        with lease as found:
            self.assertIs(found, page)


class ShrinkTests(SynchronousTestCase):
    """Memory is short."""

    def assert_shrinks(self, idle: int, leased: int, minimum: int, dropped: int) -> None:
        pool = make_pool(minimum=minimum, maximum=8)
        things = [pool.acquire() for _ in range(idle + leased)]
        for thing in things[:idle]:
            pool.release(thing)
        self.assertEqual(pool.shrink(), dropped)
        self.assertEqual(repr(pool), f"<ObjectPool leased={leased} idle={idle - dropped} maximum=8>")
        self.assertEqual([pool.acquire() for _ in range(idle - dropped)], things[dropped:idle][::-1])

    def test_drops_what_is_idle(self) -> None:
        """What is idle beyond the minimum is dropped, longest idle first; leased ones count towards it."""
        self.assert_shrinks(idle=4, leased=0, minimum=0, dropped=4)
        self.assert_shrinks(idle=4, leased=0, minimum=1, dropped=3)
        self.assert_shrinks(idle=4, leased=2, minimum=3, dropped=3)
        self.assert_shrinks(idle=4, leased=2, minimum=1, dropped=4)
        self.assert_shrinks(idle=0, leased=2, minimum=1, dropped=0)

    def test_fewer_than_the_minimum(self) -> None:
        """Nothing is dropped when there are fewer than the minimum already."""
        pool = make_pool(minimum=2)
        self.assertRaises(ZeroDivisionError, fail_inside, pool)
        self.assertEqual(pool.shrink(), 0)
        self.assertEqual(repr(pool), "<ObjectPool leased=0 idle=1 maximum=2>")


class StatsTests(SynchronousTestCase):
    def test_counts(self) -> None:
        """What there is now, and what there was since the beginning."""
        pool = make_pool(minimum=1, maximum=2, overflow=1)
        first, second, third = (pool.acquire() for _ in range(3))
        self.assertRaises(OutOfResources, pool.acquire)
        pool.release(first)
        pool.release(second)
        pool.acquire()
        pool.release(third, reusable=False)
        self.assertEqual(
            pool.stats(),
            {
                "leased": 1,
                "idle": 0,
                "peak": 3,
                "acquired": 4,
                "created": 3,
                "overflowed": 1,
                "refused": 1,
                "dropped": 2,
            },
        )


class PoolMachine(RuleBasedStateMachine):
    """Any order of what takers may do."""

    MINIMUM, MAXIMUM, OVERFLOW = 1, 3, 2
    leases: Bundle[Page] = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.pool = make_pool(self.MINIMUM, self.MAXIMUM, self.OVERFLOW)
        self.leased: list[Page] = []

    @rule(target=leases)
    def acquire(self) -> Page:
        if len(self.leased) == self.MAXIMUM + self.OVERFLOW:
            expect(OutOfResources, self.pool.acquire)
            page = Page()  # of no pool
        else:
            page = self.pool.acquire()
            assert page not in self.leased
            assert page.text == ""
            page.text = "used"
            self.leased.append(page)
        return page

    @rule(page=leases, reusable=st.booleans())
    def release(self, page: Page, reusable: bool) -> None:
        if page in self.leased:
            self.leased.remove(page)
            self.pool.release(page, reusable)
        else:
            expect(LocalError, lambda: self.pool.release(page))

    @rule(page=consumes(leases))
    def forget(self, page: Page) -> None:
        if page in self.leased:
            self.release(page, True)

    @rule()
    def shrink(self) -> None:
        self.pool.shrink()
        stats = self.pool.stats()
        assert stats["idle"] == 0 or stats["idle"] + stats["leased"] <= self.MINIMUM

    @invariant()
    def counts_agree(self) -> None:
        stats = self.pool.stats()
        assert stats["leased"] == len(self.leased) <= stats["peak"]
        assert stats["created"] - stats["dropped"] == stats["leased"] + stats["idle"]
        assert stats["leased"] + stats["idle"] <= max(self.MAXIMUM, stats["leased"])


def expect(error: type[Exception], call: Callable[[], object]) -> None:
    """The call fails so."""
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


class AnyOrderTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        """Whatever takers do, nobody has what another has, and the counts agree."""
        run_state_machine_as_test(PoolMachine)
