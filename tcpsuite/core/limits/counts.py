"""How many each key has, of what is taken with a verdict and given back."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcpsuite.interfaces import Verdict


class Counts:
    """What is open, by the key of its verdict.  A key that has nothing leaves nothing behind."""

    def __init__(self) -> None:
        self._open: set[Verdict] = set()
        self._counts: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Counts keys={len(self._counts)} open={len(self._open)}>"

    def __len__(self) -> int:
        """All that is open."""
        return len(self._open)

    @property
    def keys(self) -> int:
        """How many have something open."""
        return len(self._counts)

    def of(self, key: str) -> int:
        """How many ``key`` has."""
        return self._counts.get(key, 0)

    def take(self, verdict: Verdict) -> None:
        """One more for its key."""
        self._open.add(verdict)
        self._counts[verdict.key] = self._counts.get(verdict.key, 0) + 1

    def give_back(self, verdict: Verdict) -> bool:
        """What was taken with that verdict is gone; whether it had been here until now."""
        if verdict not in self._open:
            return False
        self._open.remove(verdict)
        left = self._counts[verdict.key] - 1
        if left:
            self._counts[verdict.key] = left
        else:
            del self._counts[verdict.key]
        return True

    def top(self, number: int) -> list[str]:
        """The keys that have most, at most so many."""
        return nlargest(number, self._counts, key=self._counts.__getitem__)
