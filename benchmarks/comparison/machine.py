"""What the figures were taken on: processors, versions, and what the kernel says of a process."""

from __future__ import annotations

import os
import platform
import random
import re
import resource
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROCESSORS = sorted(os.sched_getaffinity(0))
SERVER, BACKEND, LOAD = PROCESSORS[0], PROCESSORS[-2 if len(PROCESSORS) > 2 else -1], PROCESSORS[-1]
"""The processor of each part of a measurement: of two, a relay's backend shares the load's."""

ENOUGH_FILES = 65_536
TICKS = os.sysconf("SC_CLK_TCK")
_given_ports: set[int] = set()


def raise_file_limit() -> int:
    """Allow this process, and so the servers, all descriptors that it may have; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files


def free_port() -> int:
    """A TCP port that nobody listens on, below those that the kernel gives to clients: a relay takes many."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def waiting_sockets() -> int:
    """How many sockets are in TIME_WAIT on this machine."""
    found = re.search(r"^TCP:.* tw (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def family(pid: int) -> list[int]:
    """The process and its children, as far as the kernel tells."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split() if children.exists() else ())]


def resident(pid: int) -> int:
    """Resident memory of the process and its children now, in bytes, to the page."""
    return _kilobytes(pid, "smaps_rollup", "Rss")


def most_resident(pid: int) -> int:
    """The most resident memory that the process and its children have had, in bytes."""
    return _kilobytes(pid, "status", "VmHWM")


def _kilobytes(pid: int, name: str, field: str) -> int:
    found = (re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE) for text in _told(pid, name))
    return sum(int(each[1]) * 1024 for each in found if each)


def _told(pid: int, name: str) -> Iterator[str]:
    """What the kernel tells of the process, and of those of its children that have not ended by now."""
    for each in family(pid):
        try:
            yield Path(f"/proc/{each}/{name}").read_text()
        except (FileNotFoundError, ProcessLookupError):
            if each == pid:
                raise


def busy_seconds(pid: int) -> float:
    """Processor time that the process and its children have had."""
    fields = (text.rpartition(")")[2].split() for text in _told(pid, "stat"))
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS


def processor_seconds(number: int) -> float:
    """Time that a processor has been busy, with whatever."""
    found = re.search(rf"^cpu{number} (.*)$", Path("/proc/stat").read_text(), re.MULTILINE)
    user, nice, system, _idle, _waiting, *interrupts = map(int, found[1].split() if found else [0] * 5)
    return (user + nice + system + sum(interrupts[:2])) / TICKS


def version_of(argv: Sequence[str], pattern: str = r"\d+(\.\d+)+") -> str:
    """What ``pattern`` finds in the output of a command, empty if it cannot be had."""
    if not shutil.which(argv[0]):
        return ""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[0] if found else ""


def describe(python: str) -> str:
    """One line on this machine and what is installed."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    kernel = re.match(r"\d+\.\d+", platform.release())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    count = len(PROCESSORS)
    kind = (model[1].strip() if model else platform.machine()) + (", virtual" if virtual else "")
    parts = [
        f"{count} processor{'s'[: count != 1]} ({kind}), {memory:.0f} GiB",
        f"Linux {kernel[0] if kernel else platform.release()}",
    ]
    versions = {
        "CPython": version_of([python, "--version"]),
        "Twisted": version_of([python, "-c", "import twisted; print(twisted.__version__)"]),
        "uvloop": version_of([python, "-c", "import uvloop; print(uvloop.__version__)"]),
        "Go": version_of(["go", "version"]),
        "Node": version_of(["node", "--version"]),
        "HAProxy": version_of(["haproxy", "-v"]),
        "nginx": version_of(["nginx", "-v"]),
    }
    return ", ".join([*parts, *(f"{name} {version}" for name, version in versions.items() if version)])
