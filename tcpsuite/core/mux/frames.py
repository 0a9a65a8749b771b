"""The header of each frame: version, type, flags, stream, length; 12 bytes, big-endian."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

VERSION = 0
HEADER = Struct(">BBHII")
HEADER_SIZE = HEADER.size
INITIAL_WINDOW = 256 * 1024
"""Bytes of a stream that either side may send before it has heard of the other: the specification's own."""
MAX_FRAME = 64 * 1024
"""Bytes of a stream that leave at once, before others have their turn.  What comes may be of any length."""
MAX_ID = 2**32 - 1


class Type(IntEnum):
    """What a frame is about."""

    DATA = 0
    WINDOW = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntFlag):
    """What else it says."""

    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


class Code(IntEnum):
    """Why a side goes away."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


def frame(kind: Type, flags: int, stream: int, length: int, payload: bytes = b"") -> bytes:
    """One frame, as it is sent; ``length`` is what the header says, which is a number for all but data."""
    return HEADER.pack(VERSION, kind, flags, stream, length) + payload
