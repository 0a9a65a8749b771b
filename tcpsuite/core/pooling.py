"""What a pool of connections to one server does next.

A :class:`PoolState` is told what happens and answers with decisions, which its owner carries out in order.
Connections and takers (those who wait for one) are numbers: the state gives a connection its number in
:class:`Connect`, the owner gives a taker its own.  What is decided is marked in the same step: a leased
connection is leased before anybody else can see it warm.

::

    acquire ──> Connect ──> connecting ──────────────> leased ──> lost
                            refilling ──> warm ──> (acquire)
"""

from __future__ import annotations

from itertools import count

from attrs import frozen

MAX_CONNECTING = 4
"""Refilling connections under way at once: a server that has just come back is not met by a herd."""

BACK_OFF = 0.2
"""Seconds to the first new try when a warm connection failed, or was cut by the server."""

BACK_OFF_FACTOR = 1.5
BACK_OFF_LIMIT = 30.0
"""Seconds between two tries at most: a server that comes back is warm again half a minute later."""


def back_off(setbacks: int, chance: float) -> float:
    """Seconds to wait after ``setbacks`` earlier setbacks in a row.

    :param chance: from 0 up to 1, takes up to a half away, so that many pools do not try in step.
    """
    # The exponent is bounded, for a float overflows long before a server that is never repaired is given up.
    return min(BACK_OFF_LIMIT, BACK_OFF * BACK_OFF_FACTOR ** min(setbacks, 100)) * (1 - chance / 2)


@frozen
class Connect:
    """Begin to make this connection; say ``connected`` or ``failed`` when it is known."""

    connection: int


@frozen
class Lease:
    """Give this connection to this taker, for good."""

    taker: int
    connection: int


@frozen
class Close:
    """Give this connection up, made or still being made."""

    connection: int


@frozen
class Reject:
    """Tell this taker that it gets none, and why."""

    taker: int
    why: str


Decision = Connect | Lease | Close | Reject


class PoolState:
    """The connections to one server, and what is to be done about them.

    :param warm: how many are kept warm, each used once; 0 connects when asked, and only then.
    :param warm_max_age: seconds after which a warm one is replaced.
    :param max_connections: no warm one is made while there are so many, leased ones counted.  Takers are
        never refused for it: how many run at once is the server's own limit.
    """

    def __init__(self, warm: int = 0, warm_max_age: float = 5.0, max_connections: int = 100) -> None:
        self._target = warm
        self._max_age = warm_max_age
        self._max_connections = max_connections
        self._numbers = count(1)
        self._connecting: dict[int, int] = {}  # connection: its taker
        self._refilling: set[int] = set()
        self._warm: dict[int, float] = {}  # connection: since when; the oldest first
        self._leased: set[int] = set()
        self._setbacks = 0
        self._not_before = 0.0
        self._created = self._failed = self._warm_used = self._warm_aged = self._warm_lost = 0
        self.closed = False

    def __repr__(self) -> str:
        state = "closed " if self.closed else ""
        return (
            f"<PoolState {state}connecting={len(self._connecting)} refilling={len(self._refilling)} "
            f"warm={len(self._warm)} leased={len(self._leased)}>"
        )

    @property
    def total(self) -> int:
        """All connections, those being made included."""
        return len(self._connecting) + len(self._refilling) + len(self._warm) + len(self._leased)

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
            times.append(self._not_before)
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
            self._setbacks = 0
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

        :param chance: from 0 up to 1, for :func:`back_off`.
        """
        if connection in self._connecting:
            self._failed += 1
            return [Reject(self._connecting.pop(connection), why)]
        if connection in self._refilling:
            self._failed += 1
            self._refilling.remove(connection)
            self._setback(now, chance)
            return self._refill(now)
        return []

    def lost(self, connection: int, now: float, chance: float) -> list[Decision]:
        """A connection is gone, or the server closed its half while nobody used it.

        :param chance: from 0 up to 1, for :func:`back_off`.
        """
        self._leased.discard(connection)
        if connection not in self._warm:
            return self._refill(now)
        # A server that takes connections only to cut them would be connected to in a tight circle.
        del self._warm[connection]
        self._warm_lost += 1
        self._setback(now, chance)
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
            self._setbacks = 0
        return [Close(connection) for connection in old]

    def _missing(self) -> int:
        """How many warm connections may be begun, were it time."""
        if self.closed:
            return 0
        return min(
            self._target - len(self._warm) - len(self._refilling),
            MAX_CONNECTING - len(self._refilling),
            self._max_connections - self.total,
        )

    def _refill(self, now: float) -> list[Decision]:
        if not self._target or now < self._not_before:
            return []
        begun = [next(self._numbers) for _ in range(self._missing())]
        self._refilling.update(begun)
        return [Connect(connection) for connection in begun]

    def _setback(self, now: float, chance: float) -> None:
        # Those that were begun together fail together, and count as one.
        if now >= self._not_before:
            self._not_before = now + back_off(self._setbacks, chance)
            self._setbacks += 1
