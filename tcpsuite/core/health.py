"""When a server goes up or down, and when it is checked next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Factory, field, frozen

if TYPE_CHECKING:
    from tcpsuite.interfaces import Outcome

RISE = 2
"""One good check may be luck."""
FALL = 3
"""One or two failed checks may be a lost packet or a pause of the server."""
INTERVAL = 5.0
"""Seconds between checks: with the numbers around it, a server that refuses is down after 7."""
FAST_INTERVAL = 1.0
"""Seconds between checks while the last one speaks against what the server counts as."""
DOWN_INTERVALS = 2
"""So many times the usual interval passes between checks of a server that is down: no client misses it."""
JITTER = 0.2
"""By so much of itself a wait is longer or shorter: the checks of many servers do not come at once."""


@frozen
class Transition:
    """A server went up or down."""

    up: bool
    at: float
    """When, on the clock of whoever observes."""
    reason: str
    """Why, in words."""


class RiseFall:
    """One server's health: fed with the outcomes of checks, it says when the server goes up or down.

    A server that was never checked counts as up.  If its very first check fails it is down at once: it has
    done nothing yet to be trusted for.  Later it takes ``fall`` failed checks in a row to go down, and
    ``rise`` good ones to come up again.

    :param up: what the server counts as before the first check, which decides whichever way.
    :ivar up: what the server counts as.
    :ivar since: when it became that, or was first found so; ``None`` before the first check.
    :ivar last: the latest outcome, or ``None``.
    :ivar row: how many outcomes in a row were like the latest.
    """

    def __init__(self, rise: int = RISE, fall: int = FALL, *, up: bool = True) -> None:
        self.rise = rise
        self.fall = fall
        self.up = up
        self.since: float | None = None
        self.last: Outcome | None = None
        self.row = 0

    def __repr__(self) -> str:
        state, needed = ("up", self.fall) if self.up else ("down", self.rise)
        if self.last is None:
            return f"<RiseFall {state}, unchecked>"
        return f"<RiseFall {state}{f', changing {self.row} of {needed}' if self.changing else ''}>"

    @property
    def changing(self) -> bool:
        """Whether the latest check speaks against what the server counts as, but not yet often enough."""
        return self.last is not None and self.last.ok != self.up

    def observe(self, outcome: Outcome, at: float) -> Transition | None:
        """A check ended.

        :param at: when: people read it, nothing is reckoned from it.
        :return: the transition that it brought about, if it did.
        """
        if self.last is None:
            needed, self.row, self.since = 1, 1, at
        else:
            needed = self.rise if outcome.ok else self.fall
            self.row = self.row + 1 if self.last.ok == outcome.ok else 1
        self.last = outcome
        if outcome.ok == self.up or self.row < needed:
            return None
        self.up, self.since = outcome.ok, at
        return Transition(self.up, at, self._reason(outcome))

    def _reason(self, outcome: Outcome) -> str:
        checks = "1 check" if self.row == 1 else f"{self.row} checks in a row"
        return f"{checks} succeeded" if outcome.ok else f"{checks} failed: {outcome.error}"


@frozen
class Schedule:
    """How long to wait from the end of a check to the next, in seconds."""

    interval: float = INTERVAL
    fast_interval: float = field(
        default=Factory(lambda self: min(FAST_INTERVAL, self.interval), takes_self=True)
    )
    """While the state is changing.  Unless given, a second, or the interval if that is shorter."""
    down_interval: float = field(
        default=Factory(lambda self: DOWN_INTERVALS * self.interval, takes_self=True)
    )
    """While the server is down.  Unless given, twice the interval."""
    jitter: float = JITTER

    def wait(self, health: RiseFall, chance: float) -> float:
        """Seconds until the next check of a server in that state.

        :param chance: a number drawn evenly from 0 to 1.
        """
        if health.last is None:
            # At once, but not all servers in one moment.
            return self.jitter * self.fast_interval * chance
        steady = self.interval if health.up else self.down_interval
        usual = self.fast_interval if health.changing else steady
        return usual * (1 + self.jitter * (2 * chance - 1))
