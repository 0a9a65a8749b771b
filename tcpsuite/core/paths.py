"""Names of files as clients write them: percent-encoded, ``/`` between them, nothing that leads elsewhere."""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from attrs import frozen

from tcpsuite.errors import ProtocolError

MAX_NAME = 255
"""Bytes of one name: what the file systems of Linux allow."""
MAX_PATH = 4096
"""Bytes of a whole path, decoded: what the system calls of Linux allow at once."""

_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@frozen
class Path:
    """A place beneath a root; without names, the root itself."""

    names: tuple[bytes, ...] = ()
    slash: bool = True
    """Whether it was written with a ``/`` at its end, as directories are."""

    def __str__(self) -> str:
        return "/" + quote_path(self)


def parse_path(text: bytes) -> Path:
    """Read a path such as ``/music/na%C3%AFve.ogg``; the first ``/`` may be missing.

    :raises ProtocolError: ``bad-path``, for an empty name, ``.``, ``..``, a NUL or a ``/`` in a name (however
        that is encoded), a name or a path that is too long, a ``%`` without two hexadecimal digits.
    """
    if len(text) > 3 * MAX_PATH:
        raise _bad(f"a path has at most {MAX_PATH} bytes")
    if _BAD_PERCENT.search(text):
        raise _bad("a % stands before two hexadecimal digits")
    names = [unquote_to_bytes(name) for name in text.removeprefix(b"/").split(b"/")]
    slash = names[-1] == b""
    if slash:
        names.pop()
    for name in names:
        _check(name)
    if sum(map(len, names)) + len(names) > MAX_PATH:
        raise _bad(f"a path has at most {MAX_PATH} bytes")
    return Path(tuple(names), slash)


def quote_path(path: Path) -> str:
    """The path as it goes over the wire, without a ``/`` before it: ASCII alone."""
    return "/".join(map(quote_name, path.names)) + ("/" if path.slash and path.names else "")


def quote_name(name: bytes) -> str:
    """One name, whatever its bytes are: letters, digits and ``-._~`` stay, the rest is percent-encoded."""
    return quote_from_bytes(name, safe="")


def _check(name: bytes) -> None:
    if name in {b"", b".", b".."}:
        raise _bad("no name in a path is empty, . or ..")
    if b"\0" in name or b"/" in name:
        raise _bad("no name holds a NUL or a /")
    if len(name) > MAX_NAME:
        raise _bad(f"a name has at most {MAX_NAME} bytes")


def _bad(text: str) -> ProtocolError:
    return ProtocolError("bad-path", text)
