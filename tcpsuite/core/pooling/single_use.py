"""Connections that are lent once: made when somebody asks, or kept warm for whoever asks next."""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TYPE_CHECKING

from tcpsuite.core.pooling.backing_off import BackOff
from tcpsuite.core.pooling.decisions import Close, Connect, End, Lease, Refusal, Reject

if TYPE_CHECKING:
    from tcpsuite.core.pooling.decisions import Decision
    from tcpsuite.core.pooling.settings import PoolSettings


class SingleUse:
    """The connections to one server in the modes ``on_demand`` and ``preconnect``.

    ::

        acquire ──> Connect ──> connecting ──────────────> leased ──> lost
                                refilling ──> warm ──> (acquire)

    A lease leaves the pool: ``max_connections`` bounds those that are warm or are to become so.  A taker may
    always connect; how many run at once is the server's own limit.

    :param settings: the minimum is how many are kept warm.
    :ivar closed: whether it takes no more work.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._target = min(settings.kept, settings.max_connections)
        self._max_age = settings.warm_max_age
        self._max_connecting = settings.max_connecting
        self._numbers = count(1)
        self._connecting: dict[int, int] = {}  # connection: its taker
        self._refilling: set[int] = set()
        self._warm: dict[int, float] = {}  # connection: since when; the oldest first
        self._leased: set[int] = set()
        self._back_off = BackOff(settings)
        self._created = self._failed = self._leases = self._warm_used = self._warm_aged = self._warm_lost = 0
        self.closed = False

    def __repr__(self) -> str:
        state = "closed " if self.closed else ""
        return (
            f"<SingleUse {state}connecting={len(self._connecting)} refilling={len(self._refilling)} "
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
            "connecting": len(self._connecting),
            "refilling": len(self._refilling),
            "warm": len(self._warm),
            "leased": len(self._leased),
            "open": sum(map(len, (self._connecting, self._refilling, self._warm, self._leased))),
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

    def acquire(self, taker: int, now: float) -> list[Decision]:
        """``taker`` wants a connection."""
        if self.closed:
            return [Reject(taker, "the pool is closed", Refusal.CLOSED)]
        decisions = self._expire(now) if self._warm else []
        connection = self.next_warm
        if connection is None:
            connection = next(self._numbers)
            self._connecting[connection] = taker
            decisions.append(Connect(connection, taker))
        else:
            del self._warm[connection]
            self._warm_used += 1
            self._back_off.success()
            decisions.append(self._lend(taker, connection))
        return decisions + self._refill(now)

    def give_up(self, taker: int) -> list[Decision]:
        """``taker`` waits no longer; one that was answered already, or is unknown, changes nothing."""
        for connection, waiting in self._connecting.items():
            if waiting == taker:
                del self._connecting[connection]
                return [Close(connection, End.UNWANTED)]
        return []

    def connected(self, connection: int, now: float, chance: float) -> list[Decision]:
        """A connection is made.

        :param chance: for the lifetime of those that are used again; here nothing.
        """
        if connection in self._connecting:
            self._created += 1
            return [self._lend(self._connecting.pop(connection), connection)]
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
        """A connection could not be made; one that was given up before changes nothing.

        :param why: in words, for who waits.
        :param chance: from 0 up to 1, for the back-off.
        :param refusal: what kind of failure it was.
        """
        if connection in self._connecting:
            self._failed += 1
            return [Reject(self._connecting.pop(connection), why, refusal)]
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
        """Take no new work, answer who waits, give up all but the leases."""
        self.closed = True
        decisions: list[Decision] = [
            Reject(taker, "the pool was closed", Refusal.CLOSED) for taker in self._connecting.values()
        ]
        for group in (self._connecting, self._refilling, self._warm):
            decisions += [Close(connection, End.UNWANTED) for connection in group]
            group.clear()
        return decisions

    def _lend(self, taker: int, connection: int) -> Lease:
        self._leased.add(connection)
        self._leases += 1
        return Lease(taker, connection)

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
