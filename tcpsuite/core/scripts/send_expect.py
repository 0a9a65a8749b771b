r"""Say something, and expect something: for protocols that nobody here knows.

Texts are written with the escapes ``\r``, ``\n``, ``\t``, ``\0``, ``\\`` and ``\xHH``; what is not ASCII goes
out as UTF-8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcpsuite.core.servers import Server

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.?)", re.DOTALL)
_MEANT = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


class SendExpect:
    """Well is whose answer has the expected bytes in it, wherever they stand.

    :param send: what is said; empty when the server speaks first.
    :param expect: what is to be in the answer.
    """

    parting = b""

    def __init__(self, send: bytes, expect: re.Pattern[bytes]) -> None:
        self._send = send
        self._expect = expect

    def __repr__(self) -> str:
        return f"<SendExpect {self._send!r} {self._expect.pattern!r}>"

    def opening(self, server: Server) -> bytes:
        """The same to every server."""
        return self._send

    def heard(self, said: bytes) -> bool:
        """Wrong is only what never becomes right: that is for the time-out to say, or the end."""
        return self._expect.search(said) is not None


def parse_bytes(text: str) -> bytes:
    """The bytes that a text with escapes stands for.

    :raises ValueError: when an escape is none.
    """
    parts, end = [], 0
    for match in _ESCAPE.finditer(text):
        escape = match[1]
        if escape not in _MEANT and len(escape) < 3:
            raise ValueError(rf"\{escape} is no escape: \r, \n, \t, \0, \\ and \xHH are")
        parts += [text[end : match.start()].encode(), _MEANT.get(escape) or bytes([int(escape[1:], 16)])]
        end = match.end()
    return b"".join((*parts, text[end:].encode()))


def parse_regex(text: str) -> re.Pattern[bytes]:
    """The regular expression over bytes that a text stands for.

    :raises ValueError: when it is none.
    """
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error


def literally(text: str) -> re.Pattern[bytes]:
    """The pattern that is found where the bytes of ``text`` are.

    :raises ValueError: as :func:`parse_bytes`.
    """
    return re.compile(re.escape(parse_bytes(text)))
