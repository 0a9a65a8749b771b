"""Saying again and again what is wrong, but not each time that it is met."""

from __future__ import annotations

from collections import Counter
from typing import Any

INTERVAL = 60.0
"""Seconds between two lines in the log about one thing: a fault meets every connection that is tried."""


class Seldom:
    """Knows what was said of late.

    :param clock: an ``IReactorTime``.
    :param interval: seconds between two lines about one thing.
    :ivar unsaid: how often it was not time for a thing; who tells that takes it out.
    """

    def __init__(self, clock: Any, interval: float = INTERVAL) -> None:
        self._clock = clock
        self._interval = interval
        self._silent_until: dict[str, float] = {}
        self.unsaid: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Seldom {', '.join(self._silent_until) or 'silent'}>"

    def says(self, what: str) -> bool:
        """Whether it is time to say ``what``, for the first time or again; then it is taken as said.

        :param what: one of a few: each is remembered.
        """
        now = self._clock.seconds()
        if now < self._silent_until.get(what, now):
            self.unsaid[what] += 1
            return False
        self._silent_until[what] = now + self._interval
        return True
