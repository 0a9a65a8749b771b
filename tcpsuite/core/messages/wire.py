"""The messages of the message service, as bytes: written with their lengths, read without."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct, error

from tcpsuite.errors import ProtocolError, RequestFailed

CLIENT_SIZE = 16
"""Bytes of a client's id, drawn by chance: no two are the same."""
MAX_NAME = 255
"""Bytes of the name of a method, and of the code of an error."""
MAX_NUMBER = 2**32 - 1
MAX_TIMEOUT = 2**32 - 1
"""Milliseconds; 49 days."""
CONNECTION = 0
"""The number of an error that concerns no request, but all of the stream, which ends with it."""


class Kind(IntEnum):
    """The first byte of a message."""

    REQUEST = 1
    REPLY = 2
    ERROR = 3
    CANCEL = 4
    NOTE = 5  # one way: nobody answers
    REPEATABLE = 6  # a request that may come again, on another connection
    LEAVING = 7  # the service goes: ask elsewhere, and end this stream when all is answered


# What is read, and the same behind a length as it is written.
_REQUEST, REQUEST_HEAD = Struct(">BIIB"), Struct(">IBIIB")
_REPEATABLE, REPEATABLE_HEAD = Struct(">BII16sB"), Struct(">IBII16sB")
_NUMBERED, NUMBERED_HEAD = Struct(">BI"), Struct(">IBI")
_ERROR, ERROR_HEAD = Struct(">BIB"), Struct(">IBIB")
_NOTE, NOTE_HEAD = Struct(">BB"), Struct(">IBB")
_REPEATABLE_KIND = bytes([Kind.REPEATABLE])

Request = tuple[int, int, bytes, bytes, bytes]
"""Its number; its milliseconds, 0 for any; the client's id, empty if it is not repeatable; method; body."""


def request_head(number: int, timeout: int, client: bytes, method: bytes, size: int) -> bytes:
    """All of a request but its body, of ``size`` bytes; with a client's id, of one that may be repeated."""
    if client:
        length = _REPEATABLE.size + len(method) + size
        return REPEATABLE_HEAD.pack(length, Kind.REPEATABLE, number, timeout, client, len(method)) + method
    return REQUEST_HEAD.pack(_REQUEST.size + len(method) + size, 1, number, timeout, len(method)) + method


def reply_head(number: int, size: int) -> bytes:
    """All of a reply but its body, of ``size`` bytes."""
    return NUMBERED_HEAD.pack(5 + size, 2, number)


def refusal(number: int, code: str, text: str) -> bytes:
    """The answer to a request that failed; a code that is too long is cut, for it is never ours."""
    word, words = code.encode()[:MAX_NAME], text.encode()
    length = _ERROR.size + len(word) + len(words)
    return ERROR_HEAD.pack(length, Kind.ERROR, number, len(word)) + word + words


def cancel(number: int) -> bytes:
    """Nobody waits for the answer to a request any more."""
    return NUMBERED_HEAD.pack(5, Kind.CANCEL, number)


def note_head(method: bytes, size: int) -> bytes:
    """All of a note but its body, of ``size`` bytes."""
    return NOTE_HEAD.pack(_NOTE.size + len(method) + size, Kind.NOTE, len(method)) + method


def notes(method: bytes, bodies: tuple[bytes, ...]) -> bytes:
    """Notes, one for each body."""
    if len(bodies) == 1:
        return note_head(method, len(bodies[0])) + bodies[0]
    return b"".join([part for body in bodies for part in (note_head(method, len(body)), body)])


LEAVING = b"\0\0\0\1" + bytes([Kind.LEAVING])
"""The service takes no more requests on this stream than are under way."""


def name(text: str) -> bytes:
    """The name of a method, as it is sent.

    :raises ValueError: when it is empty, or too long.
    """
    data = text.encode()
    if not 0 < len(data) <= MAX_NAME:
        raise ValueError(f"expected the name of a method, of 1 to {MAX_NAME} bytes, got {text!r}")
    return data


def read_request(message: bytes) -> Request:
    """What a request says, repeatable or not.

    :raises ProtocolError: ``format``.
    """
    try:
        if message[:1] == _REPEATABLE_KIND:
            _, number, timeout, client, size = _REPEATABLE.unpack_from(message)
            at = _REPEATABLE.size
        else:
            _, number, timeout, size = _REQUEST.unpack_from(message)
            client, at = b"", 10
    except error:
        raise too_short(message) from None
    stop = at + size
    if stop > len(message) or not number:
        raise too_short(message)
    return number, timeout, client, message[at:stop], message[stop:]


def read_number(message: bytes) -> int:
    """Whose reply, error or cancel it is.

    :raises ProtocolError: ``format``.
    """
    try:
        number: int = _NUMBERED.unpack_from(message)[1]
    except error:
        raise too_short(message) from None
    return number


def read_error(message: bytes) -> RequestFailed:
    """What an error says.

    :raises ProtocolError: ``format``.
    """
    try:
        size = _ERROR.unpack_from(message)[2]
    except error:
        raise too_short(message) from None
    stop = _ERROR.size + size
    if stop > len(message):
        raise too_short(message)
    word, words = message[_ERROR.size : stop], message[stop:]
    return RequestFailed(word.decode(errors="replace"), words.decode(errors="replace"))


def read_note(message: bytes) -> tuple[bytes, bytes]:
    """The method and the body of a note.

    :raises ProtocolError: ``format``.
    """
    size = message[1] if len(message) > 1 else MAX_NAME
    stop = _NOTE.size + size
    if stop > len(message):
        raise too_short(message)
    return message[2:stop], message[stop:]


def too_short(message: bytes) -> ProtocolError:
    """A message that has not what its kind has; or is of no kind."""
    if not message:
        return ProtocolError("format", "an empty message")
    if message[0] not in Kind._value2member_map_:
        return ProtocolError("format", f"expected a message of kind 1 to 7, got {message[0]}")
    kind = Kind(message[0]).name.lower()
    return ProtocolError("format", f"a {kind} of {len(message)} bytes, which is no {kind}")
