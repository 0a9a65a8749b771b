"""Connections that are lent once: kept warm for whoever asks next, or a taker's own from the start."""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TYPE_CHECKING

from tcpsuite.core.pooling.backing_off import BackOff
from tcpsuite.core.pooling.decisions import Close, Connect, End, Refusal

if TYPE_CHECKING:
    from tcpsuite.core.pooling.decisions import Decision
    from tcpsuite.core.pooling.settings import PoolSettings


class SingleUse:
    """The connections to one server in the modes ``on_demand`` and ``preconnect``.

    ::

        Connect ──> refilling ──> warm ──take──> leased ──> lost
                         begin ──> connecting ──> leased

    A lease leaves the pool: ``max_connections`` bounds those that are warm or are to become so.  A taker for
    whom none is warm has one made that is its own, and may always; how many run at once is the server's own
    limit.

    :param settings: the minimum is how many are kept warm.
    :ivar closed: whether it takes no more work.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._target = min(settings.kept, settings.max_connections)
        self._max_age = settings.warm_max_age
        self._max_connecting = settings.max_connecting
        self._numbers = count(1)
        self._connecting = 0  # by takers, for themselves
        self._refilling: set[int] = set()
        self._warm: dict[int, float] = {}  # connection: since when; the oldest first
        self._leased: set[int] = set()
        self._back_off = BackOff(settings)
        self._created = self._failed = self._leases = self._warm_used = self._warm_aged = self._warm_lost = 0
        self.closed = False

    def __repr__(self) -> str:
        state = "closed " if self.closed else ""
        return (
            f"<SingleUse {state}connecting={self._connecting} refilling={len(self._refilling)} "
            f"warm={len(self._warm)} leased={len(self._leased)}>"
        )

    @property
    def next_warm(self) -> int | None:
        """The warm connection that the next taker would get: the oldest, so that few are made in vain."""
        return next(iter(self._warm), None)

    def due(self) -> float | None:
        """When :meth:`tick` is to be called, if nothing happens before; ``None`` for never."""
        if not self._target:
            return None
        # Behind each lease this is asked: the oldest warm one speaks for all.
        due = next(iter(self._warm.values())) + self._max_age if self._warm else inf
        if self._missing() > 0:
            due = min(due, self._back_off.not_before)
        return due if due < inf else None

    def stats(self) -> dict[str, int]:
        """Counts by name: what there is now, then what there was since the beginning."""
        return {
            "connecting": self._connecting,
            "refilling": len(self._refilling),
            "warm": len(self._warm),
            "leased": len(self._leased),
            "open": self._connecting + len(self._refilling) + len(self._warm) + len(self._leased),
            "max_open": 0,
            "leases": self._leases,
            "created": self._created,
            "failed": self._failed,
            "warm_used": self._warm_used,
            "closed_aged": self._warm_aged,
            "closed_lost": self._warm_lost,
        }

    def tick(self, now: float) -> list[Decision]:
        """Time has passed: replace what is too old, fill up what is missing."""
        return [*self._expire(now), *self._refill(now)]

    def take(self, now: float) -> tuple[int | None, list[Decision]]:
        """A taker comes: the warm connection that is lent to it, if there is one, and what else is to be
        done.
        """
        decisions = self._expire(now) if self._warm else []
        connection = self.next_warm
        if connection is not None:
            del self._warm[connection]
            self._warm_used += 1
            self._back_off.success()
            self._lend(connection)
        return connection, decisions + self._refill(now) if self._target else decisions

    def begin(self) -> int:
        """A taker has a connection made for itself; gives its number."""
        self._connecting += 1
        return next(self._numbers)

    def made(self, connection: int) -> None:
        """A taker's own connection is made, and lent to it."""
        self._connecting -= 1
        self._created += 1
        self._lend(connection)

    def not_made(self, failed: bool) -> None:
        """A taker's own connection failed, or was given up."""
        self._connecting -= 1
        self._failed += failed

    def connected(self, connection: int, now: float, chance: float) -> list[Decision]:
        """A connection of the supply is made.

        :param chance: for the lifetime of those that are used again; here nothing.
        """
        if connection in self._refilling:
            self._created += 1
            self._refilling.remove(connection)
            self._warm[connection] = now
            # The next one is begun at the next tick: a server that answers at once would be met by a herd.
            return []
        # It was given up in the same breath as it was made.
        return [Close(connection, End.UNWANTED)]

    def failed(
        self, connection: int, why: str, now: float, chance: float, refusal: Refusal = Refusal.FAILED
    ) -> list[Decision]:
        """A connection of the supply could not be made; one that was given up before changes nothing.

        :param why: in words, for who waits; here nobody does.
        :param chance: from 0 up to 1, for the back-off.
        :param refusal: what kind of failure it was.
        """
        if connection in self._refilling:
            self._failed += 1
            self._refilling.remove(connection)
            self._back_off.setback(now, chance)
            return self._refill(now)
        return []

    def release(self, connection: int, now: float, reusable: bool = True, ok: bool = True) -> list[Decision]:
        """A lease is over; one that is over already changes nothing.  Nobody else gets its connection."""
        return [Close(connection, End.RELEASED)] if connection in self._leased else []

    def unfit(self, connection: int, now: float, chance: float) -> list[Decision]:
        """The server closed its half of a warm connection.

        :param chance: from 0 up to 1, for the back-off.
        """
        if connection not in self._warm:
            return []
        decisions = self.lost(connection, now, chance)
        return [Close(connection, End.LOST), *decisions]

    def lost(self, connection: int, now: float, chance: float) -> list[Decision]:
        """A connection is gone, whoever had it.

        :param chance: from 0 up to 1, for the back-off.
        """
        self._leased.discard(connection)
        if connection not in self._warm:
            return []
        # A server that takes connections only to cut them would be connected to in a tight circle.
        del self._warm[connection]
        self._warm_lost += 1
        self._back_off.setback(now, chance)
        return self._refill(now)

    def close(self) -> list[Decision]:
        """Take no new work, give up all but the leases and what takers have made for themselves."""
        self.closed = True
        decisions: list[Decision] = []
        for group in (self._refilling, self._warm):
            decisions += [Close(connection, End.UNWANTED) for connection in group]
            group.clear()
        return decisions

    def _lend(self, connection: int) -> None:
        self._leased.add(connection)
        self._leases += 1

    def _expire(self, now: float) -> list[Decision]:
        # The very sum that is due: for another one, equal on paper, a clock may ring in vain for ever.
        decisions: list[Decision] = []
        while (oldest := self.next_warm) is not None and now >= self._warm[oldest] + self._max_age:
            del self._warm[oldest]
            self._warm_aged += 1
            self._back_off.success()
            decisions.append(Close(oldest, End.AGED))
        return decisions

    def _missing(self) -> int:
        """How many warm connections may be begun, were it time."""
        if self.closed:
            return 0
        return min(
            self._target - len(self._warm) - len(self._refilling),
            self._max_connecting - len(self._refilling),
        )

    def _refill(self, now: float) -> list[Decision]:
        if not self._target or now < self._back_off.not_before:
            return []
        begun = [next(self._numbers) for _ in range(self._missing())]
        self._refilling.update(begun)
        return [Connect(connection) for connection in begun]
