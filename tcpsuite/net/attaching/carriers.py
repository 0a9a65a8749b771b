"""What carries the bytes of a connection that lasts, for a while."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tcpsuite.core.attaching.frames import TAKEN, Frame, FrameReader, Kind
from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from tcpsuite.net.attaching.attached import Attached

BEAT = 15.0
"""Seconds between two signs of life."""
BEATS_MISSED = 3
"""So many without a byte of the other half, and the carrier is taken for lost."""


class Carrier(ABC):
    """Carries the bytes of an attached connection, while it lasts itself.

    :ivar is_finished: whether a FIN has come, which says no more than that nothing follows on this one.
    """

    is_finished = False

    @abstractmethod
    def push(self) -> None:
        """There may be something to send."""

    @abstractmethod
    def tell(self) -> None:
        """Tell the other half what was passed on."""

    @abstractmethod
    def hold(self, wanted: bool) -> None:
        """Whether what arrives should wait, for it cannot be passed on now."""

    @abstractmethod
    def taken(self) -> None:
        """Another one carries on: say so, and close."""

    @abstractmethod
    def finish(self) -> None:
        """All is over: close behind what was written."""


@implementer(IPushProducer)
class FramedCarrier(Carrier):
    """A connection between the two halves, on which both speak in frames from now on.

    Whoever makes it feeds it what is read, and tells it when the connection is lost.

    :param attached: whose bytes it carries, from :meth:`start` on.
    :param transport: the connection.
    :param clock: an ``IReactorTime``.
    :ivar fault: why it was given up, for people; empty while it was not.
    :ivar was_silent: whether that was since nothing was heard of the other half.
    :ivar was_taken: whether the other half has told that somebody else attached.
    """

    def __init__(self, attached: Attached, transport: Any, clock: Any) -> None:
        self.fault = ""
        self.was_silent = False
        self.was_taken = False
        self._attached = attached
        self._transport = transport
        self._clock = clock
        self._reader = FrameReader()
        self._full = False
        self._closing = False
        self._missed = 0
        self._beat: IDelayedCall | None = None

    def __repr__(self) -> str:
        return f"<FramedCarrier {'closing' if self._closing else 'open'}>"

    @property
    def lasts(self) -> bool:
        """Whether more is to pass by it."""
        return not self._closing

    def start(self, received: int, window: int) -> None:
        """Both halves have agreed: the other one has ``received`` so much, and lets ``window`` bytes be under
        way to it.
        """
        self._transport.registerProducer(self, True)
        self._beat = self._clock.callLater(BEAT, self._on_beat)
        self._attached.incoming.window = self._attached.window
        self._attached.outgoing.resume(received, window)
        self._attached.join(self)
        self._attached.make_room()

    def data_received(self, data: bytes) -> None:
        """Some bytes of frames."""
        self._missed = 0
        if self._closing:
            return
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except ProtocolError as error:
            self._give_up(str(error))

    def read_connection_lost(self) -> None:
        """Its FIN: nothing more will be heard of the other half by this connection."""
        if not self._closing:
            self._stop()
            self._transport.abortConnection()

    def connection_lost(self) -> None:
        """The connection is gone: what lasts stays."""
        self._stop()
        self._attached.leave(self)

    def pauseProducing(self) -> None:
        """The connection takes no more."""
        self._full = True

    def resumeProducing(self) -> None:
        """It takes more."""
        self._full = False
        self.push()

    def stopProducing(self) -> None:
        """Whoever made it tells that the connection is lost."""

    def push(self) -> None:
        """Send what may be under way."""
        way = self._attached.outgoing
        while not (self._full or self._closing) and (frame := way.next()) is not None:
            self._transport.write(frame.encode())

    def tell(self) -> None:
        """Tell what was passed on, and that there is life here."""
        if not self._closing:
            self._transport.write(self._attached.incoming.tell().encode())

    def hold(self, wanted: bool) -> None:
        """Its window holds the other half."""

    def taken(self) -> None:
        """Another one carries on."""
        if not self._closing:
            self._transport.write(TAKEN.encode())
            self.finish()

    def finish(self) -> None:
        """Close behind what was written."""
        if not self._closing:
            self._stop()
            self._transport.unregisterProducer()
            self._transport.loseConnection()

    def _take(self, frame: Frame) -> None:
        if self._closing:
            return
        if frame.kind is Kind.PASSED:
            self._attached.passed(frame.place)
        elif frame.kind is Kind.TAKEN:
            self.was_taken = True
            self.finish()
        else:
            self._attached.take(frame)

    def _on_beat(self) -> None:
        self._missed += 1
        if self._missed > BEATS_MISSED:
            self._beat = None
            self.was_silent = True
            self._give_up(f"nothing was heard of the other half for {BEATS_MISSED * BEAT:g} s")
            return
        self._beat = self._clock.callLater(BEAT, self._on_beat)
        self.tell()

    def _give_up(self, why: str) -> None:
        self.fault = why
        self._stop()
        self._transport.abortConnection()

    def _stop(self) -> None:
        self._closing = True
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
