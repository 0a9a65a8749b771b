"""The figures of this process that the kernel gives."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from attrs import frozen

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
