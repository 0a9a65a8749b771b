"""A connection that lasts, and the carriers that come and go.

Both halves of an attached connection are made of the same two parts: what lasts is an :class:`Attached`,
the connection to a server at the suite's half, to a program at the client's; what carries its bytes between
the halves is a :class:`Carrier`, of which it has one or none.  What arrives, and what is sent again, is
decided in :mod:`tcpsuite.core.attaching`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.core.attaching.frames import END, TAKEN, Frame, FrameReader, Kind, broken
from tcpsuite.core.attaching.ways import BOUND, Incoming, Outgoing
from tcpsuite.errors import ProtocolError
from tcpsuite.net.endpoints import failure_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from tcpsuite.net.stream import IStreamTransport

BEAT = 15.0
"""Seconds between two signs of life."""
BEATS_MISSED = 3
"""So many without a byte of the other half, and the carrier is taken for lost."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class Attached(Protocol):
    """The protocol of a connection that outlives its carriers.

    What it reads is kept until it has arrived at the other half; while too much is kept, it is not read.

    :param over: called, once, when both ways have ended and both halves know.
    :param left: called when a carrier was lost, and no other has taken over.
    :param bound: bytes that are kept of what it reads.
    :param window: bytes that the other half may have under way to it.
    :ivar carrier: what carries its bytes now; ``None`` while nothing does.
    :ivar is_over: whether both ways have ended, or it was cut.
    """

    transport: IStreamTransport

    def __init__(
        self,
        over: Callable[[], object],
        left: Callable[[], object],
        bound: int = BOUND,
        window: int = BOUND,
    ) -> None:
        self.outgoing = Outgoing(bound)
        self.incoming = Incoming(window)
        self.window = window
        self.carrier: Carrier | None = None
        self.is_over = False
        self._over = over
        self._left = left
        self._reading = True
        self._full = False
        self._lost = False

    def __repr__(self) -> str:
        return f"<Attached {self.outgoing!r} {self.incoming!r} by {self.carrier!r}>"

    def connectionMade(self) -> None:
        """Ready: what arrives for it is written as fast as it is taken."""
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes for the other half."""
        self._push(Frame(Kind.DATA, data))
        if self.outgoing.full and self._reading:
            self._reading = False
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """Its FIN, for the other half."""
        self._reading = True
        self._push(END)

    def writeConnectionLost(self) -> None:
        """Our FIN has gone to it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone; the other half hears of it behind the last byte."""
        self._lost = True
        self._go_on()
        self._pass_on()
        self._push(END if reason.check(ConnectionDone) else broken(failure_text(reason)))

    def pauseProducing(self) -> None:
        """It takes no more of what arrives."""
        self._full = True
        if self.carrier is not None:
            self.carrier.hold(True)

    def resumeProducing(self) -> None:
        """It takes more."""
        self._go_on()
        self._pass_on()

    def stopProducing(self) -> None:
        """``connectionLost`` says the same."""

    def join(self, carrier: Carrier) -> None:
        """Go on by this carrier; the one before has no more part in it."""
        before, self.carrier = self.carrier, carrier
        if before is not None:
            before.taken()
        if self._full:
            carrier.hold(True)
        carrier.tell()
        carrier.push()

    def leave(self, carrier: Carrier) -> None:
        """This carrier was lost."""
        if self.carrier is carrier:
            self.carrier = None
            if not self.is_over:
                self._left()

    def take(self, frame: Frame) -> None:
        """Something of the other half's has arrived.

        :raises ProtocolError: when it has no place here.
        """
        self.incoming.take(frame)
        if not self._lost:
            if frame.kind is Kind.DATA:
                self.transport.write(frame.payload)
            elif frame.kind is Kind.END:
                self._finish_writing()
            else:
                self.transport.abortConnection()
        if not self._full or self._lost or frame.kind is Kind.BROKEN:
            self._pass_on()

    def passed(self, place: int) -> None:
        """The other half has passed on what stands before ``place``.

        :raises ProtocolError: when that cannot be.
        """
        self.outgoing.passed(place)
        self.make_room()

    def make_room(self) -> None:
        """Something was told to have arrived: there may be room for more."""
        if not self._reading and not self.outgoing.full and not self._lost:
            self._reading = True
            self.transport.resumeProducing()
        if self.carrier is not None:
            self.carrier.push()
        self._look()

    def cut(self) -> None:
        """Reset it, whatever is kept: nobody will come for that."""
        if not self._lost:
            self.transport.abortConnection()
        self._end()

    def _push(self, frame: Frame) -> None:
        self.outgoing.push(frame)
        if self.carrier is not None:
            self.carrier.push()
        self._look()

    def _pass_on(self) -> None:
        self.incoming.pass_on()
        if self.incoming.due and self.carrier is not None:
            self.carrier.tell()
        self._look()

    def _finish_writing(self) -> None:
        self.transport.unregisterProducer()
        self._go_on()
        if ISSLTransport.providedBy(self.transport):
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def _go_on(self) -> None:
        """What arrives need not wait any more."""
        self._full = False
        if self.carrier is not None:
            self.carrier.hold(False)

    def _look(self) -> None:
        """Is it over?  A reset ends both ways, as soon as whoever it is for knows."""
        theirs, ours = self.incoming.last, self.outgoing.last
        ends = [way.kind for way in (theirs, ours) if way is not None]
        told = self.outgoing.done and (len(ends) == 2 or Kind.BROKEN in ends)
        if told or (theirs is not None and theirs.kind is Kind.BROKEN):
            self._end()

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        if not self._lost:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        if self.carrier is not None:
            self.carrier.finish()
        self._over()


class Carrier(ABC):
    """Carries the bytes of an attached connection, while it lasts itself."""

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
