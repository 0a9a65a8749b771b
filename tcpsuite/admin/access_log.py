"""The access log: one line a connection, written when it has ended."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.logger import Logger

from tcpsuite.core.connections import Reason
from tcpsuite.errors import StartError
from tcpsuite.options import OptionError, option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from tcpsuite.core.connections import Connection

REFUSALS_A_SECOND = 10
"""Lines a second for connections that a limit refused: a flood of them must not fill the disk."""
LONGEST_TEXT = 256
"""Characters of a text that a peer may have had a hand in; the rest is left out."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether the file was moved away."""
WARN_INTERVAL = 60.0
"""Seconds between two warnings that lines cannot be written."""
WRITE_INTERVAL = 0.25
"""Seconds in which lines gather to be written to a file together: who follows a log does not notice."""
MOST_WAITING = 1000
"""Lines that wait for each other at most, some 200 KB of them."""

_STDOUT = 1
_NEWLINE = ord("\n")
_BARE = re.compile(r"[A-Za-z0-9._:/@+%\[\]][A-Za-z0-9._:/@+%\[\]-]*")


def _destination(value: str) -> None:
    if value not in {"", "-"} and not value.startswith("/"):
        raise OptionError("an absolute path, - for standard output, or nothing", value)


@frozen
class AccessLogOptions:
    """The ``[access_log]`` table."""

    path: str = option(
        "",
        "Where each connection leaves a line: an absolute path, - for standard output, or empty for nowhere.",
        check=_destination,
    )
    format: str = option("text", "How a line is written: text or json.", choices=("text", "json"))


def json_line(connection: Connection, at: float, unlogged: int = 0) -> str:
    """A connection that has ended, as one JSON object in ASCII.

    :param at: when it ended, in seconds since the epoch.
    :param unlogged: how many refusals before this one left no line.
    """
    values = {
        "time": _time(at),
        "id": connection.id,
        "peer": connection.peer,
        "listener": connection.listener,
        "service": connection.service,
        "server": connection.server,
        "user": _clip(connection.user),
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
        "seconds": round(_seconds(connection), 3),
        "reason": _reason(connection),
        "detail": _clip(connection.detail),
        "attempts": [
            {"server": attempt.server, "error": _clip(attempt.error), "seconds": round(attempt.seconds, 6)}
            for attempt in connection.attempts
        ],
    }
    return _as_json({**values, "unlogged": unlogged} if unlogged else values)


def text_line(connection: Connection, at: float, unlogged: int = 0) -> str:
    """The same as ``name=value``, the time before them; ``-`` stands for nothing.

    A value with anything but letters, digits and ``._:/@+%[]-`` in it is a JSON string, in ASCII: whatever a
    peer can bring in stays within its quotes and its line.
    """
    attempts = ", ".join(
        f"{attempt.server}: {_clip(attempt.error) or 'ok'} ({attempt.seconds:.6f} s)"
        for attempt in connection.attempts
    )
    line = (
        f"{_time(at)} id={connection.id} peer={_text(connection.peer)}"
        f" listener={_name(connection.listener)} service={_name(connection.service)}"
        f" server={_name(connection.server)} user={_said(connection.user)}"
        f" bytes_in={connection.bytes_in} bytes_out={connection.bytes_out}"
        f" seconds={round(_seconds(connection), 3)} reason={_reason(connection)}"
        f" detail={_said(connection.detail)} attempts={_text(attempts)}"
    )
    return f"{line} unlogged={unlogged}" if unlogged else line


_as_json = json.JSONEncoder(separators=(",", ":")).encode


def _seconds(connection: Connection) -> float:
    return connection.duration(connection.started)


def _time(at: float) -> str:
    second, fraction = divmod(at, 1)
    return f"{_second(second)}.{int(fraction * 1000):03}Z"


