"""Those who have asked a pool for a connection, and have no answer yet."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.interfaces import ILease
    from tcpsuite.net.deadlines import Deadline


@define(eq=False)
class Taker:
    """Somebody who asked for a connection."""

    answer: Deferred[ILease]
    holder: str
    """Who it is, in their own words."""
    since: float
    """When they asked, on the pool's clock."""
    patience: float | None
    """Seconds that they gave, if they did."""
    waits: bool = False
    """Whether they were not answered at once."""
    deadline: Deadline | None = None

    def left(self, now: float, usual: float) -> float:
        """Seconds that they may wait from now on; ``usual`` when they gave none."""
        return usual if self.patience is None else max(0.0, self.patience - (now - self.since))


class Takers:
    """All of them by number, and how long they have waited.

    :param gave_up: called with the number of one whose Deferred was cancelled.
    """

    def __init__(self, gave_up: Callable[[int], object]) -> None:
        self._gave_up = gave_up
        self._numbers = count(1)
        self._asking: dict[int, Taker] = {}  # in the order in which they came
        self._waited = 0
        self._seconds = self._longest = 0.0

    def __len__(self) -> int:
        return len(self._asking)

    def __contains__(self, number: int) -> bool:
        return number in self._asking

    def __getitem__(self, number: int) -> Taker:
        return self._asking[number]

    def __repr__(self) -> str:
        return f"<Takers {len(self)}>"

    def add(self, holder: str, now: float, patience: float | None) -> tuple[int, Taker]:
        """Somebody asks; gives their number."""
        number = next(self._numbers)
        taker = Taker(Deferred(partial(self._cancelled, number)), holder, now, patience)
        self._asking[number] = taker
        return number, taker

    def keep_waiting(self, taker: Taker) -> bool:
        """They are not answered at once.  Says whether that is news."""
        news, taker.waits = not taker.waits, True
        self._waited += news
        return news

    def settle(self, number: int, now: float) -> Taker:
        """They are about to be answered, or have given up."""
        taker = self._asking.pop(number)
        if taker.deadline is not None:
            taker.deadline.cancel()
        if taker.waits:
            self._seconds += now - taker.since
            self._longest = max(self._longest, now - taker.since)
        return taker

    def stats(self, now: float) -> dict[str, int | float]:
        """Counts and seconds by name; ``longest_wait`` is that of all, and may be going on."""
        oldest = next(iter(self._asking.values())).since if self._asking else now
        return {
            "waiting": len(self._asking),
            "wait_count": self._waited,
            "wait_seconds": self._seconds,
            "longest_wait": max(self._longest, now - oldest),
        }

    def _cancelled(self, number: int, _answer: Deferred[ILease]) -> None:
        self._gave_up(number)
