"""Buffers of one size are leased to one taker at a time, and cleared before the next one."""

from __future__ import annotations

import gc
import warnings
from pickle import PickleBuffer
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.buffers import BUFFER_SIZE, BUFFERS, BufferPool
from tcpsuite.errors import LocalError, OutOfResources


class BufferPoolTests(SynchronousTestCase):
    """Buffers of four bytes."""

    def test_made_beforehand(self) -> None:
        """All buffers are there from the start, and no more are made while they suffice."""
        pool = BufferPool(size=4, count=2)
        self.assertEqual(repr(pool), "<BufferPool size=4 leased=0 idle=2>")
        for _ in range(10):
            with pool.acquire(), pool.acquire():
                self.assertEqual(repr(pool), "<BufferPool size=4 leased=2 idle=0>")
        self.assertEqual(pool.stats()["created"], 2)

    def test_defaults(self) -> None:
        """Unless told otherwise there are sixteen buffers of 64 KiB, and not one more."""
        pool = BufferPool()
        leases = [pool.acquire() for _ in range(BUFFERS)]
        self.assertEqual([len(lease.view) for lease in leases], [BUFFER_SIZE] * 16)
        self.assertEqual(pool.stats()["bytes"], 1024 * 1024)
        self.assertRaises(OutOfResources, pool.acquire)
        for lease in leases:
            lease.release()

    def test_what_cannot_be(self) -> None:
        """A pool has a buffer, a buffer has a byte."""
        for size, count, overflow in ((0, 1, 0), (1, 0, 0), (1, 1, -1)):
            self.assertRaises(LocalError, BufferPool, size, count, overflow)
        wrong: Any
        for wrong in (1.5, True, "1", None):
            for given in ((wrong, 1, 0), (1, wrong, 0), (1, 1, wrong)):
                error = self.assertRaises(LocalError, BufferPool, *given)
                self.assertIn(f"whole numbers, not size={given[0]!r} ", str(error))

    def test_a_taker_each(self) -> None:
        """What one taker writes, another does not see."""
        pool = BufferPool(size=4, count=2)
        with pool.acquire() as one, pool.acquire() as two:
            one.view[:] = b"1111"
            two.view[:] = b"2222"
            self.assertEqual((bytes(one.view), bytes(two.view)), (b"1111", b"2222"))

    def test_cleared_before_the_next(self) -> None:
        """The next taker of the same memory finds only zeros."""
        pool = BufferPool(size=4, count=1)
        for _ in range(2):
            with pool.acquire() as lease:
                self.assertEqual(bytes(lease.view), bytes(4))
                lease.view[:] = b"abcd"
        self.assertEqual(pool.stats()["kept"], 0)

    def test_of_one_byte(self) -> None:
        """The smallest buffer is cleared as well."""
        pool = BufferPool(size=1, count=1)
        with pool.acquire() as lease:
            lease.view[0] = 1
        with pool.acquire() as lease:
            self.assertEqual(bytes(lease.view), b"\0")

    def test_only_what_was_used_is_cleared(self) -> None:
        """A taker that says how much it wrote pays for no more, and is taken at its word."""
        pool = BufferPool(size=5, count=1)
        with pool.acquire() as lease:
            lease.view[:] = b"abcd\0"
            lease.used = 2
        for used in (0, 3):
            with pool.acquire() as lease:
                self.assertEqual(bytes(lease.view), b"\0\0cd\0")
                lease.used = used
        with pool.acquire() as lease:
            self.assertEqual(bytes(lease.view), b"\0\0\0d\0")

    def test_used_that_cannot_be(self) -> None:
        """A taker who says what cannot be is told at once; then all is cleared, and no place is lost."""
        pool = BufferPool(size=4, count=1)
        wrong: Any
        for wrong in (-1, 5, 3.5, "a", True):
            with pool.acquire() as lease:
                lease.view[:] = b"abcd"
                lease.used = 2
                error = self.assertRaises(LocalError, setattr, lease, "used", wrong)
                self.assertEqual(str(error), f"from 0 to 4 bytes were used, or None, not {wrong!r}")
                self.assertIsNone(lease.used)
            with pool.acquire() as lease:
                self.assertEqual(bytes(lease.view), bytes(4), wrong)

    def test_used_to_its_end(self) -> None:
        """Who says that all was written, or no longer knows, has all cleared."""
        pool = BufferPool(size=4, count=1)
        for used in (4, None):
            with pool.acquire() as lease:
                lease.view[:] = b"abcd"
                lease.used = 1
                lease.used = used
            with pool.acquire() as lease:
                self.assertEqual(bytes(lease.view), bytes(4), used)

    def test_refused_when_all_are_leased(self) -> None:
        """Without an overflow nobody gets more than there is, until something is given back."""
        pool = BufferPool(size=4, count=1)
        with pool.acquire():
            error = self.assertRaises(OutOfResources, pool.acquire)
            self.assertEqual(str(error), "all 1 buffers of 4 bytes are leased")
        with pool.acquire():
            self.assertEqual(pool.stats()["refused"], 1)

    def test_overflow(self) -> None:
        """With an overflow, that many more are made while all are leased, and not kept."""
        pool = BufferPool(size=4, count=1, overflow=1)
        with pool.acquire(), pool.acquire() as more:
            self.assertEqual(bytes(more.view), bytes(4))
            self.assertEqual(pool.stats()["bytes"], 8)
            self.assertRaises(OutOfResources, pool.acquire)
        stats = pool.stats()
        self.assertEqual((stats["bytes"], stats["overflowed"], stats["dropped"]), (4, 1, 1))

    def test_stats(self) -> None:
        """What there is now, and what there was since the beginning."""
        pool = BufferPool(size=4, count=2)
        lease = pool.acquire()
        with pool.acquire():
            pass
        self.assertEqual(
            pool.stats(),
            {
                "bytes": 8,
                "leased": 1,
                "idle": 1,
                "peak": 2,
                "acquired": 2,
                "created": 2,
                "overflowed": 0,
                "refused": 0,
                "dropped": 0,
                "kept": 0,
            },
        )
        lease.release()


