"""The file of overrides: read when it changes, while the process runs."""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tcpsuite.core.limits import NO_OVERRIDES, Overrides, OverridesError, parse_overrides
from tcpsuite.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    InThread = Callable[[Callable[[], Any]], Deferred[Any]]

LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether it has changed."""
LARGEST = 4 * 1024**2
"""Bytes of a file: a hundred thousand lines, which a thread reads in a second or two."""


class OverrideFile:
    """Tells who wants to know of the overrides in a file, now and whenever they change.

    A file that is faulty or cannot be read leaves in force what was; the log tells all its faults, once.

    :param path: the file.
    :param clock: an ``IReactorTime``.
    :param in_thread: runs a function in a thread, and gives a Deferred of its result.
    :ivar overrides: those in force.
    """

    log = Logger()

    def __init__(self, path: str, clock: Any, in_thread: InThread) -> None:
        self.path = path
        self.overrides: Overrides = NO_OVERRIDES
        self._in_thread = in_thread
        self._told: list[Callable[[Overrides], None]] = []
        self._stamp: tuple[int, ...] = ()
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock

    def __repr__(self) -> str:
        return f"<OverrideFile {self.path} lines={len(self.overrides)}>"

    def tell(self, told: Callable[[Overrides], None]) -> None:
        """Call ``told`` with the overrides, whenever they have changed."""
        self._told.append(told)

    def load(self) -> None:
        """Read it; may block.

        :raises StartError: when it cannot be read, or is faulty: with all its faults.
        """
        self._stamp = _stamp(self.path)
        self.overrides = read_overrides(self.path)

    def start(self) -> None:
        """Look for changes from now on."""
        self._looking.start(LOOK_INTERVAL, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    async def look(self) -> None:
        """See whether it has changed, and if so read it."""
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            overrides = await self._in_thread(partial(read_overrides, self.path))
        except StartError as error:
            self.log.error("the overrides of limits stay as they were: {error}", error=error)
            return
        except Exception:
            # Whatever it was, the next change of the file is to be seen.
            self.log.failure("the overrides of limits stay as they were, by a fault of ours")
            return
        self.overrides = overrides
        for told in self._told:
            told(overrides)
        self.log.info(
            "overrides of limits by {path}: {number} in force now", number=len(overrides), path=self.path
        )


def read_overrides(path: str) -> Overrides:
    """The overrides in a file; may block.

    :raises StartError: when it cannot be read, or is faulty: with the path, and the line of each fault.
    """
    try:
        # A pipe would wait for its other end.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StartError(f"{path}: it is no ordinary file")
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise StartError(f"{path}: it has more than {LARGEST} bytes")
        return parse_overrides(text.decode())
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartError(f"{path}: it is not UTF-8") from None
    except OverridesError as error:
        raise StartError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def _stamp(path: str) -> tuple[int, ...]:
    """What is another whenever the file is."""
    try:
        status = os.stat(path)
    except OSError:
        return ()  # reading it says why
    # The change time tells of a new mode or owner too: what could not be read perhaps can be now.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
