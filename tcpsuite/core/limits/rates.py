"""So many a second, and so many at once: one number a key.

The rule is the Generic Cell Rate Algorithm of ATM (ITU-T I.371, annex A): of each key is kept the time at
which all that it has spent will be paid for, at so much a second; it may be ahead of now by no more than the
burst takes.  It allows what a bucket does that holds ``burst`` and refills at ``rate``, without refilling.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import nlargest

from tcpsuite.errors import LocalError

KEYS = 100_000
"""Keys that are remembered: 16 to 18 MiB of them, and more than a flood has addresses."""

_GRAIN = 1e-6  # seconds by which sums of binary fractions may miss


class Rates:
    """What each key has spent of late.

    What is paid for is forgotten in passing.  Past ``capacity`` the key is forgotten that was heard of
    longest ago, in the same time whatever their number.

    :param capacity: keys that are remembered, at least 1.
    """

    def __init__(self, capacity: int = KEYS) -> None:
        if capacity < 1:
            raise LocalError(f"room for at least 1 key, not {capacity}")
        self.capacity = capacity
        # A plain dict would look for its oldest key among all that were taken from its front.
        self._paid_at: OrderedDict[str, float] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Rates keys={len(self._paid_at)}>"

    def __len__(self) -> int:
        return len(self._paid_at)

    def spend(self, key: str, amount: float, rate: float, burst: float, now: float) -> float:
        """May ``key`` spend ``amount``?  If so it is spent; a refusal costs nothing.

        :param rate: so much a second is free again, more than 0.
        :param burst: so much may be spent at once.
        :return: 0 if so; else the seconds after which it may, endless if it is more than a burst.
        """
        paid_at = self._paid_at
        longest = burst / rate
        until = paid_at.get(key, now)
        # Nobody waits longer than for a whole burst, though the clock or the rate was another before.
        until = now if until < now else min(until, now + longest)
        then = until + amount / rate
        wait = then - now - longest
        if wait > _GRAIN:
            if key in paid_at:
                paid_at[key] = until
                paid_at.move_to_end(key)
            return wait if amount <= burst else float("inf")
        paid_at[key] = then
        paid_at.move_to_end(key)
        if paid_at[next(iter(paid_at))] <= now:
            self._forget_paid(now)
        if len(paid_at) > self.capacity:
            paid_at.popitem(last=False)
        return 0.0

    def spent(self, key: str, rate: float, now: float) -> float:
        """How much of its burst ``key`` has spent, and not yet been given back."""
        return max(0.0, self._paid_at.get(key, now) - now) * rate

    def top(self, number: int, now: float) -> list[str]:
        """The keys that have to wait longest until all is paid for, at most so many."""
        most = nlargest(number, ((then, key) for key, then in self._paid_at.items() if then > now))
        return [key for _, key in most]

    def _forget_paid(self, now: float) -> None:
        """Forget up to two that have nothing to pay, so that they go faster than others come."""
        paid_at = self._paid_at
        for _ in range(2):
            oldest = next(iter(paid_at))
            if paid_at[oldest] > now:
                break
            del paid_at[oldest]
