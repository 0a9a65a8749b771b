"""So many bytes a second: buckets that fill at a rate, and are taken from in small slices.

A bucket begins empty, so that who comes again and again gets no more than who stays.  It holds what comes in
:data:`HOLDS` seconds: so long may be slept without losing any.  What passes leaves in slices of :data:`SLICE`
seconds' worth, so that each tenth of a second has its share.
"""

from __future__ import annotations

from collections.abc import Iterable

from tcpsuite.errors import LocalError

HOLDS = 0.1
"""Seconds whose bytes a bucket holds; a timer that is later than this loses the rest."""
SLICE = 0.02
"""Seconds whose bytes pass together, or none: so often a connection that could be faster sets a timer."""
_GRAIN = 0.01  # bytes by which the fraction of a second that a timer is for may miss; they are owed then


class Bucket:
    """Bytes that may pass now.

    :param rate: bytes a second, more than 0.
    :param now: seconds; it is empty then.
    """

    def __init__(self, rate: float, now: float) -> None:
        if not rate > 0:
            raise LocalError(f"more than 0 bytes a second, not {rate}")
        self.rate = rate
        self._level = 0.0
        self._at = now

    def __repr__(self) -> str:
        return f"<Bucket {self._level:.0f} of {self.rate * HOLDS:.0f}>"

    @property
    def slice(self) -> float:
        """Bytes that pass together; a byte at least."""
        return max(1.0, self.rate * SLICE)

    def level(self, now: float) -> float:
        """Bytes that may pass now."""
        if now > self._at:
            self._level = min(max(1.0, self.rate * HOLDS), self._level + (now - self._at) * self.rate)
        self._at = now  # a clock that is set back gives nothing, and takes nothing
        return self._level

    def take(self, size: int) -> None:
        """So many bytes pass, as :meth:`level` allowed."""
        self._level -= size


class Flow:
    """What passes one way on one connection, through buckets of which others may take too.

    :param buckets: without any, all passes.
    """

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self._buckets = list(buckets)

    def __repr__(self) -> str:
        return f"<Flow {self._buckets!r}>"

    def add(self, bucket: Bucket) -> None:
        """From now on it passes through this one too."""
        self._buckets.append(bucket)

    def take(self, wanted: int, now: float) -> int:
        """How many of ``wanted`` bytes pass now: all, or at least a slice, or none.  They are taken from all
        buckets.
        """
        size = wanted
        for bucket in self._buckets:
            there = bucket.level(now) + _GRAIN
            if there < min(size, bucket.slice):
                return 0
            size = min(size, int(there))
        for bucket in self._buckets:
            bucket.take(size)
        return size

    def wait(self, wanted: int, now: float) -> float:
        """Seconds until a slice may pass, or ``wanted`` bytes if they are less.

        Where others take from the same bucket it may then have to wait again.
        """
        waits = ((min(wanted, bucket.slice) - bucket.level(now)) / bucket.rate for bucket in self._buckets)
        return max((0.0, *waits))


class Shared:
    """The buckets of keys: those who come while others of the key are there take from the same."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._takers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def join(self, key: str, rate: float, now: float) -> Bucket:
        """One more takes from the bucket of ``key``, which has this rate from now on."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(rate, now)
        else:
            bucket.level(now)
            bucket.rate = rate
        self._takers[key] = self._takers.get(key, 0) + 1
        return bucket

    def leave(self, key: str) -> None:
        """One who had joined is gone; the bucket goes with the last."""
        left = self._takers[key] - 1
        if left:
            self._takers[key] = left
        else:
            del self._takers[key], self._buckets[key]
