"""A timer for what is due next, which costs nothing while that only moves away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall


class Alarm:
    """Calls when something may be due.

    It may call too early, and is set again then: to move a timer each time that something changes would cost
    more than what changes.

    :param clock: an ``IReactorTime``.
    :param ring: called when it is time.
    """

    def __init__(self, clock: Any, ring: Callable[[], object]) -> None:
        self._clock = clock
        self._ring = ring
        self._timer: IDelayedCall | None = None
        self._due = 0.0

    def __repr__(self) -> str:
        return f"<Alarm due={self._due:g}>" if self._timer else "<Alarm>"

    def set(self, due: float | None) -> None:
        """Ring at ``due`` seconds on the clock, or before; ``None`` for whenever it is set to already."""
        if due is None or (self._timer is not None and self._due <= due):
            return
        self.stop()
        self._due = due
        self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._call)

    def stop(self) -> None:
        """Do not ring until it is set again."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _call(self) -> None:
        self._timer = None
        self._ring()
