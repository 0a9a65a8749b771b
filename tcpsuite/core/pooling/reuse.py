"""Connections that are taken back and lent again."""

from __future__ import annotations

from collections import Counter
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from tcpsuite.core.pooling.backing_off import BackOff
from tcpsuite.core.pooling.decisions import (
    Close,
    Connect,
    End,
    Lease,
    Refusal,
    Reject,
    Reset,
    Validate,
    Warn,
)
from tcpsuite.core.pooling.idle import Idle
from tcpsuite.core.pooling.pooled import Pooled

if TYPE_CHECKING:
    from tcpsuite.core.pooling.decisions import Decision
    from tcpsuite.core.pooling.settings import PoolSettings


class Reuse:
    """The connections to one server in the modes ``session`` and ``message``.

    ::

        Connect ──> connecting ──> idle ──────────────> leased ──> (release)
                                    │ ^ ^──validating──^     │
                                    │ └── resetting <────────┘
                                    └──> closing ──> lost

    There are never more than ``max_connections`` in all of these together.  Takers for whom there is none
    wait, and are served in the order in which they came.

    A connection is made for whoever waits first when it is there: one whose taker has left meanwhile goes to
    the next, or becomes idle.

    When one cannot be made, those who wait are not told while there is hope for them: another connection on
    its way, or a leased one that will come back; then the next attempt is made ``back_off`` later, and each
    waits as long as it may.  When there is no hope left, all are told of the failure at once.  To keep them
    would cost each its whole time for an answer that is known already, and who can ask another server should
    do so now; to tell them while there is hope would make one lost packet the error of clients for whom the
    next released connection was as good.

    :param settings: see :class:`~tcpsuite.core.pooling.settings.PoolSettings`.
    :param resets: whether a connection is reset before it is lent again.
    :ivar closed: whether it takes no more work.
    """

    def __init__(self, settings: PoolSettings, resets: bool = False) -> None:
        self._settings = settings
        self._resets = resets
        self._maximum = settings.max_connections
        self._validate_idle = settings.validate_idle
        self._leak_warning = settings.leak_warning
        self._minimum = min(settings.kept, self._maximum)
        self._numbers = count(1)
        self._waiting: dict[int, None] = {}  # takers, in the order in which they came
        self._connecting: set[int] = set()
        self._idle = Idle(settings)
        self._validating: dict[int, Pooled] = {}
        self._resetting: dict[int, Pooled] = {}
        self._leased: dict[int, Pooled] = {}  # in the order in which they were lent
        self._leaked: dict[int, Pooled] = {}  # leased too, and warned of
        self._closing: set[int] = set()
        self._total = 0  # in all of these together
        self._back_off = BackOff(settings)
        self._retry_at = 0.0
        self._created = self._failed = self._leases = 0
        self._ends: Counter[End] = Counter()
        self._last_failure = ""
        self.closed = False

    def __repr__(self) -> str:
        state = "closed " if self.closed else ""
        leased = len(self._leased) + len(self._leaked)
        return (
            f"<Reuse {state}connecting={len(self._connecting)} idle={len(self._idle)} leased={leased} "
            f"waiting={len(self._waiting)}>"
        )

    def due(self) -> float | None:
        """When :meth:`tick` is to be called, if nothing happens before; ``None`` for never."""
        if self.closed:
            return None
        # Behind each lease this is asked: it looks no further than it must.
        due = self._idle.look_at
        if self._leased:
            due = min(due, next(iter(self._leased.values())).since + self._leak_warning)
        if self._waiting and self._wanted() > 0:
            due = min(due, self._retry_at)
        if self._missing() > 0:
            due = min(due, self._back_off.not_before)
        return due if due < inf else None

    def stats(self) -> dict[str, int]:
        """Counts by name: what there is now, then what there was since the beginning."""
        return {
            "connecting": len(self._connecting),
            "idle": len(self._idle),
            "leased": len(self._leased) + len(self._leaked),
            "validating": len(self._validating),
            "resetting": len(self._resetting),
            "closing": len(self._closing),
            "open": self._total,
            "max_open": self._maximum,
            "leases": self._leases,
            "created": self._created,
            "failed": self._failed,
            **{f"closed_{end.value}": self._ends[end] for end in End if end is not End.AGED},
        }

    def tick(self, now: float) -> list[Decision]:
        """Time has passed: warn, evict, check, try again, fill up."""
        if self.closed:
            return []
        decisions = self._warn(now)
        if now >= self._idle.look_at:
            over, unproved = self._idle.look(now, self._surplus())
            decisions += [self._close(pooled, end) for pooled, end in over]
            self._validating.update({pooled.number: pooled for pooled in unproved})
            decisions += [Validate(pooled.number) for pooled in unproved]
        return decisions + self._serve(now)

    def next_idle(self, now: float) -> int | None:
        """The connection that a taker who came now would get at once, if there is one."""
        if not self._idle or self._waiting:
            return None
        pooled = self._idle.next()
        return pooled.number if pooled.may_be_lent(now, self._validate_idle) else None

    def acquire(self, taker: int, now: float) -> list[Decision]:
        """``taker`` wants a connection: it gets one, or waits, or is refused when too many wait already.

        For whom a connection can be begun now does not count as waiting.
        """
        if self.closed:
            return [Reject(taker, "the pool is closed", Refusal.CLOSED)]
        if (idle := self.next_idle(now)) is not None and (pooled := self._idle.pop(idle)):
            # The common case, and nothing else has changed.
            return [self._lend(taker, pooled, now)]
        self._waiting[taker] = None
        decisions = self._serve(now)
        if taker in self._waiting and len(self._waiting) - self._coming() > self._settings.max_waiters:
            del self._waiting[taker]
            why = f"{self._maximum} connections are in use, and {len(self._waiting)} clients wait"
            decisions.append(Reject(taker, why, Refusal.EXHAUSTED))
        return decisions

    def give_up(self, taker: int) -> list[Decision]:
        """``taker`` waits no longer; one that was answered already, or is unknown, changes nothing."""
        self._waiting.pop(taker, None)
        return []

    def expire(self, taker: int, seconds: float) -> list[Decision]:
        """``taker`` has waited for ``seconds``, which was all its time."""
        if taker not in self._waiting:
            return []
        del self._waiting[taker]
        why = (
            f"no connection within {round(seconds, 3):g} s: {len(self._leased) + len(self._leaked)} of "
            f"{self._maximum} in use, {len(self._connecting)} being made"
        )
        if self._last_failure:
            why += f", the last attempt failed: {self._last_failure}"
        return [Reject(taker, why, Refusal.EXHAUSTED)]

    def connected(self, connection: int, now: float, chance: float) -> list[Decision]:
        """A connection is made.

        :param chance: from 0 up to 1, how much of the jitter its lifetime lacks.
        """
        if connection not in self._connecting:
            # It was given up in the same breath as it was made.
            return [Close(connection, End.UNWANTED)]
        self._connecting.remove(connection)
        self._created += 1
        self._last_failure = ""
        lifetime = self._settings.max_lifetime * (1 - self._settings.lifetime_jitter * chance)
        # The next one is begun at the next tick: a server that answers at once would be met by a herd.
        return self._offer(Pooled(connection, now + lifetime, now, now), now)

    def failed(
        self, connection: int, why: str, now: float, chance: float, refusal: Refusal = Refusal.FAILED
    ) -> list[Decision]:
        """A connection could not be made; one that was given up before changes nothing.

        :param why: in words, for who waits.
        :param chance: from 0 up to 1, for the back-off.
        :param refusal: what kind of failure it was.
        """
        if connection not in self._connecting:
            return []
        self._connecting.remove(connection)
        self._total -= 1
        self._failed += 1
        self._last_failure = why
        self._back_off.setback(now, chance)
        self._retry_at = now + self._settings.back_off * (1 - chance / 2)
        if self._coming() or self._leased or self._leaked:
            return self._serve(now)
        hopeless, self._waiting = self._waiting, {}
        return [*(Reject(taker, why, refusal) for taker in hopeless), *self._serve(now)]

    def release(self, connection: int, now: float, reusable: bool = True, ok: bool = True) -> list[Decision]:
        """A lease is over; one that is over already changes nothing.

        :param reusable: whether somebody else may have the connection.
        :param ok: whether it did what it was wanted for.
        """
        pooled = self._leased.pop(connection, None) or self._leaked.pop(connection, None)
        if pooled is None:
            return []
        pooled.used(ok, now)
        if ok:
            self._back_off.success()
        end = pooled.spent(now, self._settings) if reusable else End.RELEASED
        if self.closed:
            end = End.UNWANTED
        if end is not None:
            return [self._close(pooled, end), *self._serve(now)]
        if self._resets:
            self._resetting[connection] = pooled
            return [Reset(connection)]
        if self._waiting and pooled.errors_in_row:
            self._validating[connection] = pooled
            return [Validate(connection)]
        return self._offer(pooled, now)

    def answered(self, connection: int, fine: bool, now: float) -> list[Decision]:
        """A validation or reset is over; that of a connection which is gone or given up changes nothing."""
        end = End.NOT_VALID if connection in self._validating else End.NOT_RESET
        pooled = self._validating.pop(connection, None) or self._resetting.pop(connection, None)
        if pooled is None:
            return []
        if not fine:
            return [self._close(pooled, end), *self._serve(now)]
        pooled.proved = now
        self._back_off.success()
        return self._offer(pooled, now)

    def unfit(self, connection: int, now: float, chance: float) -> list[Decision]:
        """The server closed its half of a connection, or spoke on it, while nobody had it.

        :param chance: from 0 up to 1, for the back-off.
        """
        pooled = self._idle.pop(connection)
        if pooled is None:
            return []
        # A server that takes connections only to cut them would be connected to in a tight circle.
        self._back_off.setback(now, chance)
        return [self._close(pooled, End.LOST), *self._serve(now)]

    def lost(self, connection: int, now: float, chance: float) -> list[Decision]:
        """A connection is gone, whoever had it.

        :param chance: from 0 up to 1, for the back-off.
        """
        if connection in self._closing:
            self._closing.remove(connection)
        elif self._leased.pop(connection, None) or self._leaked.pop(connection, None):
            self._ends[End.LOST] += 1
        elif self._idle.pop(connection) or any(
            group.pop(connection, None) for group in (self._validating, self._resetting)
        ):
            self._ends[End.LOST] += 1
            self._back_off.setback(now, chance)
        else:
            return []
        self._total -= 1
        return self._serve(now)

    def shed(self) -> list[Decision]:
        """Give up what is idle above the minimum: memory is short."""
        return [self._close(pooled, End.SHED) for pooled in self._idle.shed(self._surplus())]

    def close(self) -> list[Decision]:
        """Take no new work, answer who waits, give up all but the leases."""
        self.closed = True
        decisions: list[Decision] = [
            Reject(taker, "the pool was closed", Refusal.CLOSED) for taker in self._waiting
        ]
        self._waiting.clear()
        decisions += [Close(connection, End.UNWANTED) for connection in self._connecting]
        self._total -= len(self._connecting)
        self._connecting.clear()
        given_up = [*self._idle.clear(), *self._validating.values(), *self._resetting.values()]
        self._validating.clear()
        self._resetting.clear()
        return decisions + [self._close(pooled, End.UNWANTED) for pooled in given_up]

    def _coming(self) -> int:
        """Connections that will be there for somebody soon, if all goes well."""
        return len(self._connecting) + len(self._validating) + len(self._resetting)

    def _wanted(self) -> int:
        """How many connections may be begun for those who wait, were it time."""
        return min(len(self._waiting) - self._coming(), self._maximum - self._total)

    def _surplus(self) -> int:
        """How many connections there are above the minimum."""
        return self._total - len(self._closing) - self._minimum

    def _missing(self) -> int:
        """How many connections may be begun to reach the minimum, were it time."""
        short = -self._surplus()
        if short <= 0:
            return 0
        return min(short, self._settings.max_connecting - len(self._connecting), self._maximum - self._total)

    def _serve(self, now: float) -> list[Decision]:
        """Give those who wait what is idle, and begin what is missing."""
        if self.closed:
            return []
        decisions: list[Decision] = []
        while self._idle and self._waiting:
            pooled = self._idle.next()
            if pooled.may_be_lent(now, self._validate_idle):
                self._idle.pop(pooled.number)
                taker = next(iter(self._waiting))
                del self._waiting[taker]
                decisions.append(self._lend(taker, pooled, now))
            elif now >= pooled.retire_at:
                self._idle.pop(pooled.number)
                decisions.append(self._close(pooled, End.LIFETIME))
            elif len(self._waiting) > len(self._validating):
                self._idle.pop(pooled.number)
                self._validating[pooled.number] = pooled
                decisions.append(Validate(pooled.number))
            else:
                break
        if now >= self._retry_at or not (self._coming() or self._leased or self._leaked):
            decisions += self._begin(self._wanted())
        if now >= self._back_off.not_before:
            decisions += self._begin(self._missing())
        return decisions

    def _begin(self, number: int) -> list[Decision]:
        begun = [next(self._numbers) for _ in range(number)]
        self._connecting.update(begun)
        self._total += len(begun)
        return [Connect(connection) for connection in begun]

    def _lend(self, taker: int, pooled: Pooled, now: float) -> Lease:
        pooled.since = now
        self._leased[pooled.number] = pooled
        self._leases += 1
        return Lease(taker, pooled.number)

    def _offer(self, pooled: Pooled, now: float) -> list[Decision]:
        """Give a connection that may be lent to who waits first, or keep it."""
        if self._waiting:
            taker = next(iter(self._waiting))
            del self._waiting[taker]
            return [self._lend(taker, pooled, now)]
        self._idle.add(pooled, now)
        return []

    def _close(self, pooled: Pooled, end: End) -> Close:
        self._closing.add(pooled.number)
        self._ends[end] += 1
        return Close(pooled.number, end)

    def _warn(self, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        for pooled in tuple(self._leased.values()):
            if now < pooled.since + self._leak_warning:
                break
            self._leaked[pooled.number] = self._leased.pop(pooled.number)
            decisions.append(Warn(pooled.number, now - pooled.since))
        return decisions
