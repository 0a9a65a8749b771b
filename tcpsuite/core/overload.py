"""When there is too much to do, or too little memory to do it in: what to give up, and when that is over.

::

    memory    ── 95 % ──> shrink ── 98 % ──> shrink and pause
    the loop's lag ─────────────── 100 ms ─> pause

*Shrink* gives back what is kept only to be faster; *pause* takes no new connections.  A step that has begun
ends only well below where it began, so that a figure which trembles there does not begin it again and again.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import inf
from statistics import fmean, median
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator

SHRINK_AT = 0.95
"""The share of the memory in use: near enough to the end that nobody is slowed down for nothing."""
PAUSE_AT = 0.98
"""Behind that, what is open may still need some."""
MARGIN = 0.03
"""How far the share must fall below a line before its step ends: what it frees is not to bring it back."""
SHRINK_AGAIN = 10.0
"""Seconds after which is shrunk once more, if memory is still short: what was given back may have grown."""

LAG_LIMIT = 0.1
"""Seconds: a person begins to notice, and a peer's time-outs are still far away."""
LOOKS = 5
"""Looks at the lag that count together: two long turns among them are no overload yet."""

CALM, CLOSE = 1.0, 0.25
"""Seconds between two looks, while there is no sign of pressure and while there is: to wake an idle process
costs more than to look.
"""
NEAR = 0.1
"""How far below the first line the share of the memory in use is looked at closely."""
TREND_LOOKS = 60
"""Looks at the memory that the trend is made of: a minute, while there is no sign of pressure."""
TREND_BAND = 0.01
"""The share of the limit by which memory has to change in that time to count as anything but stable."""


class Step(Enum):
    """What is done about it."""

    SHRINK = "shrink"
    PAUSE = "pause"


class Trend(Enum):
    """Where a figure is going."""

    STABLE = "stable"
    INCREASING = "increasing"
    DECREASING = "decreasing"


@frozen
class Begin:
    """Do this from now on."""

    step: Step
    why: str


@frozen
class Again:
    """It is still wanted: do it once more."""

    step: Step


@frozen
class End:
    """It is needed no more."""

    step: Step
    why: str


Decision = Begin | Again | End


class Line:
    """Whether a figure has risen to ``high``, and has not fallen below ``low`` since."""

    def __init__(self, high: float, low: float) -> None:
        self.high = high
        self.low = low
        self.crossed = False

    def __repr__(self) -> str:
        return f"<Line {'above' if self.crossed else 'below'} {self.high:g}/{self.low:g}>"

    def see(self, figure: float) -> bool:
        """The figure as it is now; whether that has changed :attr:`crossed`."""
        crossed = figure >= (self.low if self.crossed else self.high)
        changed = crossed != self.crossed
        self.crossed = crossed
        return changed


class Course:
    """The latest samples of a figure, and its trend.

    :param length: how many are kept.
    """

    def __init__(self, length: int = TREND_LOOKS) -> None:
        self._samples: deque[float] = deque(maxlen=length)

    def __repr__(self) -> str:
        return f"<Course of {len(self._samples)}>"

    def add(self, sample: float) -> None:
        """One more; the oldest makes room for it."""
        self._samples.append(sample)

    def trend(self, band: float) -> Trend:
        """Whether the newer half of the samples lies above the older half, or below it, by more than ``band``
        on average.
        """
        samples = tuple(self._samples)
        half = len(samples) // 2
        if not half:
            return Trend.STABLE
        change = fmean(samples[-half:]) - fmean(samples[:half])
        if abs(change) <= band:
            return Trend.STABLE
        return Trend.INCREASING if change > 0 else Trend.DECREASING


class MemoryPressure:
    """Decides by how much memory is in use.

    :param shrink_at: the share of what there may be from which on is shrunk; 0 for never.
    :param pause_at: from which on accepting rests; 0 for never.
    :raises LocalError: when one of them is not 0, and no more than :data:`MARGIN`: its step would never end.
    """

    def __init__(self, shrink_at: float = SHRINK_AT, pause_at: float = PAUSE_AT) -> None:
        for share in (shrink_at, pause_at):
            if share and share <= MARGIN:
                raise LocalError(f"0, or more than {MARGIN}, not {share}: what begins there never ends")
        self._lines = {
            step: Line(share, share - MARGIN)
            for step, share in ((Step.SHRINK, shrink_at), (Step.PAUSE, pause_at))
            if share
        }
        self._course = Course()
        self._near = min((line.high for line in self._lines.values()), default=inf) - NEAR
        self._share = 0.0
        self._shrink_next = 0.0

    def __repr__(self) -> str:
        steps = " ".join(step.value for step in self.steps) or "none"
        return f"<MemoryPressure {steps} {self.trend.value}>"

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is in force."""
        return tuple(step for step, line in self._lines.items() if line.crossed)

    @property
    def trend(self) -> Trend:
        """Where the use of memory is going."""
        return self._course.trend(TREND_BAND)

    @property
    def interval(self) -> float:
        """Seconds until it is to be looked at again."""
        return CLOSE if self._share >= self._near else CALM

    def sample(self, used: int, limit: int, now: float) -> list[Decision]:
        """So many bytes are in use, of so many that there may be."""
        share = self._share = used / limit
        self._course.add(share)
        return list(self._decide(share, f"{share:.1%} of {limit / 2**20:,.0f} MiB is in use", now))

    def _decide(self, share: float, why: str, now: float) -> Iterator[Decision]:
        for step, line in self._lines.items():
            if line.see(share):
                yield Begin(step, why) if line.crossed else End(step, why)
                if step is Step.SHRINK:
                    self._shrink_next = now + SHRINK_AGAIN
            elif step is Step.SHRINK and line.crossed and now >= self._shrink_next:
                self._shrink_next = now + SHRINK_AGAIN
                yield Again(step)


class LagPressure:
    """Decides by how late the loop is.

    It begins by the median of the last :data:`LOOKS`: one long turn is no overload, and a loop whose turns
    are all long is late by half a turn, as its clients are.  It ends by the worst of them.

    :param limit: seconds from which on accepting rests, until the lag is less than half of that; 0 for never.
    """

    def __init__(self, limit: float = LAG_LIMIT) -> None:
        self._line = Line(limit, limit / 2)
        self._looks: deque[float] = deque([0.0] * LOOKS, maxlen=LOOKS)

    def __repr__(self) -> str:
        return f"<LagPressure {' '.join(step.value for step in self.steps) or 'none'}>"

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is in force."""
        return (Step.PAUSE,) if self._line.crossed else ()

    @property
    def interval(self) -> float:
        """Seconds until it is to be looked at again."""
        return CLOSE if self._line.high and max(self._looks) >= self._line.low else CALM

    def sample(self, late: float) -> list[Decision]:
        """The loop came so many seconds late to what it was to do."""
        self._looks.append(late)
        lag = max(self._looks) if self._line.crossed else median(self._looks)
        if not self._line.high or not self._line.see(lag):
            return []
        why = f"the loop is {lag * 1000:.0f} ms late"
        return [Begin(Step.PAUSE, why) if self._line.crossed else End(Step.PAUSE, why)]
