"""Tells when the time of a request is over."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IDelayedCall

    from tcpsuite.net.client.lane import Asked

GRAIN = 0.01
"""Seconds between two looks, at least: each goes through all requests."""


class Patience:
    """One timer for all requests: to ask costs a comparison, and to be answered nothing.

    :param asked: the requests.
    :param reactor: an ``IReactorTime``.
    :param late: called with each whose time is over.
    """

    def __init__(self, asked: Mapping[int, Asked], reactor: Any, late: Callable[[Asked], object]) -> None:
        self._asked = asked
        self._reactor = reactor
        self._late = late
        self._timer: IDelayedCall | None = None
        self.looks_at = inf

    def look_at(self, due: float) -> None:
        """The time of a request is over then; call this when that is before ``looks_at``."""
        self.stop()
        self.looks_at = due
        self._timer = self._reactor.callLater(max(GRAIN, due - self._reactor.seconds()), self._look)

    def stop(self) -> None:
        """No request is late any more."""
        timer, self._timer, self.looks_at = self._timer, None, inf
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer, self.looks_at = None, inf
        now = self._reactor.seconds()
        for asked in [each for each in self._asked.values() if each.due <= now]:
            if self._asked.get(asked.number) is asked:  # nobody has cancelled it meanwhile
                self._late(asked)
        due = min((each.due for each in self._asked.values()), default=inf)
        if due < self.looks_at:
            self.look_at(due)
