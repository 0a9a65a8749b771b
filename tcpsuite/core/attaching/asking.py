"""What a client asks for that wants to be attached, and what it is told."""

from __future__ import annotations

import re

from attrs import frozen

from tcpsuite.errors import ProtocolError

USAGE = "ATTACH [connection [received [window]]]"
NEW = "new"
"""Stands for a connection that is to be made."""
MARK_BYTES = 8
"""So many random bytes tell one connection from all others, before a restart and behind it."""
LARGEST_WINDOW = 2**31 - 1

_CONNECTION = re.compile(rf"{NEW}|[0-9a-f]{{{2 * MARK_BYTES}}}")
_NUMBER = re.compile(r"[0-9]{1,18}")


@frozen
class Wanted:
    """What is asked for.

    :ivar connection: the mark of a connection, or :data:`NEW`; empty for the one that the session has, or
        else a new one.
    :ivar received: what of the other way has arrived at the client; ``None`` for all that was sent.
    :ivar window: bytes that may be under way to the client, in frames; 0 for no frames.
    """

    connection: str = ""
    received: int | None = None
    window: int = 0

    @classmethod
    def parse(cls, connection: str = "", received: str = "", window: str = "") -> Wanted:
        """The words behind the verb; empty ones were left out.

        :raises ProtocolError: ``usage``.
        """
        if connection and not _CONNECTION.fullmatch(connection):
            raise _usage(f"connection is {NEW}, or the {2 * MARK_BYTES} digits that ATTACH was answered with")
        place, room = _number("received", received), _number("window", window)
        if connection == NEW and place:
            raise _usage("of a new connection nothing was received")
        if room is not None and not 1 <= room <= LARGEST_WINDOW:
            raise _usage(f"window is 1 to {LARGEST_WINDOW}")
        return cls(connection, place, room or 0)


@frozen
class Granted:
    """What it is told.

    :ivar connection: the mark of the connection.
    :ivar received: so much of the client's way has come.
    :ivar sent: where the server's way goes on.
    :ivar window: bytes that may be under way from the client, in frames.
    """

    connection: str
    received: int
    sent: int
    window: int

    def __str__(self) -> str:
        return f"{self.connection} {self.received} {self.sent} {self.window}"


def _number(name: str, text: str) -> int | None:
    if text and not _NUMBER.fullmatch(text):
        raise _usage(f"{name} is a number of bytes")
    return int(text) if text else None


def _usage(why: str) -> ProtocolError:
    return ProtocolError("usage", f"{USAGE}: {why}")
