"""The time-outs of many connections, on one timer of the reactor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from tcpsuite.core.deadlines import Timetable

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall


class Deadline:
    """One time-out under way, as :meth:`Deadlines.after` gives it."""

    __slots__ = ("_deadlines", "_missed")

    def __init__(self, deadlines: Deadlines, missed: Callable[[], object]) -> None:
        self._deadlines = deadlines
        self._missed: Callable[[], object] | None = missed  # None when it is over, or was cancelled

    def cancel(self) -> None:
        """It is not needed any more.  Safe to call twice, and when it is over."""
        if self._missed is not None:
            self._missed = None
            self._deadlines._forget(self)


class Deadlines:
    """Calls when time is over, up to :data:`~tcpsuite.core.deadlines.GRAIN` seconds late and never early.

    The reactor's own queue holds one timer for all of them, and none while none is under way.

    :param clock: an ``IReactorTime``.
    """

    log = Logger()

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._timetable: Timetable[Deadline] = Timetable()
        self._timer: IDelayedCall | None = None
        self._timer_due = 0.0

    def __repr__(self) -> str:
        return f"<Deadlines {len(self._timetable)}>"

    def after(self, seconds: float, missed: Callable[[], object]) -> Deadline:
        """Call ``missed`` when ``seconds`` are over, unless it is cancelled before.

        What it raises is logged, and keeps no other deadline from its call.
        """
        now = self._clock.seconds()
        deadline = Deadline(self, missed)
        due = self._timetable.add(deadline, now + seconds)
        if self._timer is None or due < self._timer_due:
            self._set_timer(now)
        return deadline

    def _forget(self, deadline: Deadline) -> None:
        self._timetable.remove(deadline)
        if not self._timetable:
            self._stop_timer()

    def _set_timer(self, now: float) -> None:
        self._stop_timer()
        due = self._timetable.next()
        if due is not None:
            self._timer_due = due
            self._timer = self._clock.callLater(max(0.0, due - now), self._look)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        for deadline in self._timetable.due(self._clock.seconds()):
            # One of them may have cancelled another that is due as well.
            if (missed := deadline._missed) is not None:
                deadline._missed = None
                try:
                    missed()
                except Exception:
                    self.log.failure("a time-out failed")
        self._set_timer(self._clock.seconds())
