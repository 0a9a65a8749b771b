"""The connections of a pool that nobody has, and when they are looked at."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tcpsuite.core.pooling.settings import LIFO

if TYPE_CHECKING:
    from tcpsuite.core.pooling.decisions import End
    from tcpsuite.core.pooling.pooled import Pooled
    from tcpsuite.core.pooling.settings import PoolSettings


class Idle:
    """Connections in the order in which they were last used.

    :param settings: which of them is the next, and what they are looked at for.
    :ivar look_at: when :meth:`look` is to be called; infinite while there is nothing to look at.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._last_first = settings.idle_order == LIFO
        self._pooled: dict[int, Pooled] = {}
        self._sweep_at = self._check_at = self.look_at = inf

    def __len__(self) -> int:
        return len(self._pooled)

    def __repr__(self) -> str:
        return f"<Idle {list(self._pooled)}>"

    def next(self) -> Pooled:
        """The one to be lent next; there has to be one."""
        pooled = self._pooled.values()
        return next(reversed(pooled) if self._last_first else iter(pooled))

    def add(self, pooled: Pooled, now: float) -> None:
        """One more.  To be asked whether it works is no use: one that was keeps its place by its last use."""
        used_later = []
        while self._pooled and next(reversed(self._pooled.values())).since > pooled.since:
            used_later.append(self._pooled.popitem())
        self._pooled[pooled.number] = pooled
        self._pooled.update(reversed(used_later))
        if self._sweep_at == inf:
            self._sweep_at = now + self._settings.eviction_interval
        if self._check_at == inf:
            self._check_at = now + self._settings.health_check_interval
        self.look_at = min(self._sweep_at, self._check_at)

    def pop(self, number: int) -> Pooled | None:
        """Take this one out, if it is there."""
        return self._pooled.pop(number, None)

    def clear(self) -> list[Pooled]:
        """Take all of them out."""
        pooled = list(self._pooled.values())
        self._pooled.clear()
        return pooled

    def shed(self, number: int) -> list[Pooled]:
        """Take out so many, as far as there are, of which the last use is longest ago."""
        pooled = list(self._pooled.values())[: max(0, number)]
        for each in pooled:
            del self._pooled[each.number]
        return pooled

    def look(self, now: float, surplus: int) -> tuple[list[tuple[Pooled, End]], list[Pooled]]:
        """Take those out that are to be idle no longer, and those that are to be asked whether they work.

        :param surplus: how many connections there are above the minimum.
        :return: the first, each with why; and the others.
        """
        over: list[tuple[Pooled, End]] = []
        unproved: list[Pooled] = []
        if now >= self._sweep_at:
            for pooled in tuple(self._pooled.values()):
                end = pooled.overdue(now, self._settings, surplus > len(over))
                if end is not None:
                    del self._pooled[pooled.number]
                    over.append((pooled, end))
            self._sweep_at = now + self._settings.eviction_interval if self._pooled else inf
        if now >= self._check_at:
            interval = self._settings.health_check_interval
            unproved = [pooled for pooled in self._pooled.values() if now >= pooled.proved + interval]
            for pooled in unproved:
                del self._pooled[pooled.number]
            self._check_at = now + interval if self._pooled else inf
        self.look_at = min(self._sweep_at, self._check_at)
        return over, unproved
