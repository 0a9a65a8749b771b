"""Clients that wait for a server: in a queue, for a bounded time, while there is none for them.

A :class:`Queue` says whose turn it is, and whose time is over.  Whether there is a server for a client its
owner knows.  Clients are numbers.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.core.deadlines import Timetable

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1000
"""Clients that wait at most: each holds a descriptor, and what it has said."""


class WhyHeld(Enum):
    """Why a client waits."""

    PAUSED = "paused"  # an operator holds all clients back, or lets them go on at a pace
    FULL = "full"  # every server that it could have has as many connections as it takes
    NONE_UP = "none_up"  # no server takes connections, or all that do have just failed it
    RETRIES = "retries"  # as many others are tried with another server as may be at once


@frozen
class Waiting:
    """A client that waits."""

    taker: int
    why: WhyHeld
    since: float
    again: float | None = None
    """When servers that have failed it may be tried again; ``None`` for never."""


class Queue:
    """Who came first is served first.

    :param most: past so many, nobody more may wait.
    :ivar paused: whether nobody is served.
    :ivar timed_out: how many have waited in vain, those included who had no time to wait.
    :ivar refused: how many came when it was full.
    :ivar longest: seconds that somebody has waited at most, of those who wait no more.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.paused = False
        self.timed_out = 0
        self.refused = 0
        self.longest = 0.0
        self._waiting: dict[int, Waiting] = {}
        self._patience: Timetable[int] = Timetable()
        self._resting: Timetable[int] = Timetable()
        self._pace = 0.0
        self._next_at = 0.0

    def __repr__(self) -> str:
        state = "paused" if self.paused else f"{1 / self._pace:g} a second" if self._pace else "open"
        return f"<Queue {state} waiting={len(self._waiting)}>"

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        """Those who wait, in the order in which they came."""
        return iter(self._waiting.values())

    @property
    def rate(self) -> float:
        """How many are served a second; 0 when nobody is slowed down."""
        return 1 / self._pace if self._pace and not self.paused else 0.0

    @property
    def held_back(self) -> bool:
        """Whether who comes now has to wait, whatever servers there are: it is paused, or others are served
        at a pace.
        """
        return self.paused or bool(self._pace)

    def enter(self, taker: int, why: WhyHeld, now: float, limit: float, again: float | None = None) -> bool:
        """``taker`` begins to wait, for ``limit`` seconds at most.

        :param again: when servers that have failed it may be tried again.
        :return: whether there was room.
        """
        if len(self._waiting) >= self.most:
            self.refused += 1
            return False
        self._waiting[taker] = Waiting(taker, why, now, again)
        self._patience.add(taker, now + limit)
        if again is not None:
            self._resting.add(taker, again)
        return True

    def turn_away(self, taker: int, why: WhyHeld, now: float) -> Waiting:
        """``taker`` would have to wait, and has no time for that."""
        self.timed_out += 1
        return Waiting(taker, why, now)

    def leave(self, taker: int, now: float) -> None:
        """``taker`` waits no longer; one that does not wait changes nothing."""
        waiting = self._waiting.pop(taker, None)
        if waiting is not None:
            self._patience.remove(taker)
            self._resting.remove(taker)
            self.longest = max(self.longest, now - waiting.since)
        if not self._waiting:
            # Who comes next is not slowed down by those who are gone.
            self._pace = 0.0
            self._next_at = now

    def expire(self, now: float) -> list[Waiting]:
        """Those whose time is over, up to a sixteenth of a second late; they wait no longer."""
        self._resting.due(now)
        over = [self._waiting[taker] for taker in self._patience.due(now)]
        for waiting in over:
            self.leave(waiting.taker, now)
            self.timed_out += 1
        return over

    def may_serve(self, now: float) -> bool:
        """Whether one of those who wait may be served now.  Who serves one says so by :meth:`served`."""
        return bool(self._waiting) and not self.paused and now >= self._next_at

    def served(self, taker: int, now: float) -> None:
        """There is a server for ``taker``: the next one's turn comes as the pace says."""
        if self._pace:
            # In step with the pace from the first on; of a time when none was served one turn is made up for.
            self._next_at = max(self._next_at, now - self._pace) + self._pace
        self.leave(taker, now)

    def due(self, now: float) -> float | None:
        """When somebody's time is over, or the next one may be served, if nothing happens before; ``None``
        for never.  One who might be served already waits for a server, not for a time.

        :param now: when :meth:`may_serve` was asked last.
        """
        due = min(
            (due for due in (self._patience.next(), self._resting.next()) if due is not None), default=None
        )
        if due is not None and self._pace and not self.paused and self._next_at > now:
            due = min(due, self._next_at)
        return due

    def pause(self) -> None:
        """Serve nobody until :meth:`resume`."""
        self.paused = True

    def resume(self, rate: float, now: float) -> None:
        """Serve those who wait, ``rate`` of them a second; 0: as fast as there are servers."""
        self.paused = False
        self._pace = 1 / rate if rate and self._waiting else 0.0
        self._next_at = now

    def stats(self, now: float) -> dict[str, int | float]:
        """How many wait, and what became of those who did; waits in seconds."""
        first = next(iter(self._waiting.values()), None)
        oldest = now - first.since if first else 0.0
        return {
            "waiting": len(self._waiting),
            "longest_wait": max(self.longest, oldest),
            "timed_out": self.timed_out,
            "refused": self.refused,
        }