class BufferLeaseTests(SynchronousTestCase):
    """One buffer, and what takers do to it."""

    def setUp(self) -> None:
        self.pool = BufferPool(size=4, count=1)

    def test_view_after_the_release(self) -> None:
        """Whoever reads or writes after the release is told, and does no harm."""
        with self.pool.acquire() as lease:
            view = lease.view
            self.assertEqual(repr(lease), "<BufferLease leased size=4>")
        self.assertEqual(repr(lease), "<BufferLease released size=4>")
        self.assertRaises(ValueError, bytes, view)
        self.assertRaises(ValueError, view.__setitem__, 0, 1)

    def test_double_release(self) -> None:
        """Releasing twice is our caller's fault, and the buffer is idle once."""
        lease = self.pool.acquire()
        lease.release()
        self.assertRaises(LocalError, lease.release)
        self.assertEqual(repr(self.pool), "<BufferPool size=4 leased=0 idle=1>")

    def test_released_inside_the_block(self) -> None:
        """A lease may be released before its block ends."""
        with self.pool.acquire() as lease:
            lease.release()
        self.assertEqual(repr(self.pool), "<BufferPool size=4 leased=0 idle=1>")

    def test_released_when_the_block_fails(self) -> None:
        """An exception in the block gives the buffer back, cleared."""

        def fail_inside() -> None:
            with self.pool.acquire() as lease:
                lease.view[:] = b"abcd"
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail_inside)
        with self.pool.acquire() as lease:
            self.assertEqual(bytes(lease.view), bytes(4))

    def test_a_view_that_is_kept(self) -> None:
        """Memory that somebody still sees is neither cleared nor lent: other memory takes its place."""
        with self.pool.acquire() as lease:
            lease.view[:] = b"abcd"
            part = lease.view[1:]
        with self.pool.acquire() as lease:
            lease.view[:] = b"xxxx"
            self.assertEqual(bytes(part), b"bcd")
        self.assertEqual(repr(self.pool), "<BufferPool size=4 leased=0 idle=1>")
        stats = self.pool.stats()
        self.assertEqual((stats["kept"], stats["dropped"], stats["created"]), (1, 1, 2))

    def test_a_view_that_is_in_use(self) -> None:
        """The same when it is the view itself that something holds on to."""
        with self.pool.acquire() as lease:
            lease.view[:] = b"abcd"
            held = PickleBuffer(lease.view)
        with self.pool.acquire() as lease:
            self.assertEqual(bytes(lease.view), bytes(4))
        self.assertEqual(bytes(held), b"abcd")
        self.assertEqual(self.pool.stats()["kept"], 1)

    def test_a_view_that_was_given_up(self) -> None:
        """A taker may release the view itself: the buffer is cleared all the same."""
        with self.pool.acquire() as lease:
            lease.view[:] = b"abcd"
            lease.view.release()
        with self.pool.acquire() as lease:
            self.assertEqual(bytes(lease.view), bytes(4))

    def test_dropped(self) -> None:
        """A lease that is dropped comes back with a warning, and its view is dead."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            view = self.pool.acquire().view
            gc.collect()
        self.assertEqual(
            [(item.category, str(item.message)) for item in caught],
            [(ResourceWarning, "<BufferLease leased size=4> was dropped, not released")],
        )
        self.assertRaises(ValueError, bytes, view)
        self.assertEqual(repr(self.pool), "<BufferPool size=4 leased=0 idle=1>")
