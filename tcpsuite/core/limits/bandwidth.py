"""So many bytes a second: buckets that fill at a rate, and are taken from in small slices.

A bucket begins empty, so that who comes again and again gets a slice more at most than who stays.  It holds
what comes in :data:`HOLDS` seconds: so long may be slept without losing any.  What passes leaves in slices of
:data:`SLICE` seconds' worth, so that each tenth of a second has its share.

While a bucket is half full or more nobody needs to be held back, and who asks for each few bytes loses time.
So some may be taken ahead: a slice for all who take from the bucket together, so that never much more is on
its way than it allows.
"""

from __future__ import annotations

from tcpsuite.errors import LocalError

HOLDS = 0.1
"""Seconds whose bytes a bucket holds; a timer that is later than this loses the rest."""
SLICE = 0.02
"""Seconds whose bytes pass together, or none: so often a connection that could be faster sets a timer."""
LEAST_AHEAD = 16 * 1024
"""Bytes from which on it is worth while to take ahead."""
UNBOUNDED = 1 << 62
"""More bytes than ever pass."""
_GRAIN = 0.01  # bytes by which the fraction of a second that a timer is for may miss; they are owed then


class Bucket:
    """Bytes that may pass now.

    :param rate: bytes a second, more than 0.
    :param now: seconds; it is empty then.
    :ivar slice: bytes that pass together; a byte at least.
    :ivar takers: how many take from it.
    """

    __slots__ = ("_at", "_level", "_most", "rate", "slice", "takers")

    def __init__(self, rate: float, now: float) -> None:
        self.change(rate)
        self.takers = 1
        self._level = 0.0
        self._at = now

    def __repr__(self) -> str:
        return f"<Bucket {self._level:.0f} of {self.rate * HOLDS:.0f}>"

    def change(self, rate: float) -> None:
        """From the last look on it fills at this rate."""
        if not rate > 0:
            raise LocalError(f"more than 0 bytes a second, not {rate}")
        self.rate = rate
        self.slice = max(1.0, rate * SLICE)
        self._most = max(1.0, rate * HOLDS)

    def level(self, now: float) -> float:
        """Bytes that may pass now."""
        if now > self._at:
            level = self._level + (now - self._at) * self.rate
            self._level = level if level < self._most else self._most
        self._at = now  # a clock that is set back gives nothing, and takes nothing
        return self._level

    def spare(self, now: float) -> float:
        """Bytes that one who takes from it may take ahead; 0 when it is less than half full."""
        return self.slice / self.takers if self.level(now) * 2 >= self._most else 0.0

    def take(self, size: int) -> None:
        """So many bytes pass, as :meth:`level` or :meth:`spare` allowed; less than 0 are given back."""
        self._level -= size


class Flow:
    """What passes one way on one connection, through buckets of which others may take too.

    :param own: bytes a second of its own bucket; 0: it has none.  Its first slice is lent, so that who has
        little to say waits for nothing.
    :ivar ahead: bytes that were taken already: so many may pass without asking, if they are counted off here.
    """

    __slots__ = ("_buckets", "_lent", "_own", "ahead")

    def __init__(self, own: float = 0.0) -> None:
        self._buckets: list[Bucket] = []
        self._own = own  # until its bucket is needed
        self._lent = False
        self.ahead = 0

    def __repr__(self) -> str:
        return f"<Flow {self._buckets!r} ahead={self.ahead}>"

    def add(self, bucket: Bucket) -> None:
        """From now on it passes through this one too."""
        self.stay()
        self._buckets.append(bucket)

    def take(self, wanted: int, now: float) -> int:
        """How many of ``wanted`` bytes pass now: all, or at least a slice, or none.  They are taken from all
        buckets.
        """
        if self._own:
            self._have_own(now)
        size = wanted
        for bucket in self._buckets:
            there = bucket.level(now) + _GRAIN
            if there < size:
                if there < bucket.slice:
                    return 0
                size = int(there)
        self._take(size)
        return size

    def run_ahead(self, now: float) -> bool:
        """Have some bytes :attr:`ahead`, if there are none, and there is room for that: whether there are.

        What has passed beyond those that were is taken too: it is owed.
        """
        if self.ahead > 0:
            return True
        self.stay()
        size: float = UNBOUNDED
        if self._own:
            if self._lent:
                self._have_own(now)
            else:
                self._lent, size = True, self._own * SLICE
        for bucket in self._buckets:
            size = min(size, bucket.spare(now))
        if size >= LEAST_AHEAD:
            self.ahead = int(size)
            self._take(self.ahead)
        return self.ahead > 0

    def stay(self) -> None:
        """Have none ahead: those that are left are given back."""
        if self.ahead:
            self._take(-self.ahead)
            self.ahead = 0

    def wait(self, wanted: int, now: float) -> float:
        """Seconds until a slice may pass, or ``wanted`` bytes if they are less.

        Where others take from the same bucket it may then have to wait again.
        """
        waits = ((min(wanted, bucket.slice) - bucket.level(now)) / bucket.rate for bucket in self._buckets)
        return max((0.0, *waits))

    def _have_own(self, now: float) -> None:
        self._buckets.append(Bucket(self._own, now))
        self._own = 0.0

    def _take(self, size: int) -> None:
        for bucket in self._buckets:
            bucket.take(size)


class Shared:
    """The buckets of keys: those who come while others of the key are there take from the same."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def join(self, key: str, rate: float, now: float) -> Bucket:
        """One more takes from the bucket of ``key``, which has this rate from now on."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(rate, now)
            return bucket
        if bucket.rate != rate:
            bucket.level(now)
            bucket.change(rate)
        bucket.takers += 1
        return bucket

    def leave(self, key: str) -> None:
        """One who had joined is gone; the bucket goes with the last."""
        bucket = self._buckets[key]
        bucket.takers -= 1
        if not bucket.takers:
            del self._buckets[key]
