"""HTTP/1.1: the status of a page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tcpsuite.core.scripts import Unwell, first_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tcpsuite.core.servers import Server

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: .*)?")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_RANGE = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")


class HTTP:
    """Well is who answers a GET with one of the expected statuses.  The page itself is not waited for.

    :param path: what is asked for, with its query if it has one.
    :param statuses: the expected ones.
    :param host: gives the Host that a server is asked for.
    """

    parting = b""

    def __init__(self, path: str, statuses: Sequence[range], host: Callable[[Server], str]) -> None:
        self._path = path
        self._statuses = tuple(statuses)
        self._host = host

    def __repr__(self) -> str:
        return f"<HTTP GET {self._path}>"

    def opening(self, server: Server) -> bytes:
        """The request."""
        return (
            f"GET {self._path} HTTP/1.1\r\nHost: {self._host(server)}\r\n"
            "User-Agent: tcpsuite\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        ).encode()

    def heard(self, said: bytes) -> bool:
        """The status is in the first line, of what comes behind interim answers if there are any."""
        while (line := first_line(said)) is not None:
            match = _STATUS_LINE.fullmatch(line)
            if match is None:
                raise Unwell(f"answered {shown(line)}")
            if not _interim(int(match[1])):
                if not any(int(match[1]) in statuses for statuses in self._statuses):
                    raise Unwell(f"HTTP status {match[1].decode()}")
                return True
            _, *behind = _BLANK_LINE.split(said, maxsplit=1)
            said = behind[0] if behind else b""
        return False


def _interim(status: int) -> bool:
    """Whether another answer follows.  Behind 101 there is none: the server speaks another protocol then."""
    return 100 <= status < 200 and status != 101


def parse_statuses(text: str) -> tuple[range, ...]:
    """Statuses such as ``200-399`` or ``200,204,301-302``.

    :raises ValueError: when it is something else.
    """
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"{part.strip()!r} is neither a status nor a range of them")
        found.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(found)
