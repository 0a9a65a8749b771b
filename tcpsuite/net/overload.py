"""Keeps a process within its memory and its time, as :mod:`tcpsuite.core.overload` decides."""

from __future__ import annotations

import gc
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.core.overload import (
    LAG_LIMIT,
    MARGIN,
    PAUSE_AT,
    SHRINK_AT,
    Again,
    Begin,
    End,
    LagPressure,
    MemoryPressure,
    Step,
)
from tcpsuite.interfaces import IShrinkable
from tcpsuite.net.heap import trim
from tcpsuite.net.memory import gauge
from tcpsuite.options import Duration, OptionError, Size, between, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IDelayedCall

    from tcpsuite.core.overload import Decision, Trend
    from tcpsuite.net.memory import Gauge, Reading

MEMORY, LAG = "memory", "lag"
"""What is watched: the causes for which accepting rests."""

MINUTE = 60.0
"""Seconds of which the worst lag is told: scrapes are seldom further apart."""


def _ends(value: float) -> None:
    if value and not MARGIN < value <= 1:
        raise OptionError(
            f"0, or a share above {MARGIN:g} up to 1, for a step ends {MARGIN:g} below it", value
        )


@frozen
class OverloadOptions:
    """The ``[overload]`` table."""

    memory_limit: Size = option(
        Size(0),
        "Memory that the process may have; 0: what its control groups may, if one is limited; else nothing "
        "is done about memory.",
    )
    shrink_at: float = option(
        SHRINK_AT,
        "From this share of it on idle pooled connections above the minimum are closed, the older half of "
        "the connections that have ended is forgotten, and garbage is collected; 0: never.",
        check=_ends,
    )
    pause_at: float = option(
        PAUSE_AT,
        "From this share of it on listeners accept nobody, until it is 0.03 less; 0: never.",
        check=_ends,
    )
    lag: Duration = option(
        Duration(LAG_LIMIT),
        "When the event loop was later than this at three of its last five looks at the clock, "
        "listeners accept nobody, until it was at each of five less than half as late; 0: never.",
        check=between(0, 60, "seconds"),
    )


class _Steps:
    """Which steps one cause has begun, and how often.

    :param cause: what presses, for people.
    :param steps: those that it may begin.
    :param pause: called with whether accepting is to rest.
    :param shrink: gives back what can be given back.
    """

    log = Logger(namespace="tcpsuite.net.overload")

    def __init__(
        self,
        cause: str,
        steps: Sequence[Step],
        pause: Callable[[bool], object],
        shrink: Callable[[], object] = lambda: None,
    ) -> None:
        self._cause = cause
        self._steps = steps
        self._pause = pause
        self._shrink = shrink
        self.begun: Counter[Step] = Counter()
        self.why: dict[Step, str] = {}

    def take(self, decisions: Iterable[Decision]) -> None:
        """Do what was decided, and say so once."""
        for decision in decisions:
            match decision:
                case Begin(step, why):
                    self.begun[step] += 1
                    self.why[step] = why
                    self.log.warn("{cause}: {why}: {what}", cause=self._cause, why=why, what=_BEGINS[step])
                    self._do(step, True)
                case Again(step):
                    self._do(step, True)
                case End(step, why):
                    del self.why[step]
                    self.log.info("{cause}: {why}: {what}", cause=self._cause, why=why, what=_ENDS[step])
                    self._do(step, False)

    def status(self) -> dict[str, Any]:
        """How often each step began, and why those that are in force did."""
        return {
            step.value: {"active": step in self.why, "why": self.why.get(step, ""), "begun": self.begun[step]}
            for step in self._steps
        }

    def _do(self, step: Step, wanted: bool) -> None:
        if step is Step.PAUSE:
            self._pause(wanted)
        elif wanted:
            self._shrink()


_BEGINS = {
    Step.SHRINK: "what is idle is given back, and garbage is collected",
    Step.PAUSE: "no new connections are accepted",
}
_ENDS = {Step.SHRINK: "nothing need be given back", Step.PAUSE: "new connections are accepted again"}


