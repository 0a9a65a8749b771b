"""Those who have asked a pool for a connection: who they are, and how long they wait."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tcpsuite.interfaces import ILease
    from tcpsuite.net.deadlines import Deadline


@define(eq=False)
class Taker:
    """Somebody who is to get a connection that others have had before, or will have."""

    answer: Deferred[ILease]
    holder: str
    """Who it is, in their own words."""
    since: float
    """When they asked, on the pool's clock."""
    deadline: Deadline | None = None


class Takers:
    """All of them by number.

    :param gave_up: called with the number of one whose Deferred was cancelled.
    """

    def __init__(self, gave_up: Callable[[int], object]) -> None:
        self._gave_up = gave_up
        self._numbers = count(1)
        self._asking: dict[int, Taker] = {}

    def __len__(self) -> int:
        return len(self._asking)

    def __iter__(self) -> Iterator[int]:
        """Their numbers, in the order in which they came."""
        return iter(self._asking)

    def __contains__(self, number: int) -> bool:
        return number in self._asking

    def __getitem__(self, number: int) -> Taker:
        return self._asking[number]

    def __repr__(self) -> str:
        return f"<Takers {len(self)}>"

    def add(self, holder: str, now: float) -> tuple[int, Taker]:
        """Somebody asks; gives their number."""
        number = next(self._numbers)
        taker = self._asking[number] = Taker(Deferred(partial(self._cancelled, number)), holder, now)
        return number, taker

    def settle(self, number: int) -> Taker:
        """They are about to be answered, or have given up."""
        taker = self._asking.pop(number)
        if taker.deadline is not None:
            taker.deadline.cancel()
        return taker

    def _cancelled(self, number: int, _answer: Deferred[ILease]) -> None:
        self._gave_up(number)


class Waits:
    """How long those wait who are not answered at once."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._since: dict[int, float] = {}  # in the order in which they came
        self._seconds = self._longest = 0.0
        self._count = 0

    def __len__(self) -> int:
        return len(self._since)

    def __repr__(self) -> str:
        return f"<Waits {len(self)}>"

    def begin(self, now: float) -> int:
        """Somebody begins to wait; gives the number to :meth:`end` it by."""
        self._count += 1
        number = next(self._numbers)
        self._since[number] = now
        return number

    def end(self, number: int, now: float) -> None:
        """They wait no more."""
        seconds = now - self._since.pop(number)
        self._seconds += seconds
        self._longest = max(self._longest, seconds)

    def stats(self, now: float) -> dict[str, int | float]:
        """Counts and seconds by name; ``longest_wait`` is that of all, and may be going on."""
        oldest = next(iter(self._since.values()), now)
        return {
            "waiting": len(self._since),
            "wait_count": self._count,
            "wait_seconds": self._seconds,
            "longest_wait": max(self._longest, now - oldest),
        }
