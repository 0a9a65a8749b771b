"""So many bytes a second: buckets that fill at a rate, and are taken from in small slices.

A bucket begins empty, and holds what comes in :data:`HOLDS` seconds: so long may be slept without losing any.
What passes leaves in slices of :data:`SLICE` seconds' worth, so that each tenth of a second has its share.

Who is new is lent a slice, so that nobody waits for his first bytes.  Who comes again finds the bucket as he
left it, with what he owes, unless very many have left since: he gains nothing by having gone.

Who finds too little waits, and of those who wait for the same bucket the one goes next who has had least of
it: so all who want much have the same, a slice at a time, and who wants little waits for one slice at most.
(Start-time fair queueing, as Goyal, Vin and Cheng describe it, with equal weights.)  Who comes back after a
while has saved nothing up.

While a bucket is half full or more nobody needs to be held back, and who asks for each few bytes loses time.
So some may be taken ahead: a slice for all who take from the bucket together, so that never much more is on
its way than it allows.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from itertools import count
from typing import Any

from tcpsuite.errors import LocalError

HOLDS = 0.1
"""Seconds whose bytes a bucket holds; a timer that is later than this loses the rest."""
SLICE = 0.02
"""Seconds whose bytes pass together, or none: so often a connection that could be faster sets a timer."""
LEAST_AHEAD = 16 * 1024
"""Bytes from which on it is worth while to take ahead."""
MOST_AHEAD = 4 << 20
"""Bytes beyond which it would save nothing that can be seen."""
REMEMBERED = 1000
"""Keys whose buckets are kept when the last who took from them has gone: 700 bytes each."""
UNBOUNDED = 1 << 62
"""More bytes than ever pass."""
_GRAIN = 0.01  # bytes by which the fraction of a second that a timer is for may miss; they are owed then
_places = count(1)


class Share:
    """What one flow has had of one bucket.

    :ivar bucket: the bucket.
    :ivar given: bytes that it has been given, and that have not passed.
    :ivar mark: bytes that it has had, by the bucket's count: who has the lowest is next.
    :ivar place: its place among those who wait for the bucket; 0 when it does not.
    :ivar who: is to be told when its turn comes, while it waits.
    """

    __slots__ = ("bucket", "given", "mark", "place", "who")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.given = 0
        self.mark = 0.0
        self.place = 0
        self.who: Any = None

    def leave(self) -> None:
        """It does not wait any more."""
        self.place, self.who = 0, None


class Bucket:
    """Bytes that may pass now.

    :param rate: bytes a second, more than 0.
    :param now: seconds; it is empty then.
    :ivar slice: bytes that pass together; a byte at least.
    :ivar takers: how many take from it.
    """

    __slots__ = ("_at", "_lent", "_level", "_most", "_turn", "_waiting", "rate", "slice", "takers")

    def __init__(self, rate: float, now: float) -> None:
        self.change(rate)
        self.takers = 1
        self._level = 0.0
        self._lent = 0.0  # of what was lent, what is left
        self._at = now
        self._turn = 0.0  # the mark of whom it gave to last
        self._waiting: list[tuple[float, int, Share]] = []  # a heap; some may have left

    def __repr__(self) -> str:
        return f"<Bucket {self._level:.0f} of {self.rate * HOLDS:.0f}>"

    def change(self, rate: float) -> None:
        """From the last look on it fills at this rate."""
        if not rate > 0:
            raise LocalError(f"more than 0 bytes a second, not {rate}")
        self.rate = rate
        self.slice = max(1.0, rate * SLICE)
        self._most = max(1.0, rate * HOLDS)

    def lend(self) -> None:
        """Have a slice more in it, which may be taken ahead however empty it is."""
        self._level += self.slice
        self._lent = self.slice

    def level(self, now: float) -> float:
        """Bytes that may pass now."""
        if now > self._at:
            level = self._level + (now - self._at) * self.rate
            self._level = level if level < self._most else self._most
        self._at = now  # a clock that is set back gives nothing, and takes nothing
        return self._level

    def spare(self, now: float) -> float:
        """Bytes that one who takes from it may take ahead; 0 when it is less than half full, but for what was
        lent, or one waits.
        """
        if self._waiting and self.first is not None:
            return 0.0
        ahead = min(self.slice / self.takers, MOST_AHEAD)
        return ahead if self.level(now) * 2 >= self._most else min(ahead, self._lent)

    @property
    def first(self) -> Share | None:
        """Whose turn is next, of those who wait."""
        waiting = self._waiting
        while waiting:
            _, place, share = waiting[0]
            if share.place == place:
                return share
            heappop(waiting)
        return None

    def give(self, share: Share, wanted: int, now: float, who: Any = None) -> bool:
        """Give ``share`` what is wanted, or at least a slice, when it is its turn and there is so much; else
        it waits, and ``who`` is its own word for that.
        """
        there = self.level(now) + _GRAIN
        first = self.first
        mark = max(share.mark, self._turn)
        if (first not in (None, share) and first.mark <= mark) or there < min(wanted, self.slice):
            if not share.place:
                share.mark, share.place, share.who = mark, next(_places), who
                heappush(self._waiting, (mark, share.place, share))
            return False
        share.leave()
        # Who is alone may have all that there is.
        share.given = int(min(wanted, there if self.first is None else self.slice))
        self.take(share, share.given)
        return True

    def take(self, share: Share, size: int) -> None:
        """So many bytes are the share's, as :meth:`spare` allowed."""
        if self._lent > 0.0:
            self._lent = max(0.0, self._lent - size)
        if share.mark > self._turn:
            self._turn = share.mark
        share.mark = self._turn + size
        self._level -= size

    def take_back(self, share: Share, size: int) -> None:
        """So many bytes were not needed; less than 0 are owed."""
        share.mark -= size
        self._level += size