class _Rounds:
    """Looks again and again.

    All look at the same moments of the clock, so that an idle process is woken once for all of them.
    """

    def __init__(self, clock: Any, look: Callable[[], object]) -> None:
        self._clock = clock
        self._look = look
        self._call: IDelayedCall | None = None
        self.due = 0.0

    def wait(self, interval: float) -> None:
        """Look when the next ``interval`` begins."""
        now = self._clock.seconds()
        self.due = (now // interval + 1) * interval
        self._call = self._clock.callLater(self.due - now, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None


class MemoryMonitor:
    """Watches the memory of this process, gives some back when it becomes short, and then takes no new work.

    :param gauge: tells how much is in use.
    :param clock: an ``IReactorTime``.
    :param pause: called with whether accepting is to rest.
    :param pressure: decides; by default by the usual shares.
    :ivar shrinkables: what is asked to give memory back, in this order: anything that provides
        :class:`~tcpsuite.interfaces.IShrinkable` may be appended at any time.
    :ivar reading: the latest; ``None`` before the first, and when nothing limits the memory.
    """

    log = Logger()

    def __init__(
        self,
        gauge: Gauge,
        clock: Any,
        pause: Callable[[bool], object],
        pressure: MemoryPressure | None = None,
    ) -> None:
        self.shrinkables: list[IShrinkable] = []
        self.reading: Reading | None = None
        self._gauge = gauge
        self._clock = clock
        self._pressure = pressure or MemoryPressure()
        self._steps = _Steps(MEMORY, (Step.SHRINK, Step.PAUSE), pause, self._shrink)
        self._rounds = _Rounds(clock, self._look)

    def __repr__(self) -> str:
        return f"<MemoryMonitor {self._gauge!r} {self._pressure!r}>"

    @property
    def trend(self) -> Trend:
        """Where the use of memory has been going, by the latest looks."""
        return self._pressure.trend

    @property
    def pausing(self) -> str:
        """Why accepting rests; empty when memory is no reason."""
        return self._steps.why.get(Step.PAUSE, "")

    def start(self) -> None:
        """Begin to look, now and again and again, if there is a limit."""
        if self._gauge.open():
            self._look()

    def stop(self) -> None:
        """Look no more.  A step that is in force stays so."""
        self._rounds.stop()
        self._gauge.close()

    def status(self) -> dict[str, Any]:
        """What there is to know now, as plain data."""
        reading = self.reading
        return {
            "used": reading and reading.used,
            "limit": reading and reading.limit,
            "limit_of": reading.whose if reading else "",
            "trend": self.trend.value,
            "steps": self._steps.status(),
        }

    def _look(self) -> None:
        reading = self._gauge.read()
        decisions: Sequence[Decision] = ()
        if reading is not None:
            self.reading = reading
            decisions = self._pressure.sample(reading.used, reading.limit, self._clock.seconds())
        self._rounds.wait(self._pressure.interval)
        self._steps.take(decisions)

    def _shrink(self) -> None:
        for thing in self.shrinkables:
            try:
                thing.shrink()
            except Exception:
                self.log.failure("{thing!r} could not give memory back", thing=thing)


class LagMonitor:
    """Watches how late the loop comes to what it was to do: the time that other work kept it.

    :param clock: an ``IReactorTime``.
    :param pause: called with whether accepting is to rest.
    :param pressure: decides; by default by the usual limit.
    """

    def __init__(
        self, clock: Any, pause: Callable[[bool], object], pressure: LagPressure | None = None
    ) -> None:
        self._clock = clock
        self._pressure = pressure or LagPressure()
        self._steps = _Steps(LAG, (Step.PAUSE,), pause)
        self._rounds = _Rounds(clock, self._look)
        self._seen: deque[tuple[float, float]] = deque()

    def __repr__(self) -> str:
        return f"<LagMonitor worst={self.worst:.3f} {self._pressure!r}>"

    @property
    def worst(self) -> float:
        """The most seconds that it was late in the last minute."""
        return max((late for _, late in self._seen), default=0.0)

    @property
    def pausing(self) -> str:
        """Why accepting rests; empty when the loop is no reason."""
        return self._steps.why.get(Step.PAUSE, "")

    def start(self) -> None:
        """Begin to look."""
        self._rounds.wait(self._pressure.interval)

    def stop(self) -> None:
        """Look no more.  A step that is in force stays so."""
        self._rounds.stop()

    def status(self) -> dict[str, Any]:
        """What there is to know now, as plain data."""
        return {"worst": round(self.worst, 6), "steps": self._steps.status()}

    def _look(self) -> None:
        now = self._clock.seconds()
        late = max(0.0, now - self._rounds.due)
        self._seen.append((now, late))
        while self._seen[0][0] <= now - MINUTE:
            self._seen.popleft()
        decisions = self._pressure.sample(late)
        self._rounds.wait(self._pressure.interval)
        self._steps.take(decisions)


@implementer(IShrinkable)
class Garbage:
    """What Python has not freed yet, and what it has freed and the C library still keeps."""

    def shrink(self) -> None:
        """Collect it, and give it to the system."""
        gc.collect()
        trim()


class Overload:
    """Both monitors of one process, and what they have in common: whether it takes new connections.

    :param options: what is watched, and from where on something is done.
    :param clock: an ``IReactorTime``.
    :param rest: called with whether accepting is to rest, and for what cause.
    :ivar memory: watches its memory.
    :ivar lag: watches its loop.
    """

    def __init__(self, options: OverloadOptions, clock: Any, rest: Callable[[bool, str], object]) -> None:
        self._options = options
        self.memory = MemoryMonitor(
            gauge(options.memory_limit),
            clock,
            lambda wanted: rest(wanted, MEMORY),
            MemoryPressure(options.shrink_at, options.pause_at),
        )
        self.lag = LagMonitor(clock, lambda wanted: rest(wanted, LAG), LagPressure(options.lag))

    def __repr__(self) -> str:
        return f"<Overload {'; '.join(self.reasons) or 'none'}>"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why no new connections are accepted, in words; empty when they are."""
        causes = {MEMORY: self.memory.pausing, LAG: self.lag.pausing}
        return tuple(f"overloaded: {cause}: {why}" for cause, why in causes.items() if why)

    def start(self, watched: bool) -> None:
        """Watch what the options ask for.

        :param watched: whether somebody wants to know the lag, though nothing be done about it.
        """
        if self._options.shrink_at or self._options.pause_at:
            self.memory.start()
        if self._options.lag or watched:
            self.lag.start()

    def stop(self) -> None:
        """Watch no more."""
        self.memory.stop()
        self.lag.stop()

    def status(self) -> dict[str, Any]:
        """What there is to know now, as plain data, by what is watched."""
        return {MEMORY: self.memory.status(), LAG: self.lag.status()}
