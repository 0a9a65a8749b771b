"""Objects that cost more to make than to clean, kept for the next one who needs such an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from tcpsuite.errors import LocalError, OutOfResources

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OBJECTS = 100
"""How many a pool keeps, as many as a pool of connections: enough to be useful, too few to be missed."""

T = TypeVar("T")


def is_whole(number: object) -> bool:
    """Whether it is a whole number: neither 1.5 nor ``True`` counts anything."""
    return isinstance(number, int) and not isinstance(number, bool)


class ObjectPool(Generic[T]):
    """Makes objects, leases each to one taker at a time, and cleans them in between.

    The one given back last is leased first, while it is still warm in the processor's cache.  What is idle is
    kept until :meth:`shrink`; what is dropped is left to Python, so this is no place for what must be closed:
    connections have a pool of their own.

    Nothing waits here.  When all objects are leased, further ones are made and dropped after one use, as many
    as ``overflow`` allows; then :class:`~tcpsuite.errors.OutOfResources` is raised.  A taker that forgets to
    give its object back keeps a place for good: :meth:`lease` cannot forget.

    Not for several threads: like the rest of tcpsuite it belongs to the thread of the reactor.

    :param create: makes a new object, never the same twice.
    :param reset: makes an object that was used as good as new.  Called when it is given back, so that it
        holds nothing of its last taker while it is idle.  ``None`` for objects that keep nothing.
    :param minimum: how many are made at once, and outlast :meth:`shrink`.
    :param maximum: how many are kept, leased ones counted; at least 1.
    :param overflow: how many more there may be while all others are leased.
    """

    def __init__(
        self,
        create: Callable[[], T],
        reset: Callable[[T], object] | None = None,
        *,
        minimum: int = 0,
        maximum: int = MAX_OBJECTS,
        overflow: int = 0,
    ) -> None:
        if (
            not all(map(is_whole, (minimum, maximum, overflow)))
            or not 0 <= minimum <= maximum
            or maximum < 1
            or overflow < 0
        ):
            raise LocalError(
                "a pool of 0 <= minimum <= maximum objects, 1 <= maximum and 0 <= overflow, whole numbers, "
                f"not minimum={minimum!r} maximum={maximum!r} overflow={overflow!r}"
            )
        self._create = create
        self._reset = reset
        self._minimum = minimum
        self._maximum = maximum
        self._overflow = overflow
        self._all: dict[int, T] = {}  # by id(), which is nobody else's as long as the object is in here
        self._idle: list[T] = []  # the one given back last at the end
        self._leased: set[int] = set()
        self._peak = self._acquired = self._created = self._overflowed = self._refused = self._dropped = 0
        while len(self._idle) < minimum:
            self._idle.append(self._make())

    def __repr__(self) -> str:
        return f"<ObjectPool leased={len(self._leased)} idle={len(self._idle)} maximum={self._maximum}>"

    def stats(self) -> dict[str, int]:
        """Counts by name: what there is now, then what there was since the beginning.

        ``acquired`` without ``created`` is what the pool has saved; ``peak`` is the most that were leased at
        once.
        """
        return {
            "leased": len(self._leased),
            "idle": len(self._idle),
            "peak": self._peak,
            "acquired": self._acquired,
            "created": self._created,
            "overflowed": self._overflowed,
            "refused": self._refused,
            "dropped": self._dropped,
        }

    def acquire(self) -> T:
        """An object that nobody else has, until it is given to :meth:`release`.

        :raises OutOfResources: all are leased, and those beyond the maximum too.
        :raises LocalError: ``create`` gave an object that is in the pool already.
        :raises Exception: what ``create`` raises; nothing is leased then.
        """
        if self._idle:
            thing = self._idle.pop()
        elif len(self._all) < self._maximum:
            thing = self._make()
        elif len(self._all) < self._maximum + self._overflow:
            thing = self._make()
            self._overflowed += 1
        else:
            self._refused += 1
            raise OutOfResources(f"all {len(self._leased)} objects of the pool are leased")
        self._leased.add(id(thing))
        self._acquired += 1
        if len(self._leased) > self._peak:
            self._peak = len(self._leased)
        return thing

    def release(self, thing: T, reusable: bool = True) -> None:
        """Give back what :meth:`acquire` gave.  It must not be used any more.

        :param reusable: whether it is in a state that ``reset`` can mend; else it is dropped.
        :raises LocalError: it was given back before, or never came from here.
        :raises Exception: what ``reset`` raises; the object is dropped then.
        """
        key = id(thing)
        if key not in self._leased:
            fault = "was given back before" if key in self._all else "is not of this pool"
            raise LocalError(f"an object of {type(thing).__name__} {fault}")
        self._leased.remove(key)
        keep = False
        try:
            if reusable and len(self._all) <= self._maximum:
                if self._reset is not None:
                    self._reset(thing)
                keep = True
        finally:
            if keep:
                self._idle.append(thing)
            else:
                self._drop(thing)

    def lease(self) -> ObjectLease[T]:
        """An object for the length of one ``with`` block, given back at its end.

        When the block ends in an exception the object is dropped: nobody knows what state it is in.
        """
        return ObjectLease(self)

    def shrink(self) -> int:
        """Drop what is idle beyond the minimum, the longest idle first; returns how many that were."""
        count = max(0, min(len(self._idle), len(self._all) - self._minimum))
        for thing in self._idle[:count]:
            self._drop(thing)
        del self._idle[:count]
        return count

    def _make(self) -> T:
        thing = self._create()
        if id(thing) in self._all:
            raise LocalError(f"create gave the same object of {type(thing).__name__} twice")
        self._all[id(thing)] = thing
        self._created += 1
        return thing

    def _drop(self, thing: T) -> None:
        del self._all[id(thing)]
        self._dropped += 1


class ObjectLease(Generic[T]):
    """What :meth:`ObjectPool.lease` gives: acquires when its block begins, releases when that ends."""

    __slots__ = ("_begun", "_pool", "_thing")

    _thing: T

    def __init__(self, pool: ObjectPool[T]) -> None:
        self._pool = pool
        self._begun = False

    def __enter__(self) -> T:
        """
        :raises LocalError: it had its block.
        :raises Exception: what :meth:`ObjectPool.acquire` raises.
        """
        if self._begun:
            raise LocalError("a lease is for one block: ask the pool for another")
        self._thing = self._pool.acquire()
        self._begun = True
        return self._thing

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        self._pool.release(self._thing, reusable=kind is None)
