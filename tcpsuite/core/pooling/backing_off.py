"""When to try again what nobody waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcpsuite.core.pooling.settings import PoolSettings


class BackOff:
    """Waits ever longer from setback to setback, until something goes well.

    :param settings: the first wait, by what factor each is longer than the last, and the longest.
    :ivar not_before: when it is time for the next try.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._first = settings.back_off
        self._factor = settings.back_off_factor
        self._limit = settings.back_off_limit
        self._setbacks = 0
        self.not_before = 0.0

    def __repr__(self) -> str:
        return f"<BackOff setbacks={self._setbacks} not_before={self.not_before:g}>"

    def setback(self, now: float, chance: float) -> None:
        """A try failed.  Those that were begun together fail together, and count as one.

        :param chance: from 0 up to 1, takes up to a half of the wait away, so that many do not try in step.
        """
        if now < self.not_before:
            return
        # The exponent is bounded: a float overflows long before a server that is never repaired is given up.
        wait = min(self._limit, self._first * self._factor ** min(self._setbacks, 100))
        self.not_before = now + wait * (1 - chance / 2)
        self._setbacks += 1

    def success(self) -> None:
        """All is well: the next setback waits as the first did."""
        self._setbacks = 0
