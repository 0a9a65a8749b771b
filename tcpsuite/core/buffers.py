"""Memory for bytes: lent again and again, or growing and shrinking with what it holds.

Plain ``bytes`` and ``bytearray`` are hard to beat in Python: docs/buffers.md has figures of where each of
these pays.  None of them is for several threads: like the rest of tcpsuite they belong to the reactor's.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from tcpsuite.core.objects import ObjectPool, is_whole
from tcpsuite.errors import LocalError, OutOfResources

if TYPE_CHECKING:
    from typing import Self

BUFFER_SIZE = 64 * 1024
"""Bytes of a pooled buffer: as much as Twisted reads at once, and half of where malloc turns to mmap."""
BUFFERS = 16
"""Buffers of a pool, 1 MiB in all: one is in use while a read is handled, not as long as a connection."""
CAPACITY = 4 * 1024
"""Bytes of memory that an adaptive buffer begins with and keeps: 10,000 of them take 40 MB."""
LIMIT = 32 * 1024 * 1024
"""Bytes that an adaptive buffer may hold: a message of 16 MiB, and as much of what is read behind it."""
SPARSE = 4
"""A buffer that is filled to less than one part in so many gives memory back.  With 2 it would go to and
fro at the brink of a size."""


class BufferPool:
    """Buffers of one size, made beforehand, leased to one taker at a time, cleared before the next one.

    Its memory is bounded: ``size * (count + overflow)`` bytes, whatever happens, but for views that were kept
    beyond their lease.  Nothing waits here: when all are leased, further buffers are made and dropped after
    one use, as many as ``overflow`` allows; then :class:`~tcpsuite.errors.OutOfResources` is raised.

    ::

        with pool.acquire() as lease:
            lease.used = socket.recv_into(lease.view)
            parse(lease.view[:lease.used])

    :param size: bytes of each buffer, at least 1.
    :param count: how many are made beforehand, at least 1.
    :param overflow: how many more there may be while all others are leased.
    """

    def __init__(self, size: int = BUFFER_SIZE, count: int = BUFFERS, overflow: int = 0) -> None:
        if not all(map(is_whole, (size, count, overflow))) or size < 1 or count < 1 or overflow < 0:
            raise LocalError(
                "a pool of at least 1 buffer of 1 byte, and 0 <= overflow, whole numbers, "
                f"not size={size!r} count={count!r} overflow={overflow!r}"
            )
        self.size = size
        self._zeros = memoryview(bytes(size))
        self._kept = 0
        self._memories = ObjectPool(lambda: bytearray(size), minimum=count, maximum=count, overflow=overflow)

    def __repr__(self) -> str:
        stats = self._memories.stats()
        return f"<BufferPool size={self.size} leased={stats['leased']} idle={stats['idle']}>"

    def stats(self) -> dict[str, int]:
        """Counts by name: what there is now, then what there was since the beginning.

        ``bytes`` is the memory of all buffers, ``peak`` the most that were leased at once; ``kept`` counts
        buffers that had to be replaced because a view of them outlived the lease.
        """
        stats = self._memories.stats()
        return {"bytes": self.size * (stats["leased"] + stats["idle"]), **stats, "kept": self._kept}

    def acquire(self) -> BufferLease:
        """A buffer full of zeros, until its lease is released.

        :raises OutOfResources: all buffers are leased, and those beyond ``count`` too.
        """
        try:
            return BufferLease(self, self._memories.acquire())
        except OutOfResources:
            leased = self._memories.stats()["leased"]
            raise OutOfResources(f"all {leased} buffers of {self.size} bytes are leased") from None

    def _take_back(self, memory: bytearray, view: memoryview, used: int | None) -> None:
        try:
            view.release()
            # Memory that can be seen from somewhere cannot be resized: so a part of the view that was kept
            # is noticed.  When there is none, these two move nothing, and the last byte is zero.
            memory.pop()
            memory.append(0)
        except BufferError:
            self._kept += 1
            self._memories.release(memory, reusable=False)
            return
        if used is None:
            used = self.size
        with memoryview(memory) as dirty:
            dirty[:used] = self._zeros[:used]
        self._memories.release(memory)


class BufferLease:
    """One buffer, as long as it is leased.  As a context manager it is released when the block ends.

    :ivar view: the buffer, writable.  After the release it raises ``ValueError``.  A part of it that is kept
        (``view[:10]``) stays as it was: that buffer is never lent or cleared again, but replaced.
    """

    __slots__ = ("_memory", "_pool", "_used", "view")

    def __init__(self, pool: BufferPool, memory: bytearray) -> None:
        self._pool = pool
        self._memory: bytearray | None = memory
        self.view = memoryview(memory)
        self._used: int | None = None

    def __repr__(self) -> str:
        state = "released" if self._memory is None else "leased"
        return f"<BufferLease {state} size={self._pool.size}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._memory is not None:
            self.release()

    def __del__(self) -> None:
        if self._memory is not None:
            warnings.warn(f"{self!r} was dropped, not released", ResourceWarning, stacklevel=2, source=self)
            self.release()

    @property
    def used(self) -> int | None:
        """How many bytes from the beginning were written, for who knows that: only these are cleared.

        It must not be too small, or the next taker reads what was left.  ``None`` clears all.

        :raises LocalError: when it is set to what cannot be; all is cleared then.
        """
        return self._used

    @used.setter
    def used(self, count: int | None) -> None:
        self._used = None
        if count is not None and not (is_whole(count) and 0 <= count <= self._pool.size):
            raise LocalError(f"from 0 to {self._pool.size} bytes were used, or None, not {count!r}")
        self._used = count

    def release(self) -> None:
        """Clear the buffer and give it back.

        :raises LocalError: it was released before.
        """
        memory, self._memory = self._memory, None
        if memory is None:
            raise LocalError("this buffer was released before")
        self._pool._take_back(memory, self.view, self._used)


class AdaptiveBuffer:
    """A queue of bytes in one piece of memory, which doubles as it fills and is given back as it empties.

    Bytes are added at the end (:meth:`append`, or :meth:`room` and :meth:`fill` to read straight into it),
    looked at (:meth:`view`, :meth:`find`), and leave at the front (:meth:`take`, :meth:`drop`).  However
    they are cut, each byte is copied a bounded number of times.

    Its memory is at most four times what it holds, or was asked room for, at most twice ``limit``, and at
    least ``capacity``, which is first taken for the first byte and kept when the last one leaves.  What it
    held can be found in that memory until something else is written there: it is no place for secrets.

    :param capacity: bytes of memory that it begins with and keeps, at least 1.  Who reads straight into it
        wants twice what one read may bring, or memory comes and goes with every read.
    :param limit: how many bytes it may hold.
    """

    __slots__ = (
        "_capacity",
        "_copied",
        "_end",
        "_grown",
        "_least",
        "_limit",
        "_memory",
        "_moved",
        "_peak",
        "_room",
        "_shrunk",
        "_start",
        "_view",
    )

    def __init__(self, capacity: int = CAPACITY, limit: int = LIMIT) -> None:
        if not (is_whole(capacity) and is_whole(limit) and 1 <= capacity <= limit):
            raise LocalError(
                f"1 <= capacity <= limit, whole numbers, not capacity={capacity!r} limit={limit!r}"
            )
        self._least = capacity
        self._limit = limit
        self._start = self._end = self._capacity = self._room = 0
        self._memory = bytearray()
        self._view = memoryview(self._memory)
        self._grown = self._shrunk = self._moved = self._copied = self._peak = 0

    def __repr__(self) -> str:
        return f"<AdaptiveBuffer {len(self)} of {self._capacity} bytes, {self._grown + self._shrunk} resizes>"

    def __len__(self) -> int:
        """Bytes that are held."""
        return self._end - self._start

    def stats(self) -> dict[str, int]:
        """Counts by name: what there is now, then what there was since the beginning.

        ``resizes`` are ``grown`` and ``shrunk`` together; ``moved`` counts how often what was held was moved
        to the front of the memory instead, and ``copied`` the bytes that all of these may have copied.
        ``peak`` is the most memory that there was.
        """
        return {
            "held": len(self),
            "capacity": self._capacity,
            "peak": self._peak,
            "resizes": self._grown + self._shrunk,
            "grown": self._grown,
            "shrunk": self._shrunk,
            "moved": self._moved,
            "copied": self._copied,
        }

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes at the end.

        :raises OutOfResources: more than ``limit`` would be held; nothing is added then.
        """
        self._room = 0
        end = self._end + len(data)
        if end > self._capacity or end - self._start > self._limit:
            self._make_room(len(data))
            end = self._end + len(data)
        self._view[self._end : end] = data
        self._end = end

    def room(self, least: int = 1) -> memoryview:
        """Memory to write into, behind what is held: at least ``least`` bytes, and all that there is.

        What was written is held after one :meth:`fill`, before which nothing may be called that adds bytes,
        lets them leave or gives memory back.

        :raises OutOfResources: more than ``limit`` could be held then.
        :raises LocalError: ``least`` is less than a byte, or no whole number.
        """
        self._room = 0
        if not is_whole(least) or least < 1:
            raise LocalError(f"room for a whole number of bytes, at least 1, not {least!r}")
        if self._end + least > self._capacity or len(self) + least > self._limit:
            self._make_room(least)
        room = self._view[self._end : min(self._capacity, self._start + self._limit)]
        self._room = len(room)
        return room

    def fill(self, count: int) -> None:
        """The first ``count`` bytes of :meth:`room` were written.

        :raises LocalError: that room was smaller, or something else was called since, and there is none.
        """
        if not is_whole(count) or not 0 <= count <= self._room:
            raise LocalError(f"from 0 to {self._room} bytes, for which room was given, not {count!r}")
        self._room = 0
        self._end += count

    def view(self) -> memoryview:
        """What is held, without a copy and read-only, until anything else is called that changes it.

        After that, what an old view shows is anybody's guess, but keeping one does no harm.
        """
        return self._view[self._start : self._end].toreadonly()

    def find(self, wanted: bytes, start: int = 0) -> int:
        """Where ``wanted`` begins, counted from the first byte that is held; -1 when it is not there.

        :param start: where to begin to look, at least 0.
        """
        found = self._memory.find(wanted, self._start + start, self._end)
        return found if found < 0 else found - self._start

    def take(self, count: int | None = None) -> bytes:
        """The first ``count`` bytes, all of them when not told, which leave the buffer.

        :raises LocalError: so many are not held.
        """
        end = self._cut(count)
        data = self._view[self._start : end].tobytes()
        self._leave(end)
        return data

    def drop(self, count: int | None = None) -> None:
        """Let the first ``count`` bytes go, all of them when not told.

        :raises LocalError: so many are not held.
        """
        self._leave(self._cut(count))

    def shrink(self) -> None:
        """Give back all memory that is not needed now, all of it when nothing is held.

        For when memory is short, or a connection has been silent for long: what comes next takes it again.
        """
        self._room = 0
        if self._capacity > len(self):
            self._resize(len(self))

    def _cut(self, count: int | None) -> int:
        if count is None:
            return self._end
        if not is_whole(count) or not 0 <= count <= len(self):
            raise LocalError(f"from 0 to {len(self)} bytes, which are held, not {count!r}")
        return self._start + count

    def _leave(self, start: int) -> None:
        self._start = start
        self._room = 0
        held = self._end - start
        if not held:
            self._start = self._end = 0
        if held * SPARSE <= self._capacity and self._capacity > self._least:
            self._resize(self._size_for(2 * held))

    def _make_room(self, count: int) -> None:
        """Have memory for ``count`` bytes more behind what is held."""
        held = len(self)
        if held + count > self._limit:
            raise OutOfResources(f"{held} and {count} more bytes in a buffer for {self._limit}")
        if held + count > self._capacity:
            self._resize(self._size_for(held + count))
        elif self._start >= held:
            # Since it last moved, at least as many bytes have left as now have to be copied.
            self._view[:held] = self._view[self._start : self._end]
            self._moved += 1
            self._copied += held
            self._start, self._end = 0, held
        else:
            # Never beyond twice the limit: there, more has always left than is held when the end is reached.
            self._resize(min(2 * self._capacity, 2 * self._limit))

    def _size_for(self, count: int) -> int:
        """The memory to have for ``count`` bytes: the least, doubled until they fit."""
        return self._least << (max(0, count - 1) // self._least).bit_length()

    def _resize(self, capacity: int) -> None:
        held = len(self)
        if capacity > self._capacity:
            self._grown += 1
        else:
            self._shrunk += 1
        self._copied += held
        if self._start or not self._stretch(capacity):
            memory = bytearray(capacity)
            view = memoryview(memory)
            view[:held] = self._view[self._start : self._end]
            self._start, self._end = 0, held
            self._memory, self._view = memory, view
        self._capacity = capacity
        self._peak = max(self._peak, capacity)

    def _stretch(self, capacity: int) -> bool:
        """Grow where it stands, if it can.  A large one moves by its page table then, and is not copied."""
        if not self._capacity or capacity <= self._capacity or capacity % self._capacity:
            return False
        try:
            self._view.release()
            self._memory *= capacity // self._capacity
        except BufferError:  # somebody keeps a view
            return False
        finally:
            self._view = memoryview(self._memory)
        return True
