"""The two ways of an attached connection, as one of its ends sees them."""

from __future__ import annotations

from collections import deque

from tcpsuite.core.attaching.frames import MAX_PAYLOAD, Frame, Kind, passed
from tcpsuite.errors import ProtocolError

BOUND = 256 * 1024
"""Bytes of one way that are kept while nobody has said that they arrived."""
SMALL = 1024
"""Bytes that are kept as one, in however many pieces they came: a piece by itself takes a hundred more."""
ENDLESS = 2**63
"""A window that nothing fills: of a carrier whose other end says nothing of what arrived."""


class Outgoing:
    """What goes from here: kept until it is known to have arrived, and sent again to whoever resumes.

    :param bound: bytes to keep; with more, :attr:`full` says that nothing more should be read.  Of what was
        sent to one who says nothing of what arrived, a tail may be kept beside them: see :meth:`trim`.
    :ivar start: place of the first that is kept.
    :ivar sent: place up to which the present carrier has it.
    :ivar end: place behind the last.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self.bound = bound
        self.start = self.sent = self.end = 0
        self.last: Frame | None = None
        self._furthest = 0  # that any carrier was given
        self._passed = 0
        self._window = ENDLESS
        self._kept: deque[Frame] = deque()  # sent, and not known to have arrived
        self._waiting: deque[Frame] = deque()

    def __repr__(self) -> str:
        ended = f" {self.last.kind.name}" if self.last else ""
        return f"<Outgoing {self.start} kept, {self.sent} sent, {self.end} in all{ended}>"

    @property
    def full(self) -> bool:
        """Whether nothing more should be taken in."""
        return self.end - (self.sent if self._window == ENDLESS else self.start) >= self.bound

    @property
    def done(self) -> bool:
        """Whether it has ended, and all has arrived."""
        return self.last is not None and self.start == self.end

    def push(self, frame: Frame) -> None:
        """Something more goes this way; nothing does behind its end, but for a reset behind a FIN."""
        if not _may_follow(frame, self.last):
            return
        if frame.kind is not Kind.DATA:
            self.last = frame
        self.end += frame.size
        _append(self._waiting, frame)

    def next(self) -> Frame | None:
        """The next frame for the carrier, which has it from now on; ``None`` when the window is full, or
        nothing waits.
        """
        if not self._waiting:
            return None
        frame = self._waiting.popleft()
        if frame.kind is Kind.DATA:
            # An end needs no room: it holds nothing.
            room = min(self._passed + self._window - self.sent, MAX_PAYLOAD)
            if frame.size > room:
                frame, rest = Frame(Kind.DATA, frame.payload[: max(0, room)]), frame.payload[max(0, room) :]
                self._waiting.appendleft(Frame(Kind.DATA, rest))
                if not frame.payload:
                    return None
        _append(self._kept, frame)
        self.sent += frame.size
        self._furthest = max(self._furthest, self.sent)
        return frame

    def passed(self, place: int) -> None:
        """The other end has passed on what stands before ``place``.

        :raises ProtocolError: ``frame``, when that cannot be.
        """
        if not self._passed <= place <= self.sent:
            raise ProtocolError("frame", f"A: expected {self._passed} to {self.sent}, got {place}")
        self._passed = place
        self._forget(place, self._kept)

    def resume(self, received: int, window: int = ENDLESS) -> None:
        """Another carrier goes on: the other end has ``received`` so much, and lets ``window`` bytes be under
        way.

        :raises ProtocolError: ``lost``, when what it wants is not kept any more, or never was.
        """
        self.check(received)
        self._waiting.extendleft(reversed(self._kept))
        self._kept.clear()
        self._forget(received, self._waiting)
        self.sent = received
        self._window = window

    def check(self, received: int) -> None:
        """Whether it can be resumed from there.

        :raises ProtocolError: see :meth:`resume`.
        """
        if not self.start <= received <= self._furthest:
            raise ProtocolError("lost", f"expected {self.start} to {self._furthest}, got {received}")

    def trim(self, tail: int) -> None:
        """Keep ``tail`` of what was sent, and no more: nobody will say that it has arrived."""
        if self.sent - self.start > tail:
            self._forget(self.sent - tail, self._kept)

    def _forget(self, place: int, frames: deque[Frame]) -> None:
        while self.start < place:
            first = frames.popleft()
            if self.start + first.size > place:
                frames.appendleft(Frame(Kind.DATA, first.payload[place - self.start :]))
                self.start = place
            else:
                self.start += first.size


class Incoming:
    """What comes here: how much has arrived, how much was passed on, and what of that was told.

    :param window: bytes that may be under way beyond what was told.
    :ivar received: place up to which it has arrived.
    :ivar last: its end, once that has arrived.
    """

    def __init__(self, window: int = BOUND) -> None:
        self.window = window
        self.received = 0
        self.last: Frame | None = None
        self._passed = 0
        self._told = 0

    def __repr__(self) -> str:
        ended = f" {self.last.kind.name}" if self.last else ""
        return f"<Incoming {self.received} received, {self._passed} passed on, {self._told} told{ended}>"

    def take(self, frame: Frame) -> None:
        """A frame has arrived.

        :raises ProtocolError: ``frame``, when it is more than the window, or behind the end.
        """
        if not _may_follow(frame, self.last):
            raise ProtocolError("frame", f"{frame.kind.value.decode()} behind the end")
        if frame.kind is not Kind.DATA:
            self.last = frame
        elif self.received + frame.size > self._told + self.window:
            raise ProtocolError("frame", f"D: expected at most {self.window} bytes beyond what was told")
        self.received += frame.size

    def pass_on(self) -> None:
        """All that has arrived was passed on."""
        self._passed = self.received

    @property
    def due(self) -> bool:
        """Whether the other end should be told now: it may wait for it."""
        untold = self._passed - self._told
        return untold * 4 >= self.window or (untold > 0 and self.last is not None)

    def tell(self) -> Frame:
        """What is told of it now."""
        self._told = self._passed
        return passed(self._told)


def _may_follow(frame: Frame, last: Frame | None) -> bool:
    """Whether it may come behind the end of its way, if there is one.

    Who closes a connection as a whole sends a FIN, and a reset to whatever comes then.
    """
    return last is None or (frame.kind is Kind.BROKEN and last.kind is Kind.END)


def _append(frames: deque[Frame], frame: Frame) -> None:
    if frames and frame.kind is Kind.DATA is frames[-1].kind and frames[-1].size + frame.size <= SMALL:
        frame = Frame(Kind.DATA, frames.pop().payload + frame.payload)
    frames.append(frame)