class Flow:
    """What passes one way on one connection, through buckets of which others may take too.

    :param own: bytes a second of its own bucket; 0: it has none.  Its first slice is lent, so that who has
        little to say waits for nothing.
    :param bucket: the first of those that it shares with others.
    :ivar ahead: bytes that were taken already: so many may pass without asking, if they are counted off here.
    :ivar who: is to be told when its turn comes, of whatever kind that is.
    """

    __slots__ = ("_lent", "_own", "_shares", "_waits_for", "ahead", "who")

    def __init__(self, own: float = 0.0, bucket: Bucket | None = None) -> None:
        self._shares = [] if bucket is None else [Share(bucket)]
        self._waits_for: Share | None = None
        self._own = own  # until its bucket is needed
        self._lent = False
        self.ahead = 0
        self.who: Any = None

    def __repr__(self) -> str:
        return f"<Flow {[share.bucket for share in self._shares]!r} ahead={self.ahead}>"

    @property
    def waits(self) -> bool:
        """Whether it waits for a bucket."""
        return self._waits_for is not None

    def add(self, bucket: Bucket) -> None:
        """From now on it passes through this one too."""
        self.stay()
        self._shares.append(Share(bucket))

    def take(self, wanted: int, now: float) -> int:
        """How many of ``wanted`` bytes pass now: all, or at least a slice, or none, and it waits.  They are
        taken from all buckets.
        """
        if self._own:
            self._have_own(now)
        size = wanted
        for share in self._shares:
            # What one has given is kept until all have: who has had a turn does not wait for it again.
            if not (share.given or share.bucket.give(share, size, now, self.who)):
                self._waits_for = share
                return 0
            size = min(size, share.given)
        self._waits_for = None
        self._give_back(size)
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
        for share in self._shares:
            size = min(size, share.bucket.spare(now))
        if size >= LEAST_AHEAD:
            self.ahead = int(size)
            for share in self._shares:
                share.bucket.take(share, self.ahead)
        return self.ahead > 0

    def stay(self) -> None:
        """Have none ahead: those that are left are given back."""
        if self.ahead:
            for share in self._shares:
                share.bucket.take_back(share, self.ahead)
            self.ahead = 0

    def rest(self) -> None:
        """Nothing is to pass for now: it waits for nobody, and keeps nobody waiting."""
        self.stay()
        if self._waits_for is not None:
            self._waits_for.leave()
            self._waits_for = None
            self._give_back(0)

    def wait(self, wanted: int, now: float) -> float | None:
        """Seconds until a slice may pass, or ``wanted`` bytes if they are less.  ``None`` while it is not its
        turn: see :meth:`next`.
        """
        if self._waits_for is not None and self._waits_for.bucket.first is not self._waits_for:
            return None
        waits = (
            (min(wanted, share.bucket.slice) - share.bucket.level(now)) / share.bucket.rate
            for share in self._shares
            if not share.given
        )
        return max((0.0, *waits))

    def next(self) -> list[Any]:
        """The :attr:`who` of those whose turn is next in its buckets, now that it has taken, waits or rests;
        they are to see how long they :meth:`wait`.
        """
        firsts = [share.bucket.first for share in self._shares]
        return [first.who for first in firsts if first is not None and first is not self._waits_for]

    def _have_own(self, now: float) -> None:
        self._shares.append(Share(Bucket(self._own, now)))
        self._own = 0.0

    def _give_back(self, but: int) -> None:
        """Give back what was given, but for so many bytes that pass."""
        for share in self._shares:
            if share.given:
                share.bucket.take_back(share, share.given - but)
                share.given = 0


class Shared:
    """The buckets of keys, two of each: for what arrives, and for what leaves.  All of a key take from the
    same two.

    :param remembered: so many keys are not forgotten when the last of them has left.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._taken: dict[str, tuple[Bucket, Bucket]] = {}
        self._left: OrderedDict[str, tuple[Bucket, Bucket]] = OrderedDict()  # who left first is first
        self._remembered = remembered

    def __len__(self) -> int:
        return len(self._taken)

    def join(self, key: str, rate: float, now: float) -> tuple[Bucket, Bucket]:
        """One more takes from the buckets of ``key``, which have this rate from now on."""
        both = self._taken.get(key)
        if both is None:
            both = self._left.pop(key, None)
            if both is None:
                both = self._taken[key] = Bucket(rate, now), Bucket(rate, now)
                for bucket in both:
                    bucket.lend()
                return both
            self._taken[key] = both
        for bucket in both:
            if bucket.rate != rate:
                bucket.level(now)
                bucket.change(rate)
            bucket.takers += 1
        return both

    def leave(self, key: str) -> None:
        """One who had joined is gone."""
        both = self._taken[key]
        for bucket in both:
            bucket.takers -= 1
        if not both[0].takers:
            self._left[key] = self._taken.pop(key)
            if len(self._left) > self._remembered:
                self._left.popitem(last=False)
