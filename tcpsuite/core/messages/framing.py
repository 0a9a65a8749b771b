"""Messages on a stream: four bytes of length, big-endian, and then so many bytes."""

from __future__ import annotations

from struct import Struct

from tcpsuite.errors import ProtocolError

LENGTH = Struct(">I")
LENGTH_SIZE = LENGTH.size
MAX_MESSAGE = 16 * 1024**2
"""Bytes of one message, unless somebody says otherwise: a whole one is held in memory, at both ends."""


def framed(message: bytes) -> bytes:
    """A message, as it is sent."""
    return LENGTH.pack(len(message)) + message


class MessageReader:
    """Feed it bytes in any pieces, and it gives messages.

    The pieces of a large one are kept as they come, and put together once.  Of what is too long nothing is
    kept.

    :param max_message: bytes that a message may have.
    :ivar fault: what was wrong, once something is: nothing that comes behind it is a message.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self.fault: ProtocolError | None = None
        self._max = max_message
        self._head = b""  # a part of a length
        self._pieces: list[bytes] = []
        self._missing = 0  # bytes of the message whose pieces these are

    def __repr__(self) -> str:
        held = len(self._head) + sum(map(len, self._pieces))
        return f"<MessageReader held={held} missing={self._missing}{' broken' if self.fault else ''}>"

    @property
    def partial(self) -> bool:
        """Whether a message has begun that is not there yet."""
        return bool(self._missing or self._head)

    def feed(self, data: bytes) -> list[bytes]:
        """Bytes have come; the messages that are whole with them."""
        messages: list[bytes] = []
        if self.fault is not None:
            return messages
        at, end = 0, len(data)
        if self._missing:
            if end < self._missing:
                self._pieces.append(data)
                self._missing -= end
                return messages
            at, self._missing = self._missing, 0
            self._pieces.append(data[:at])
            messages.append(b"".join(self._pieces))
            self._pieces = []
        elif self._head:
            data, self._head = self._head + data, b""
            end = len(data)
        while end - at >= LENGTH_SIZE:
            (length,) = LENGTH.unpack_from(data, at)
            if length > self._max:
                self.fault = ProtocolError(
                    "too-long", f"expected a message of at most {self._max} bytes, got {length}"
                )
                return messages
            at += LENGTH_SIZE
            stop = at + length
            if stop > end:
                self._pieces = [data[at:]]
                self._missing = stop - end
                return messages
            messages.append(data[at:stop])
            at = stop
        self._head = data[at:]
        return messages
