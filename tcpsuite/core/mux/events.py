"""What happens on a mux connection, and how much it may hold."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from tcpsuite.core.mux.stream import Stream


class What(Enum):
    """What an event tells."""

    DATA = "data"  # bytes of a stream
    OPENED = "opened"  # the other side has opened a stream
    ACCEPTED = "accepted"  # the other side has accepted one of ours
    END = "end"  # it sends nothing more on it
    RESET = "reset"  # it has reset it
    PONG = "pong"  # it has answered a ping: its number
    FAULT = "fault"  # it broke the protocol: a ProtocolError; nothing follows, and all streams are lost
    GONE = "gone"  # it takes no more streams: its code


Event = tuple[What, "Stream | None", Any]
"""What happened, on which stream, and the bytes or the number that belong to it."""


@frozen
class MuxLimits:
    """How much one connection may hold."""

    max_window: int = 16 * 1024**2
    """Bytes that a stream's window grows to, while its reader keeps up."""
    max_unread: int = 16 * 1024**2
    """Bytes of all its streams that came and were not taken.  Past half of it no window grows, and no stream
    is accepted; past it, the stream with most of them is reset.  By half of it windows grow, all together."""
    max_streams: int = 10_000
    """Streams that the other side may have open."""
    max_unacknowledged: int = 256
    """Streams of ours that the other side has not accepted yet."""
    max_replies: int = 1_000
    """Answers that wait to be sent to a side that asks and does not read."""
