"""The connection that outlasts what carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.core.attaching.frames import END, Frame, Kind, broken
from tcpsuite.core.attaching.ways import BOUND, Incoming, Outgoing
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.throttle import abort_behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from tcpsuite.net.attaching.carriers import Carrier
    from tcpsuite.net.stream import IStreamTransport


@implementer(IHalfCloseableProtocol, IPushProducer)
class Attached(Protocol):
    """The protocol of a connection that outlives its carriers.

    What it reads is kept until it has arrived at the other half; while too much is kept, it is not read.

    :param clock: an ``IReactorTime``.
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
        clock: Any,
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
        self._clock = clock
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
        if reason.check(ConnectionDone):
            self._push(END)
        else:
            self._break(failure_text(reason))

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
        elif frame.kind is Kind.DATA:
            self._break("it was closed, and takes nothing")
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

    def _break(self, why: str) -> None:
        """A reset, for the other half; behind our FIN too, but not when it has said its last word as well:
        then nothing is missing.
        """
        if self.outgoing.last is None or self.incoming.last is None:
            self._push(broken(why))

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
            if self.incoming.last is not None and self.incoming.last.kind is Kind.BROKEN:
                abort_behind(self.transport, self._clock)
            else:
                self.transport.loseConnection()
        if self.carrier is not None:
            self.carrier.finish()
        self._over()
