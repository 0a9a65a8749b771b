"""The time-outs of many connections, on one timer of the reactor."""

from __future__ import annotations

from math import inf
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


class PhaseDeadline:
    """The time-out of what goes from phase to phase, many times a second perhaps, and is late in hardly any.

    To begin another phase is to note when its time is over: what is under way is only brought forward, and
    put off when it comes too early.

    :param deadlines: keeps it.
    :param missed: called when the time of a phase is over, and no other has begun.
    """

    __slots__ = ("_deadline", "_deadlines", "_due", "_looks_at", "_missed")

    def __init__(self, deadlines: Deadlines, missed: Callable[[], object]) -> None:
        self._deadlines = deadlines
        self._missed: Callable[[], object] | None = missed  # None behind the last phase
        self._due = inf
        self._looks_at = inf
        self._deadline: Deadline | None = None

    def begin(self, seconds: float) -> None:
        """A phase begins that has so many seconds; 0 for any number."""
        if not seconds:
            self._due = inf
            return
        now = self._deadlines.seconds()
        self._due = due = now + seconds
        if due < self._looks_at:
            self._look_in(seconds, due)

    def cancel(self) -> None:
        """There is no other phase, whatever begins."""
        # Who knows each other in a circle is not forgotten at once.
        self._missed = None
        self._due = self._looks_at = inf
        if self._deadline is not None:
            self._deadline.cancel()

    def _look_in(self, seconds: float, due: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._missed is not None:
            self._looks_at = due
            self._deadline = self._deadlines.after(seconds, self._look)

    def _look(self) -> None:
        self._deadline, self._looks_at = None, inf
        due, now = self._due, self._deadlines.seconds()
        if due <= now and self._missed is not None:
            self._due = inf
            self._missed()
        elif due < inf:
            self._look_in(due - now, due)


class Deadlines:
    """Calls when time is over, up to :data:`~tcpsuite.core.deadlines.GRAIN` seconds late and never early.

    The reactor's own queue holds one timer for all of them, and none while none is under way.

    :param clock: an ``IReactorTime``.
    :ivar seconds: gives the time, by that clock.
    """

    log = Logger()

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.seconds: Callable[[], float] = clock.seconds
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
