"""The figures of this process that the kernel and the reactor's own clock give."""

from __future__ import annotations

import os
import resource
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

LAG_INTERVAL = 1.0
"""Seconds between two looks at how late the reactor is."""
LAG_LOOKS = 60
"""Looks that are remembered: scrapes are seldom further apart than these."""

_PROC = Path("/proc/self")


@frozen
class ProcessFigures:
    """What the process uses.  What this system does not tell is ``None``."""

    cpu_seconds: float
    max_fds: int
    resident_bytes: int | None
    open_fds: int | None
    start_time: float | None
    """When it began, in seconds since the epoch."""

    @classmethod
    def read(cls) -> ProcessFigures:
        """Look now; reads a few lines below ``/proc``."""
        return cls(
            time.process_time(),
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            _resident(),
            _open_fds(),
            _start_time(),
        )


def _resident() -> int | None:
    try:
        return int(Path(_PROC, "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _open_fds() -> int | None:
    folder = Path(_PROC, "fd")
    try:
        # Newer kernels tell the number as the size of the folder; listing 20,000 entries takes 10 ms.
        return folder.stat().st_size or len(os.listdir(folder))
    except OSError:
        return None


def _start_time() -> float | None:
    try:
        # Behind the name, which may hold anything, field 22 is the start in ticks since boot.
        ticks = int(Path(_PROC, "stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, StopIteration):
        return None
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


class LagWatch:
    """How late the reactor comes to what it was to do: the time that other work kept it.

    :param reactor: an ``IReactorTime``.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._seen: deque[float] = deque(maxlen=LAG_LOOKS)
        self._due = 0.0
        self._call: IDelayedCall | None = None

    @property
    def worst(self) -> float:
        """The most seconds that it was late in the last minute."""
        return max(self._seen, default=0.0)

    def start(self) -> None:
        """Begin to look."""
        self._due = self._reactor.seconds() + LAG_INTERVAL
        self._call = self._reactor.callLater(LAG_INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._seen.append(max(0.0, self._reactor.seconds() - self._due))
        self.start()
