"""Many deadlines in one structure, of which one timer needs to know only the next.

Time is cut into slots of :data:`GRAIN` seconds, and a deadline belongs to the slot in which it ends: it is
met when that slot is over, up to one grain late and never early.  Connections that come close together share
a slot, so to add and to remove costs the same whatever their number; only a new slot is sorted in.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import ceil
from typing import Generic, TypeVar

GRAIN = 1 / 16
"""Seconds that a deadline may be met late: nobody notices them in a time-out of seconds.  Being a power of
two, it divides whole seconds without a rest.
"""

SPARE = 8
"""Numbers of slots that are no more, which are kept in order though they are more than half."""

Key = TypeVar("Key")


class Timetable(Generic[Key]):
    """Deadlines by key, one for each key.

    Times are seconds on any one clock.
    """

    def __init__(self) -> None:
        self._slot_of: dict[Key, int] = {}
        self._slots: dict[int, dict[Key, None]] = {}
        self._order: list[int] = []  # a heap of the slots that there are, and of some that were

    def __repr__(self) -> str:
        return f"<Timetable deadlines={len(self)} slots={len(self._slots)}>"

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, key: Key, due: float) -> float:
        """``key`` has time until ``due``; what it had before counts no more.

        :return: when its deadline will be met.
        """
        if key in self._slot_of:
            self.remove(key)
        number = ceil(due / GRAIN)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            heappush(self._order, number)
        slot[key] = None
        self._slot_of[key] = number
        return number * GRAIN

    def remove(self, key: Key) -> None:
        """``key`` has no deadline any more; nothing happens if it had none."""
        number = self._slot_of.pop(key, None)
        if number is None:
            return
        slot = self._slots[number]
        del slot[key]
        if not slot:
            del self._slots[number]
            # Nobody may ever ask for what is due again, or what stays may be the first for hours.
            if len(self._order) > 2 * len(self._slots) + SPARE:
                self._order = list(self._slots)
                heapify(self._order)

    def next(self) -> float | None:
        """When the first deadline will be met; ``None`` when there is none."""
        while self._order and self._order[0] not in self._slots:
            heappop(self._order)
        return self._order[0] * GRAIN if self._order else None

    def due(self, now: float) -> list[Key]:
        """The keys whose time is over, slot by slot, in a slot as they were added.  They have no deadline any
        more.
        """
        over: list[Key] = []
        while self._order and self._order[0] * GRAIN <= now:
            over += self._slots.pop(heappop(self._order), ())
        for key in over:
            del self._slot_of[key]
        return over