@lru_cache(maxsize=2)
def _second(second: float) -> str:
    """That second since the epoch; many connections end in one."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _reason(connection: Connection) -> str:
    assert connection.reason is not None, "it has ended"
    return connection.reason.value


def _text(value: str) -> str:
    if not value:
        return "-"
    return value if _BARE.fullmatch(value) else _as_json(value)


_name = lru_cache(maxsize=256)(_text)  # of things that are configured: there are few


def _said(text: str) -> str:
    """What a peer may have brought in, at any length."""
    return _text(_clip(text)) if text else "-"


def _clip(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


_FORMATS: Mapping[str, Callable[[Connection, float, int], str]] = {"text": text_line, "json": json_line}


class AccessLog:
    """Writes the lines: :meth:`write` is called with each connection at its end.

    To a file several are written together, none later than :data:`WRITE_INTERVAL`; to all else, a pipe say,
    each by itself and at once.  A file that was moved away is opened anew under its own name within a second.
    What cannot be written (a full disk, a reader that stalls or went away) is lost, and said in our own log
    once a minute.

    :param wall: gives the seconds since the epoch, for the times in the lines.
    :ivar lost: lines that could not be written, or not to their end.
    """

    log = Logger()

    def __init__(
        self, options: AccessLogOptions, clock: IReactorTime, wall: Callable[[], float] = time.time
    ) -> None:
        self.lost = 0
        self._path = options.path
        self._format = _FORMATS[options.format]
        self._clock = clock
        self._wall = wall
        self._fd: int | None = None
        self._write: Callable[[int, bytes], int] = os.write
        self._waiting: list[str] = []
        self._timer: IDelayedCall | None = None
        self._together = False
        self._cut = False
        self._next_look = 0.0
        self._next_warning = 0.0
        self._second = -1
        self._refusals = 0
        self._unlogged = 0

    def __repr__(self) -> str:
        return f"<AccessLog {self._path or 'off'} lost={self.lost}>"

    def open(self) -> None:
        """Get ready to write.

        :raises StartError: naming the path, when it cannot be opened.
        """
        if not self._path:
            return
        try:
            if self._path == "-":
                # Not sys.stdout: Twisted puts its own log there.
                self._fd, self._write = _standard_output()
            else:
                self._fd = _open(self._path)
        except OSError as error:
            raise StartError(f"access_log: cannot write to {self._path}: {error.strerror}") from error
        self._together = stat.S_ISREG(os.fstat(self._fd).st_mode)

    def close(self) -> None:
        """Write what waits, and then no more."""
        self.flush()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def write(self, connection: Connection) -> None:
        """A connection ended, or was refused."""
        if self._fd is None or (connection.reason is Reason.LIMITED and not self._may_log_refusal()):
            return
        unlogged = 0
        if connection.reason is Reason.LIMITED:
            unlogged, self._unlogged = self._unlogged, 0
        self._waiting.append(self._format(connection, self._wall(), unlogged))
        if not self._together or len(self._waiting) >= MOST_WAITING:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(WRITE_INTERVAL, self.flush)

    def flush(self) -> None:
        """Write what waits, now."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._waiting:
            self._look()
            self._send("".join(f"{line}\n" for line in self._waiting))
            self._waiting.clear()

    def _may_log_refusal(self) -> bool:
        second = int(self._clock.seconds())
        if second != self._second:
            self._second, self._refusals = second, 0
        self._refusals += 1
        if self._refusals > REFUSALS_A_SECOND:
            self._unlogged += 1
            return False
        return True

    def _look(self) -> None:
        now = self._clock.seconds()
        if self._path == "-" or now < self._next_look:
            return
        self._next_look = now + LOOK_INTERVAL
        assert self._fd is not None
        here = os.fstat(self._fd)
        try:
            there = os.stat(self._path)
        except OSError:
            self._replace()
        else:
            if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
                self._replace()

    def _replace(self) -> None:
        """Open the file anew; the old one stays in use when that fails."""
        try:
            fd = _open(self._path)
        except OSError as error:
            self._complain(error)
        else:
            assert self._fd is not None
            os.close(self._fd)
            self._fd, self._cut = fd, False
            self._together = stat.S_ISREG(os.fstat(fd).st_mode)

    def _send(self, lines: str) -> None:
        assert self._fd is not None
        # What was cut short must not swallow the next line.
        data = (b"\n" if self._cut else b"") + lines.encode("ascii")
        try:
            written = self._write(self._fd, data)
        except OSError as error:
            self.lost += lines.count("\n")
            self._complain(error)
            return
        if written < len(data):
            self.lost += data.count(b"\n", written)
            self._complain(OSError(errno.EIO, "there was no room for a whole line"))
        self._cut = data[written - 1] != _NEWLINE

    def _complain(self, error: OSError) -> None:
        now = self._clock.seconds()
        if now >= self._next_warning:
            self._next_warning = now + WARN_INTERVAL
            self.log.warn(
                "the access log {path} cannot be written: {error}; {lost} lines are lost",
                path=self._path, error=error.strerror, lost=self.lost,
            )  # fmt: skip


def _open(path: str) -> int:
    # Without O_NONBLOCK a FIFO that nobody reads would stop the process here.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    return os.open(path, flags, 0o640)


def _standard_output() -> tuple[int, Callable[[int, bytes], int]]:
    """A descriptor for standard output, and what writes to it without waiting.

    Others write there too, and may want to wait: the descriptor that is shared with them stays as it is.
    """
    if os.isatty(_STDOUT):
        with suppress(OSError):  # another user's, or one that is in another container
            flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
            return os.open(f"/proc/self/fd/{_STDOUT}", flags), os.write
    fd = os.dup(_STDOUT)
    return fd, os.write if stat.S_ISREG(os.fstat(fd).st_mode) else _write_ready


def _write_ready(fd: int, data: bytes) -> int:
    """As much of ``data`` as a pipe or socket takes without waiting.

    :raises OSError: when that is nothing.
    """
    ready = select.poll()
    ready.register(fd, select.POLLOUT)
    written = 0
    # What is ready takes PIPE_BUF bytes at once.
    while written < len(data) and ready.poll(0):
        written += os.write(fd, data[written : written + select.PIPE_BUF])
    if not written:
        raise BlockingIOError(errno.EAGAIN, "nobody reads it")
    return written
