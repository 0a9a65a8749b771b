"""How much memory is in use, and how much there may be: the kernel tells of a process and its groups."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = "/proc/self"
PAGE = os.sysconf("SC_PAGE_SIZE")
LONGEST = 16 * 1024
"""Bytes of any file that is read here."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


@frozen
class Reading:
    """Memory at one moment."""

    used: int
    """Bytes."""
    limit: int
    """Bytes that there may be."""
    whose: str
    """What the limit is of, for people."""

    @property
    def share(self) -> float:
        """How much of it is in use; 1 is all."""
        return self.used / self.limit


class Gauge(Protocol):
    """Tells how much memory is in use."""

    def open(self) -> bool:
        """Get ready; whether there is anything to tell."""

    def read(self) -> Reading | None:
        """Look now; ``None`` when it cannot be told."""

    def close(self) -> None:
        """Keep nothing open."""


class Resident:
    """What is resident of this process, of a limit that somebody has set.

    :param limit: bytes.
    :param proc: where the kernel tells of the process.
    """

    def __init__(self, limit: int, proc: str = PROC) -> None:
        self._limit = limit
        self._path = os.path.join(proc, "statm")
        self._files = _Files()

    def __repr__(self) -> str:
        return f"<Resident limit={self._limit}>"

    def open(self) -> bool:
        """Whether this system tells what is resident."""
        return self._files.open(self._path)

    def read(self) -> Reading | None:
        """Look now."""
        try:
            pages = int(self._files.read(self._path).split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return Reading(pages * PAGE, self._limit, "memory_limit")

    def close(self) -> None:
        """Keep nothing open."""
        self._files.close()


@frozen
class Version:
    """How one version of control groups calls what is asked of them."""

    controller: str
    kind: str
    used: str
    limits: tuple[str, ...]
    reclaimable: tuple[bytes, ...]


V2 = Version(
    "", "cgroup2", "memory.current", ("memory.max", "memory.high"),
    (b"inactive_file", b"active_file", b"slab_reclaimable"),
)  # fmt: skip
V1 = Version(
    "memory", "cgroup", "memory.usage_in_bytes", ("memory.limit_in_bytes",),
    (b"total_inactive_file", b"total_active_file"),
)  # fmt: skip

BOUNDLESS = 1 << 60
"""Bytes from which on a limit is none: how version 1 says that."""


class ControlGroups:
    """What is in use in the control groups of this process, nested in each other, of what each may have.

    That is more than what is resident here: the kernel counts the buffers of sockets too, and whoever else is
    in the group.  What it would give up by itself, such as files that were read, is left out.  The group told
    of is the one that is nearest to its limit.  Which groups have one is seen when this is opened; the limits
    are read each time.

    :param proc: where the kernel tells of the process.
    """

    def __init__(self, proc: str = PROC) -> None:
        self._proc = proc
        self._files = _Files()
        self._groups: list[tuple[Version, str]] = []

    def __repr__(self) -> str:
        return f"<ControlGroups {' '.join(folder for _, folder in self._groups) or 'none'}>"

    def open(self) -> bool:
        """Whether one of them is limited."""
        self._groups = [
            (version, folder)
            for version in (V2, V1)
            for folder in _folders(self._proc, version)
            if self._files.open(*(os.path.join(folder, name) for name in _names(version)))
            and self._look(version, folder) is not None
        ]
        return bool(self._groups)

    def read(self) -> Reading | None:
        """Look now."""
        found = [reading for group in self._groups if (reading := self._look(*group)) is not None]
        return max(found, key=lambda reading: reading.share, default=None)

    def close(self) -> None:
        """Keep nothing open."""
        self._files.close()
        self._groups = []

    def _look(self, version: Version, folder: str) -> Reading | None:
        try:
            limit = self._limit(version, folder)
            used = int(self._files.read(os.path.join(folder, version.used)))
            stat = self._files.read(os.path.join(folder, "memory.stat"))
        except (OSError, ValueError):
            return None
        if limit is None:
            return None
        freed = sum(
            int(number)
            for name, _, number in (line.partition(b" ") for line in stat.splitlines())
            if name in version.reclaimable
        )
        return Reading(max(0, used - freed), limit, f"control group {folder}")

    def _limit(self, version: Version, folder: str) -> int | None:
        texts = (self._files.read(os.path.join(folder, name)) for name in version.limits)
        limits = [int(text) for text in texts if text.strip() != b"max"]
        return min((limit for limit in limits if 0 < limit < BOUNDLESS), default=None)


def gauge(limit: int) -> Gauge:
    """What tells of the memory of this process.

    :param limit: bytes that it may have; 0 for what its control groups may.
    """
    return Resident(limit) if limit else ControlGroups()


def most() -> int | None:
    """Bytes that this process may have by its control groups and by what this machine has; ``None`` where
    that is not told.
    """
    groups = ControlGroups()
    try:
        found = groups.read() if groups.open() else None
    finally:
        groups.close()
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * PAGE
    except (OSError, ValueError):
        machine = 0
    return min((each for each in (machine, found.limit if found else 0) if each > 0), default=None)


def _names(version: Version) -> tuple[str, ...]:
    return (version.used, "memory.stat", *version.limits)


def _folders(proc: str, version: Version) -> Iterator[str]:
    """The folder of the process's own group, and of each that it lies in, as far as they can be seen."""
    path = _path(proc, version)
    for root, mount in _mounts(proc, version):
        # A container sees its own group as the root of all, and is told the path that the host sees.
        inside = os.path.relpath(path, root) if path is not None else ""
        folder = os.path.normpath(os.path.join(mount, inside))
        if path is None or inside.startswith("..") or not os.path.isdir(folder):
            folder = mount
        while True:
            yield folder
            if folder == mount:
                break
            folder = os.path.dirname(folder)
        return


def _path(proc: str, version: Version) -> str | None:
    """The path of the process's group, as ``cgroup`` tells it."""
    for line in _lines(proc, "cgroup"):
        _, controllers, path = line.split(":", 2)
        if version.controller in controllers.split(","):
            return path
    return None


def _mounts(proc: str, version: Version) -> Iterator[tuple[str, str]]:
    """Where such groups are mounted: the group that is the root there, and the folder.  See proc(5)."""
    for line in _lines(proc, "mountinfo"):
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind == version.kind and (not version.controller or version.controller in options.split(",")):
            root, mount = (_plain(field) for field in fields.split(" ")[3:5])
            yield root, mount


def _lines(proc: str, name: str) -> list[str]:
    try:
        with open(os.path.join(proc, name), encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _plain(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


class _Files:
    """Files of the kernel that are read again and again: each reading tells what is so then."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._numbers: dict[str, int] = {}

    def open(self, *paths: str) -> bool:
        """Open them; whether all are there."""
        with ExitStack() as opened:
            numbers = {}
            for path in paths:
                try:
                    numbers[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    return False
                opened.callback(os.close, numbers[path])
            self._numbers.update(numbers)
            self._opened.push(opened.pop_all())
        return True

    def read(self, path: str) -> bytes:
        """What it says now."""
        return os.pread(self._numbers[path], LONGEST, 0)

    def close(self) -> None:
        """Close all of them."""
        self._numbers.clear()
        self._opened.close()
