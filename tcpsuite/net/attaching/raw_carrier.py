"""A carrier without frames: bytes as they are, for any client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer, ISSLTransport
from zope.interface import implementer

from tcpsuite.core.attaching.frames import END, Frame, Kind
from tcpsuite.core.attaching.ways import ENDLESS
from tcpsuite.errors import ProtocolError
from tcpsuite.net.attaching.carriers import Carrier
from tcpsuite.net.throttle import abort_behind

if TYPE_CHECKING:
    from tcpsuite.net.attaching.attached import Attached


@implementer(IPushProducer)
class RawCarrier(Carrier):
    """A client's connection, on which all that passes are the bytes of an attached one.

    * Nobody says what has arrived: of what was sent a tail is kept, for a client that counts for itself.
    * A FIN of the client's ends nothing: it may be lost behind it as behind any other byte.  Only when the
      server has finished too all is over.
    * A FIN of the server's becomes a FIN, a reset a reset; and so does whatever else ends it in the middle.

    :param attached: whose bytes it carries, from :meth:`start` on.
    :param transport: the connection.
    :param clock: an ``IReactorTime``.
    :ivar fault: why it was given up, for people; empty while it was not.
    """

    was_silent = False

    def __init__(self, attached: Attached, transport: Any, clock: Any) -> None:
        self.fault = ""
        self._closing = False
        self._attached = attached
        self._transport = transport
        self._clock = clock
        self._full = False
        self._held = False
        self._last: Frame | None = None

    def __repr__(self) -> str:
        return f"<RawCarrier {'closing' if self._closing else 'finished' if self.is_finished else 'open'}>"

    @property
    def lasts(self) -> bool:
        """Whether both, however silent, may yet say something."""
        return not (self._closing or self.is_finished or self._last is not None)

    def start(self, received: int, _window: int) -> None:
        """The client has ``received`` so much, and has no window but that of its connection."""
        self._transport.registerProducer(self, True)
        self._attached.incoming.window = ENDLESS
        self._attached.outgoing.resume(received)
        self._attached.join(self)
        self._attached.make_room()

    def data_received(self, data: bytes) -> None:
        """Some bytes for the server."""
        if not self._closing:
            self._take(Frame(Kind.DATA, data))

    def read_connection_lost(self) -> None:
        """The client's FIN."""
        self.is_finished = True
        if self._last is not None:
            self._conclude()

    def connection_lost(self) -> None:
        """The connection is gone: what lasts stays."""
        self._closing = True
        self._attached.leave(self)

    def pauseProducing(self) -> None:
        """The client takes no more."""
        self._full = True

    def resumeProducing(self) -> None:
        """It takes more."""
        self._full = False
        self.push()
        self._attached.make_room()

    def stopProducing(self) -> None:
        """:meth:`connection_lost` says the same."""

    def push(self) -> None:
        """Send what the client takes."""
        way = self._attached.outgoing
        while not (self._full or self._closing) and (frame := way.next()) is not None:
            if frame.kind is Kind.DATA:
                self._transport.write(frame.payload)
            else:
                self._end(frame)
        way.trim(way.bound)

    def tell(self) -> None:
        """There is nobody who would understand it."""

    def hold(self, wanted: bool) -> None:
        """Do not read the client while the server takes nothing."""
        # Reading on behind a FIN would find the FIN again.
        if wanted != self._held and not (self._closing or self.is_finished):
            self._held = wanted
            (self._transport.pauseProducing if wanted else self._transport.resumeProducing)()

    def taken(self) -> None:
        """Another one carries on: what comes from now on is missing here."""
        self.finish()

    def finish(self) -> None:
        """Close behind what was written, if that is all that the server has said; else reset it."""
        if self._closing:
            return
        self._closing = True
        self._transport.unregisterProducer()
        if self._last is not None and self._last.kind is Kind.END:
            self._transport.loseConnection()
        else:
            # A FIN would say that nothing is missing.
            abort_behind(self._transport, self._clock)

    def _end(self, last: Frame) -> None:
        """The server's way has ended."""
        self._last = last
        if last.kind is Kind.BROKEN or self.is_finished or ISSLTransport.providedBy(self._transport):
            self._conclude()
        else:
            self._transport.unregisterProducer()
            self._transport.loseWriteConnection()

    def _conclude(self) -> None:
        """Both have finished: whatever the client has not read it did not want."""
        if self._attached.incoming.last is None:
            self._take(END)
        if not self._attached.is_over:
            self._attached.passed(self._attached.outgoing.sent)

    def _take(self, frame: Frame) -> None:
        try:
            self._attached.take(frame)
        except ProtocolError as error:
            # Its way was ended in frames.
            self.fault = str(error)
            self._closing = True
            self._transport.abortConnection()
