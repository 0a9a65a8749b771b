"""One stream of a mux connection."""

from __future__ import annotations

from typing import Any

from tcpsuite.core.mux.frames import INITIAL_WINDOW, MAX_FRAME
from tcpsuite.errors import ProtocolError

SMALL = 1024
"""Bytes from which on a piece is kept apart from what waits before it."""
Piece = bytes | bytearray | memoryview
"""Some of the bytes that are to be sent."""


class Stream:
    """The state of one stream.  Only its :class:`~tcpsuite.core.mux.mux.Mux` changes it.

    :param owner: whatever whoever drives the mux wants to find here.
    :ivar room: bytes that the other side may still send.
    :ivar unread: bytes that came, and that nobody has taken.
    :ivar window: bytes that this side may still send.
    :ivar queued: bytes that wait to be sent.
    :ivar since: when whoever drives the mux began to wait for the other side; it alone sets and reads it.
    :ivar watched: whether :attr:`Mux.emptied <tcpsuite.core.mux.mux.Mux.emptied>` is to have it when none do.
    """

    __slots__ = (
        "acknowledged",
        "epoch",
        "finished",
        "flags",
        "id",
        "owner",
        "queue",
        "queued",
        "ready",
        "room",
        "since",
        "size",
        "their_end",
        "unread",
        "watched",
        "window",
    )

    def __init__(self, number: int, owner: Any, flags: int, acknowledged: bool) -> None:
        self.id = number
        self.owner = owner
        self.flags = flags  # SYN or ACK, which the next frame carries
        self.acknowledged = acknowledged  # whether the other side has accepted it
        self.room = INITIAL_WINDOW
        self.size = INITIAL_WINDOW  # that room is filled up to
        self.unread = 0
        self.since = 0.0
        self.epoch = 0.0  # when room was filled last
        self.window = INITIAL_WINDOW
        self.queue: list[Piece] | None = None  # an empty deque would be the largest part of an idle stream
        self.queued = 0
        self.watched = False
        self.ready = False  # whether it stands among those that have their turn
        self.finished = False  # whether nothing more is written here; its FIN may still wait
        self.their_end = False  # whether the other side's FIN has come

    def put(self, data: bytes) -> None:
        """Queue some bytes to be sent.  Small pieces become one: each alone takes a multiple of its size."""
        self.queued += len(data)
        if self.queue is None:
            self.queue = [data]
        elif len(data) < SMALL and isinstance(last := self.queue[-1], bytearray) and len(last) < MAX_FRAME:
            last += data
        else:
            self.queue.append(bytearray(data) if len(data) < SMALL else data)

    def take(self, count: int, out: list[Piece]) -> None:
        """Move so many of the bytes that are queued to ``out``."""
        queue = self.queue
        assert queue is not None
        self.queued -= count
        if not self.queued:
            out.extend(queue)
            self.queue = None  # an empty list would be a tenth of an idle stream
            return
        used = 0
        while len(piece := queue[used]) <= count:
            out.append(piece)
            count -= len(piece)
            used += 1
        del queue[:used]
        if count:
            view = memoryview(queue[0])
            out.append(view[:count])
            queue[0] = view[count:]

    def too_much(self, length: int) -> ProtocolError:
        """Why so many more bytes break the protocol."""
        if self.their_end:
            return ProtocolError("state", f"stream {self.id}: data behind its end")
        return ProtocolError("window", f"stream {self.id}: expected at most {self.room} bytes, got {length}")

    def __repr__(self) -> str:
        ends = f"{' finished' if self.finished else ''}{' their end' if self.their_end else ''}"
        return (
            f"<Stream {self.id} window={self.window} queued={self.queued}"
            f" room={self.room} unread={self.unread}{ends}>"
        )
