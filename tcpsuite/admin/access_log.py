"""The access log: one line a connection, written when it ends."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import stat
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.logger import Logger

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.errors import StartError
from tcpsuite.options import OptionError, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

REFUSALS_A_SECOND = 10
"""Lines a second for connections that a limit refused: a flood of them must not fill the disk."""
LONGEST_TEXT = 256
"""Characters of a text that a peer may have had a hand in; the rest is left out."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether the file was moved away."""
WARN_INTERVAL = 60.0
"""Seconds between two warnings that lines cannot be written."""

_STDOUT = 1
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


def fields(connection: Connection, unlogged: int = 0) -> dict[str, Any]:
    """What a line says of a connection that has ended, in its order.

    :param unlogged: how many refusals before this one left no line.
    """
    seconds = connection.duration(connection.started)
    ended = datetime.fromtimestamp(connection.opened_at + seconds, UTC)
    values = {
        "time": ended.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "id": connection.id,
        "peer": connection.peer,
        "listener": connection.listener,
        "service": connection.service,
        "server": connection.server,
        "user": _clip(connection.user),
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
        "seconds": round(seconds, 3),
        "reason": connection.reason.value if connection.reason else "",
        "detail": _clip(connection.detail),
        "attempts": [
            {"server": attempt.server, "error": _clip(attempt.error), "seconds": round(attempt.seconds, 3)}
            for attempt in connection.attempts
        ],
    }
    return {**values, "unlogged": unlogged} if unlogged else values


def json_line(values: dict[str, Any]) -> str:
    """The fields as one JSON object, in ASCII."""
    return json.dumps(values, separators=(",", ":"))


def text_line(values: dict[str, Any]) -> str:
    """The fields as ``name=value``, the time before them; ``-`` stands for nothing.

    A value with anything but letters, digits and ``._:/@+%[]-`` in it is a JSON string, in ASCII: whatever a
    peer can bring in stays within its quotes and its line.
    """
    rest = " ".join(f"{name}={_text(value)}" for name, value in values.items() if name != "time")
    return f"{values['time']} {rest}"


def _text(value: Any) -> str:
    match value:
        case [] | "":
            return "-"
        case list():
            value = ", ".join(
                f"{each['server']}: {each['error'] or 'ok'} ({each['seconds']} s)" for each in value
            )
        case int() | float():
            return str(value)
    return value if _BARE.fullmatch(value) else json.dumps(value)


def _clip(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


_FORMATS = {"text": text_line, "json": json_line}


class AccessLog:
    """Writes the lines: :meth:`write` is called with each connection at its end.

    A file that was moved away is opened anew under its own name within a second, or by :meth:`reopen`.  What
    cannot be written (a full disk, a reader that stalls or went away) is lost, and said in our own log once a
    minute.

    :ivar lost: lines that could not be written, or not to their end.
    """

    log = Logger()

    def __init__(self, options: AccessLogOptions, clock: IReactorTime) -> None:
        self.lost = 0
        self._path = options.path
        self._format = _FORMATS[options.format]
        self._clock = clock
        self._fd: int | None = None
        self._write: Callable[[int, bytes], int] = os.write
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

    def close(self) -> None:
        """Write no more."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def reopen(self) -> None:
        """Open the file anew, for whoever moved it away; the old one stays in use when that fails."""
        if self._fd is None or self._path == "-":
            return
        try:
            fd = _open(self._path)
        except OSError as error:
            self._complain(error)
        else:
            self.close()
            self._fd, self._cut = fd, False

    def write(self, connection: Connection) -> None:
        """A connection ended, or was refused."""
        if self._fd is None or (connection.reason is Reason.LIMITED and not self._may_log_refusal()):
            return
        unlogged = 0
        if connection.reason is Reason.LIMITED:
            unlogged, self._unlogged = self._unlogged, 0
        self._look()
        self._send(self._format(fields(connection, unlogged)) + "\n")

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
            self.reopen()
        else:
            if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
                self.reopen()

    def _send(self, line: str) -> None:
        assert self._fd is not None
        # What was cut short must not swallow the next line.
        data = (b"\n" if self._cut else b"") + line.encode("ascii")
        try:
            written = self._write(self._fd, data)
        except OSError as error:
            self.lost += 1
            self._complain(error)
            return
        self._cut = written < len(data)
        if self._cut:
            self.lost += 1
            self._complain(OSError(errno.EIO, "there was no room for a whole line"))

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
