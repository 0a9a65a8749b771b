"""One stream of a mux connection, as a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITCPTransport
from twisted.internet.main import CONNECTION_DONE
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.net.stream import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tcpsuite.core.mux.stream import Stream
    from tcpsuite.net.mux.connection import MuxConnection


@implementer(ITCPTransport, IConsumer, IPushProducer)
class StreamTransport(Counting):
    """What a protocol on a stream has for a transport: all that one over TCP can do.

    A FIN is a FIN and a reset a reset; back-pressure is the stream's own, and no other stream feels it.

    :param connection: the one it is on.
    :param stream: see below.
    :ivar stream: its state.
    :ivar bufferSize: bytes queued with which its producer is paused.
    """

    __slots__ = (
        "_aborted",
        "_closing",
        "_connection",
        "_end_told",
        "_ended",
        "_held",
        "_paused",
        "_producer",
        "_producer_paused",
        "_streaming",
        "_write_closing",
        "bufferSize",
        "bytes_in",
        "bytes_out",
        "connected",
        "protocol",
        "reads",
        "stream",
    )
    log = Logger()

    def __init__(self, connection: MuxConnection, stream: Stream) -> None:
        self._connection = connection
        self.stream = stream
        self.protocol: Any = None
        self.connected = True
        self.bufferSize = connection.options.high_water
        self.bytes_in = self.bytes_out = self.reads = 0
        self._held: bytearray | None = None  # one piece: many small ones would take a multiple of their size
        self._paused = False
        self._ended = False  # whether their end has come; while it is paused, the protocol does not know
        self._end_told = False
        self._closing = False
        self._write_closing = False
        self._aborted = False
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False

    def __repr__(self) -> str:
        return f"<StreamTransport {self.stream!r}{'' if self.connected else ' lost'}>"

    @property
    def disconnecting(self) -> bool:
        """Whether it is to be closed."""
        return self._closing

    @property
    def producer(self) -> Any:
        """Who produces what is written; ``None`` for nobody.  A pool asks whether a stream is at rest."""
        return self._producer

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left of who had it: nothing unsent or untold, and both halves open."""
        return not (self.stream.queued or self._held or self._ended or self._write_closing)

    def unsent(self) -> int:
        """Bytes that it was given, and that have not left: beyond that nothing is known of one stream."""
        return self.stream.queued

    # ITransport

    def write(self, data: bytes) -> None:
        """Send some bytes, in order, in their turn."""
        if not isinstance(data, bytes):
            raise TypeError(f"Data must be bytes, not {type(data).__name__}")
        ended = (self._closing or self._write_closing) and self._producer is None
        if ended or self._aborted or not self.connected:
            return
        stream = self.stream
        self.bytes_out += len(data)
        connection = self._connection
        connection.mux.write(stream, data)
        connection.send_soon()
        if stream.queued > self.bufferSize:
            self._fill()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close it behind what is queued, and behind what its producer still has."""
        if self._closing or not self.connected:
            return
        self._closing = True
        if self._producer is None:
            self._finish()

    def loseWriteConnection(self) -> None:
        """End this way behind what is queued; the other goes on."""
        if self._closing or self._write_closing or not self.connected:
            return
        self._write_closing = True
        if self._producer is None:
            self._finish()

    def abortConnection(self) -> None:
        """Reset it."""
        if self.connected and not self._aborted:
            self._aborted = True
            self._connection.mux.reset(self.stream)
            self._connection.lose_soon(self, Failure(ConnectionAborted()))

    def getPeer(self) -> Any:
        """Who is at the other end of the connection it is on."""
        return self._connection.transport.getPeer()

    def getHost(self) -> Any:
        """Where this end of that connection is."""
        return self._connection.transport.getHost()

    def getTcpNoDelay(self) -> bool:
        """Nothing waits to be sent with more."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """A stream has no such choice."""

    def getTcpKeepAlive(self) -> bool:
        """The connection that it is on is watched."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """A stream has no such choice."""

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have ``producer`` paused while much is queued."""
        if self._producer is not None:
            raise RuntimeError(f"{self!r} has a producer already: {self._producer!r}")
        if not self.connected or self._aborted:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()
            self.stream.watched = True
            self._connection.send_soon()

    def unregisterProducer(self) -> None:
        """There is no producer any more."""
        self._producer = None
        if self.connected and (self._closing or self._write_closing):
            self._finish()

    # IPushProducer

    def pauseProducing(self) -> None:
        """Hand on no more of what comes."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Hand on what came meanwhile, soon, and then what comes."""
        if self._paused:
            self._paused = False
            if self._held or self._ended:
                self._connection.later(self._go_on)  # as a socket does: never from in here

    def stopProducing(self) -> None:
        """Nobody wants what comes."""
        self.loseConnection()

    # What its connection tells

    def received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._closing or self._aborted:
            self._connection.mux.took(self.stream, len(data))
        elif self._paused or self._held:
            if self._held is None:
                self._held = bytearray()
            self._held += data
        else:
            self._deliver(data)

    def ended(self) -> None:
        """Their end has come."""
        self._ended = True
        if not (self._paused or self._held):
            self._tell_end()

    def emptied(self) -> None:
        """All that was queued has left."""
        stream = self.stream
        if self._producer is not None:
            if not self._streaming:
                self._producer.resumeProducing()
                self._connection.send_soon()
                return
            stream.watched = False
            if self._producer_paused:
                self._producer_paused = False
                self._producer.resumeProducing()
            return
        stream.watched = False
        if not self.connected:
            return
        if self._closing:
            self.lose(Failure(CONNECTION_DONE))
        elif self._write_closing:
            protocol = self.protocol
            if IHalfCloseableProtocol.providedBy(protocol):
                self._connection.call(self, protocol.writeConnectionLost)
            if self._ended and not self._paused:
                self.lose(Failure(CONNECTION_DONE))

    def lose(self, reason: Failure) -> None:
        """It is gone, as far as the protocol is concerned."""
        if not self.connected:
            return
        self.connected = False
        if self._held:
            self._connection.mux.took(self.stream, len(self._held))
            self._held = None
        self._connection.lost_stream(self.stream)
        producer, self._producer = self._producer, None
        if producer is not None:
            self._tell(producer.stopProducing)
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            self._tell(protocol.connectionLost, reason)

    def _tell(self, told: Callable[..., object], *args: object) -> None:
        try:
            told(*args)
        except Exception:
            self.log.failure("a protocol failed as its stream was lost")

    def _go_on(self) -> None:
        while self._held and not self._paused and self.connected:
            held, self._held = self._held, None
            self._deliver(bytes(held))
        if self._ended and not self._paused and self.connected:
            self._tell_end()

    def _deliver(self, data: bytes) -> None:
        self.bytes_in += len(data)
        self.reads += 1
        connection = self._connection
        connection.mux.took(self.stream, len(data))
        try:
            self.protocol.dataReceived(data)
        except Exception:
            self.log.failure("a protocol failed with what came on its stream")
            self.abortConnection()

    def _tell_end(self) -> None:
        if self._end_told:
            return
        self._end_told = True
        protocol = self.protocol
        if not IHalfCloseableProtocol.providedBy(protocol):
            self._connection.mux.finish(self.stream)
            self.lose(Failure(CONNECTION_DONE))
            return
        self._connection.call(self, protocol.readConnectionLost)
        if self._write_closing and self.stream.finished and not self.stream.queued:
            self.lose(Failure(CONNECTION_DONE))

    def _finish(self) -> None:
        self._connection.mux.finish(self.stream)
        self.stream.watched = True
        self._connection.send_soon()

    def _fill(self) -> None:
        if self._producer is not None and self._streaming and not self._producer_paused:
            self._producer_paused = True
            self.stream.watched = True
            self._producer.pauseProducing()
