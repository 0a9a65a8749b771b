"""Frames: how an attached connection is written when it is to survive the loss of what carries it.

::

    frame   = kind length payload
    kind    = %s"D" / %s"E" / %s"B" / %s"A" / %s"T"
    length  = 4OCTET             ; of the payload, big-endian, at most 65536
    payload = *OCTET

===== ======================= ==========================================================================
kind  payload                 says
===== ======================= ==========================================================================
``D`` bytes                   the next bytes of this way
``E`` nothing                 this way has ended, behind its last byte: a FIN
``B`` why, in UTF-8           the connection at this end was lost, behind the last byte or an E: a reset
``A`` a place, 8 octets       so much has come the other way and was passed on: no more than its window may be
                              under way beyond it; also a sign of life
``T`` nothing                 somebody else has attached: this carrier has no more part in it
===== ======================= ==========================================================================

What D, E and B say counts: each byte one, and each end one.  Such a count is a place in its way.
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PAYLOAD = 64 * 1024
"""Bytes of a frame: as many as are read from a connection at once."""
MAX_WHY = 500
"""Bytes of a reason that are told."""

_HEADER = Struct(">cI")
_PLACE = Struct(">Q")


class Kind(Enum):
    """What a frame says."""

    DATA = b"D"
    END = b"E"
    BROKEN = b"B"
    PASSED = b"A"
    TAKEN = b"T"


_KINDS = {kind.value: kind for kind in Kind}
_FIXED = {Kind.END: 0, Kind.TAKEN: 0, Kind.PASSED: _PLACE.size}


class Frame(NamedTuple):
    """One frame; the second part is its payload."""

    kind: Kind
    payload: bytes = b""

    @property
    def size(self) -> int:
        """By how much it moves the place in its way."""
        return len(self.payload) if self.kind is Kind.DATA else 1

    @property
    def place(self) -> int:
        """What a ``PASSED`` tells."""
        return int(_PLACE.unpack(self.payload)[0])

    def encode(self) -> bytes:
        """As it is sent."""
        return _HEADER.pack(self.kind.value, len(self.payload)) + self.payload


END = Frame(Kind.END)
TAKEN = Frame(Kind.TAKEN)


def broken(why: str) -> Frame:
    """The connection at this end was lost."""
    return Frame(Kind.BROKEN, why.encode(errors="replace")[:MAX_WHY])


def passed(place: int) -> Frame:
    """So much has come, and was passed on."""
    return Frame(Kind.PASSED, _PLACE.pack(place))


class FrameReader:
    """Feed it bytes, and go through the frames that are complete.  It holds one frame at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"<FrameReader {len(self._buffer)} bytes>"

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that end in ``data``; go through all of them before more is fed.

        :raises ProtocolError: ``frame``, for what can be no frame; nothing that follows means anything.
        """
        buffer, at = self._buffer, 0
        buffer += data
        while len(buffer) - at >= _HEADER.size:
            letter, length = _HEADER.unpack_from(buffer, at)
            kind = _kind(letter, length)
            end = at + _HEADER.size + length
            if len(buffer) < end:
                break
            frame = Frame(kind, bytes(buffer[at + _HEADER.size : end]))
            at = end
            yield frame
        del buffer[:at]


def _kind(letter: bytes, length: int) -> Kind:
    kind = _KINDS.get(letter)
    if kind is None:
        raise ProtocolError("frame", f"expected a frame of {b''.join(_KINDS).decode()}, got {letter!r}")
    if length > MAX_PAYLOAD or length != _FIXED.get(kind, length):
        expected = _FIXED.get(kind, f"at most {MAX_PAYLOAD}")
        raise ProtocolError("frame", f"{letter.decode()}: expected {expected} bytes, got {length}")
    return kind
