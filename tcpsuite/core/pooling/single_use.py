"""Connections that are lent once: made when somebody asks, or kept warm for whoever asks next."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tcpsuite.core.pooling.backing_off import BackOff
from tcpsuite.core.pooling.decisions import Close, Connect, Lease, Reject

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
        self._created = self._failed = self._warm_used = self._warm_aged = self._warm_lost = 0
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
        times = [since + self._max_age for since in self._warm.values()]
        if self._missing() > 0:
            times.append(self._back_off.not_before)
        return min(times, default=None)

    def stats(self) -> dict[str, int]:
        """Counts by name: what there is now, then what there was since the beginning."""
        return {
            "connecting": len(self._connecting),
            "refilling": len(self._refilling),
            "warm": len(self._warm),
            "leased": len(self._leased),
            "created": self._created,
            "failed": self._failed,
            "warm_used": self._warm_used,
            "warm_aged": self._warm_aged,
            "warm_lost": self._warm_lost,
        }

    def tick(self, now: float) -> list[Decision]:
        """Time has passed: replace what is too old, fill up what is missing."""
        return [*self._expire(now), *self._refill(now)]

    def acquire(self, taker: int, now: float) -> list[Decision]:
        """``taker`` wants a connection."""
        if self.closed:
            return [Reject(taker, "the pool is closed")]
        decisions = self._expire(now) if self._warm else []
        connection = self.next_warm
        if connection is None:
            connection = next(self._numbers)
            self._connecting[connection] = taker
            decisions.append(Connect(connection))
        else:
            del self._warm[connection]
            self._leased.add(connection)
            self._warm_used += 1
            self._back_off.success()
            decisions.append(Lease(taker, connection))
        return decisions + self._refill(now)

    def give_up(self, taker: int) -> list[Decision]:
        """``taker`` waits no longer; one that was answered already, or is unknown, changes nothing."""
        for connection, waiting in self._connecting.items():
            if waiting == taker:
                del self._connecting[connection]
                return [Close(connection)]
        return []

    def connected(self, connection: int, now: float) -> list[Decision]:
        """A connection is made."""
        if connection in self._connecting:
            self._created += 1
            self._leased.add(connection)
            return [Lease(self._connecting.pop(connection), connection)]
        if connection in self._refilling:
            self._created += 1
            self._refilling.remove(connection)
            self._warm[connection] = now
            # The next one is begun at the next tick: a server that answers at once would be met by a herd.
            return []
        # It was given up in the same breath as it was made.
        return [Close(connection)]

    def failed(self, connection: int, why: str, now: float, chance: float) -> list[Decision]:
        """A connection could not be made; one that was given up before changes nothing.

        :param chance: from 0 up to 1, for the back-off.
        """
        if connection in self._connecting:
            self._failed += 1
            return [Reject(self._connecting.pop(connection), why)]
        if connection in self._refilling:
            self._failed += 1
            self._refilling.remove(connection)
            self._back_off.setback(now, chance)
            return self._refill(now)
        return []

    def lost(self, connection: int, now: float, chance: float) -> list[Decision]:
        """A connection is gone, or the server closed its half while nobody used it.

        :param chance: from 0 up to 1, for the back-off.
        """
        self._leased.discard(connection)
        if connection not in self._warm:
            return []
        # A server that takes connections only to cut them would be connected to in a tight circle.
        del self._warm[connection]
        self._warm_lost += 1
        self._back_off.setback(now, chance)
        return [Close(connection), *self._refill(now)]

    def close(self) -> list[Decision]:
        """Take no new work, answer who waits, give up all but the leases."""
        self.closed = True
        decisions: list[Decision] = [
            Reject(taker, "the pool was closed") for taker in self._connecting.values()
        ]
        for group in (self._connecting, self._refilling, self._warm):
            decisions += map(Close, group)
            group.clear()
        return decisions

    def _expire(self, now: float) -> list[Decision]:
        old = [connection for connection, since in self._warm.items() if now - since >= self._max_age]
        for connection in old:
            del self._warm[connection]
            self._warm_aged += 1
            self._back_off.success()
        return [Close(connection) for connection in old]

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
