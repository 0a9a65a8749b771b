"""What a pool of connections to one server is told: its settings, and good ones by name and by load.

:func:`problems` says what does not fit together, before a pool finds out under load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import ceil, isfinite
from types import MappingProxyType
from typing import Any

from attrs import field, fields, frozen

ON_DEMAND, PRECONNECT, SESSION, MESSAGE = MODES = ("on_demand", "preconnect", "session", "message")
"""How connections are supplied: made for each client; made ahead, each used once; used again after a reset;
used again at once, for a framed protocol.
"""

LIFO, FIFO = IDLE_ORDERS = ("lifo", "fifo")
"""Which idle connection is taken: the one used last, so that others may go; or the one idle for longest."""


DAY = 86400.0

_AHEAD = (PRECONNECT, SESSION, MESSAGE)
_REUSING = (SESSION, MESSAGE)


def _setting(default: float, low: float, high: float, modes: tuple[str, ...]) -> Any:
    """A field: its default, the least and the most that it may be, and the modes that look at it."""
    return field(default=default, metadata={"bounds": (low, high), "modes": modes})


@frozen
class PoolSettings:
    """How one pool supplies connections to its server.  All times are seconds.

    ``on_demand`` and ``preconnect`` lend a connection once and for good; ``session`` and ``message`` take it
    back and lend it again.  What is said of idle connections, of health checks and of waiting concerns those
    two alone (see :func:`concerns`).
    """

    mode: str = ON_DEMAND
    """One of :data:`MODES`."""
    max_connections: int = _setting(10, 1, 100_000, _AHEAD)
    """Connections at most, those being made included; in ``preconnect`` those that are or become warm."""
    min_connections: int = _setting(2, 0, 100_000, _AHEAD)
    """Connections that are made before anybody asks, and replaced; ``on_demand`` makes none."""
    acquire_timeout: float = _setting(5.0, 0.001, DAY, _REUSING)
    """Who waits longer for a connection gets an error; who names a time has that instead."""
    max_waiters: int = _setting(1000, 0, 1_000_000, _REUSING)
    """Who comes while so many wait is refused at once; in every mode while a pause holds so many."""
    idle_timeout: float = _setting(60.0, 0.1, DAY, _REUSING)
    """A connection that is idle for longer is closed, while there are more than the minimum."""
    max_idle_time: float = _setting(300.0, 0.1, DAY, _REUSING)
    """A connection that is idle for longer is closed in any case, and replaced."""
    max_lifetime: float = _setting(3600.0, 1, 30 * DAY, _REUSING)
    """A connection that is older is closed once it is idle."""
    lifetime_jitter: float = _setting(0.1, 0, 1, _REUSING)
    """The share of its lifetime that a connection may lack, for those made together must not go together."""
    max_uses: int = _setting(0, 0, 1_000_000_000, _REUSING)
    """A connection that was lent so often is closed; 0 for no limit."""
    health_check_interval: float = _setting(30.0, 0.1, DAY, _REUSING)
    """Between two checks of a connection that stays idle."""
    eviction_interval: float = _setting(60.0, 0.1, DAY, _REUSING)
    """Between two looks for connections that are idle for too long."""
    max_connecting: int = _setting(4, 1, 1000, _AHEAD)
    """Connections being made at once to reach the minimum: a server that returns is not met by a herd."""
    back_off: float = _setting(0.2, 0.001, 3600, _AHEAD)
    """To the next try after the first one that failed."""
    back_off_factor: float = _setting(1.5, 1, 100, _AHEAD)
    """How much longer each further wait is."""
    back_off_limit: float = _setting(30.0, 0.001, 3600, _AHEAD)
    """Between two tries at most."""
    validate_idle: float = _setting(0.5, 0, DAY, _REUSING)
    """A connection that was idle for longer is validated before it is lent."""
    validation_timeout: float = _setting(1.0, 0.001, 3600, _REUSING)
    """A validation or a reset that takes longer has failed."""
    leak_warning: float = _setting(60.0, 0.1, 30 * DAY, _REUSING)
    """A connection that is lent for longer is told of in the log, with the name of who holds it."""
    idle_order: str = field(default=LIFO, metadata={"modes": _REUSING})
    """One of :data:`IDLE_ORDERS`."""
    warm_max_age: float = _setting(5.0, 0.1, 3600, (PRECONNECT,))
    """A warm connection that nobody took for so long is replaced."""
    error_rate: float = _setting(0.1, 0.001, 1, _REUSING)
    """A connection that failed in a larger share of at least ten uses is retired."""
    errors_in_row: int = _setting(3, 1, 1000, _REUSING)
    """A connection that failed so often without a success between is retired."""

    @property
    def reuses(self) -> bool:
        """Whether a connection that was given back is lent again."""
        return self.mode in _REUSING

    @property
    def kept(self) -> int:
        """Connections that are made before anybody asks: the minimum, in a mode that has one."""
        return 0 if self.mode == ON_DEMAND else self.min_connections

    def verify(self) -> PoolSettings:
        """These very settings, if a pool can follow them.

        :raises ValueError: when it cannot; ``str`` says everything that is impossible.
        """
        impossible = [problem.text for problem in problems(self) if problem.impossible]
        if impossible:
            raise ValueError("; ".join(impossible))
        return self


def bounds(name: str) -> tuple[float, float]:
    """The least and the most that the setting of this name may be."""
    low, high = getattr(fields(PoolSettings), name).metadata["bounds"]
    return low, high


def concerns(name: str, mode: str) -> bool:
    """Whether a pool in this mode looks at the setting of this name."""
    return mode in getattr(fields(PoolSettings), name).metadata.get("modes", MODES)


PRESET_FIELDS = (
    "min_connections",
    "max_connections",
    "acquire_timeout",
    "idle_timeout",
    "max_idle_time",
    "max_lifetime",
    "health_check_interval",
    "eviction_interval",
)
"""The settings that a preset decides."""


def _preset(*values: float) -> Mapping[str, Any]:
    return MappingProxyType(dict(zip(PRESET_FIELDS, values, strict=True)))


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "high-throughput": _preset(10, 50, 3.0, 30.0, 120.0, 600.0, 15.0, 30.0),
        "low-latency": _preset(20, 100, 1.0, 10.0, 60.0, 300.0, 10.0, 20.0),
        "resource-constrained": _preset(2, 10, 10.0, 120.0, 600.0, 7200.0, 60.0, 120.0),
        "balanced": _preset(5, 20, 5.0, 60.0, 300.0, 3600.0, 30.0, 60.0),
    }
)
"""Settings by what matters most, for ``PoolSettings(mode="session", **PRESETS["balanced"])``."""


def recommended_size(arrivals_per_s: float, mean_s: float) -> tuple[int, int]:
    """``min_connections`` and ``max_connections`` for this load, by Little's law: on average as many are used
    as come in a second, times the seconds that each stays.

    Half of that is kept, for calm times; twice as much is allowed, for rushes; never under 2 and 10.

    :param arrivals_per_s: connections that are asked for in a second, 0 or more.
    :param mean_s: seconds that one is held on average, 0 or more.
    :raises ValueError: when one of them is negative, or no number, or no pool may be as large as that.
    """
    for number in (arrivals_per_s, mean_s):
        if not (isfinite(number) and number >= 0):
            raise ValueError(f"expected a number of 0 or more, got {number!r}")
    # Exact, as people write them: 100 a second times 0.07 s are 7, where floats make a little more of it.
    in_use = Fraction(str(arrivals_per_s)) * Fraction(str(mean_s))
    least, most = max(2, ceil(in_use / 2)), max(10, ceil(in_use * 2))
    if most > (largest := bounds("max_connections")[1]):
        raise ValueError(
            f"{arrivals_per_s:g} a second, for {mean_s:g} s each, want more than the {largest:g} connections "
            "that a pool may have"
        )
    return least, most


@frozen
class Problem:
    """Something about settings that does not fit together."""

    text: str
    """A sentence with the names and the numbers."""
    names: tuple[str, ...]
    """The settings that it is about; the first one is most likely at fault."""
    impossible: bool = False
    """Whether no pool can follow them; else one can, but hardly anybody wants it."""


def problems(settings: PoolSettings) -> list[Problem]:
    """Everything that is wrong with ``settings``, the impossible first; what their mode does not look at is
    not judged.
    """
    return [*_impossible(settings), *_doubtful(settings)]


def _impossible(s: PoolSettings) -> Iterator[Problem]:
    def problem(text: str, *names: str) -> Problem:
        return Problem(text, names, impossible=True)

    for name, words in (("mode", MODES), ("idle_order", IDLE_ORDERS)):
        if (value := getattr(s, name)) not in words:
            yield problem(f"{name} is {value!r}, and must be one of {', '.join(words)}", name)
    for name in (attribute.name for attribute in fields(PoolSettings) if "bounds" in attribute.metadata):
        (low, high), value = bounds(name), getattr(s, name)
        if not low <= value <= high:
            yield problem(f"{name} is {value:g}, and must be from {low:g} to {high:g}", name)
    if s.kept > s.max_connections:
        yield problem(
            f"min_connections ({s.kept}) is over max_connections ({s.max_connections})",
            "min_connections",
            "max_connections",
        )
    if s.mode != ON_DEMAND and s.back_off > s.back_off_limit:
        yield problem(
            f"back_off ({s.back_off:g} s) is over back_off_limit ({s.back_off_limit:g} s)",
            "back_off",
            "back_off_limit",
        )


def _doubtful(s: PoolSettings) -> Iterator[Problem]:
    if s.mode == PRECONNECT and s.min_connections == 0:
        text = "min_connections is 0, so preconnect keeps none warm, and does what on_demand does"
        yield Problem(text, ("min_connections",))
    if not s.reuses:
        return
    if s.acquire_timeout < 1:
        yield Problem(
            f"acquire_timeout ({s.acquire_timeout:g} s) is under 1 s: "
            "a new connection takes longer when one packet of it is lost",
            ("acquire_timeout",),
        )
    if s.health_check_interval < 10:
        yield Problem(
            f"health_check_interval ({s.health_check_interval:g} s) is under 10 s: that makes up to "
            f"{s.max_connections / s.health_check_interval:g} checks a second of one server",
            ("health_check_interval",),
        )
    if s.max_idle_time < s.idle_timeout:
        yield Problem(
            f"max_idle_time ({s.max_idle_time:g} s) is under idle_timeout ({s.idle_timeout:g} s), "
            "which then never comes to pass",
            ("max_idle_time", "idle_timeout"),
        )
    if s.max_lifetime < s.max_idle_time:
        yield Problem(
            f"max_lifetime ({s.max_lifetime:g} s) is under max_idle_time ({s.max_idle_time:g} s), "
            "which then never comes to pass",
            ("max_lifetime", "max_idle_time"),
        )
    if s.eviction_interval > s.max_idle_time:
        yield Problem(
            f"eviction_interval ({s.eviction_interval:g} s) is over max_idle_time ({s.max_idle_time:g} s): "
            f"a connection may stay idle for {s.eviction_interval + s.max_idle_time:g} s",
            ("eviction_interval", "max_idle_time"),
        )
    if s.validation_timeout > s.acquire_timeout:
        yield Problem(
            f"validation_timeout ({s.validation_timeout:g} s) is over acquire_timeout "
            f"({s.acquire_timeout:g} s): one silent connection costs who waits all the time there is",
            ("validation_timeout", "acquire_timeout"),
        )
