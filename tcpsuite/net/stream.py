"""What makes a stream transport of Twisted's write through, and count what moves.

Twisted's own transports queue what is written, ask to be told when the socket takes it, and send a turn of
the reactor later.  These send without that detour:

* What is written while a read is handed on is collected, and leaves in one ``send`` when the protocol
  returns.
* What is written at another time leaves at the end of the turn, if the reactor is ours
  (:mod:`tcpsuite.net.reactor`); on another one, when that says so.
* What the kernel does not take at once is queued, and all goes Twisted's ordinary way from there: producers,
  half-close, TLS on top, ``loseConnection`` behind what is queued.

Nothing is ever sent from inside ``write``, so no error can surface there, and nobody is called from there but
for what Twisted's contract has: a streaming producer is told to pause when the queue passes the mark.
"""

from __future__ import annotations

from errno import EAGAIN, EINTR, ENOBUFS
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from tcpsuite.errors import LocalError
from tcpsuite.net.kernel import in_flight, unsent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.error import ConnectionDone, ConnectionLost

READ_SIZE = 64 * 1024
"""Bytes that are read at once, at most.  More than 128 KiB would cost: the C library takes so large a block
from the system, and gives it back, for each read.
"""

BULK_SIZE = 4 * READ_SIZE
"""Bytes that one of a joined pair reads at once behind a full read: docs/performance.md tells why."""

_bulk = memoryview(bytearray(BULK_SIZE))  # of the read in hand alone: what must be queued is copied

NO_FENCE = 1 << 62
"""More bytes than ever come."""

_LATER = (EAGAIN, EINTR, ENOBUFS)
"""What the kernel says when it takes nothing now."""


class IStreamTransport(ITCPTransport, IPushProducer, IConsumer):
    """What every stream transport of Twisted is: a transport that can be paused, and that takes producers."""


class Counting:
    """What counts: plain attributes that anyone may read at any time.

    :ivar bytes_in: bytes that came from the peer; with TLS, as they are on the wire.
    :ivar bytes_out: bytes that the kernel has taken for the peer.
    :ivar reads: how often bytes came.
    """

    bytes_in = 0
    bytes_out = 0
    reads = 0

    def unsent(self) -> int:
        """Bytes that it was given for the peer, and that have not arrived."""
        return unsent(self)

    def in_flight(self) -> int:
        """Of ``bytes_out``, those that have not arrived."""
        return in_flight(self)


class Stream(Counting):
    """Mixed into a stream transport of Twisted's: it writes through, and counts.

    :ivar bufferSize: the high-water mark: with more bytes queued, a streaming producer is paused.
    :ivar fence: while it is joined, the ``bytes_in`` past which the toll is called.
    """

    fence = NO_FENCE

    _collecting = False  # a read is handed on, and what is written meanwhile leaves when that is done
    _writing = False  # writes are queued: the reactor was asked to say when there is room, or the end is near
    _in_bulk = False  # what was read last was full, and the other one took all of it
    _broken = False  # the kernel has said so already, when the other one sent to it, and says so once
    _other: Stream | None = None  # to which goes what is read
    _toll: Callable[[bool], object] | None = None
    _sendmsgQueue: Sequence[int] = ()  # descriptors to be sent, which UNIX connections alone can

    # Of Twisted's transports, which this is mixed into.
    TLS: bool
    connected: int
    reactor: Any
    socket: Any
    protocol: Any
    producer: Any
    producerPaused: bool
    streamingProducer: bool
    bufferSize: int
    dataBuffer: bytes
    offset: int
    disconnecting: int
    _aborting: bool
    _writeDisconnecting: bool
    _tempDataBuffer: list[bytes]
    _tempDataLen: int
    _maybePauseProducer: Any
    doWrite: Any
    fileno: Any
    disconnected: int
    stopReading: Any

    def _keep_close(self) -> None:
        """Have what every read looks at in the object itself, where Python finds it in half the time."""
        self.bytes_in = self.bytes_out = self.reads = 0
        self._collecting = self._writing = self._aborting = self.TLS = self.producerPaused = False
        self._in_bulk = self._broken = False
        self._other = self._toll = self.producer = None
        self.fence = NO_FENCE
        self.bufferSize = self.bufferSize

    def doRead(self) -> ConnectionDone | ConnectionLost | None:
        """The socket is readable: hand on what is there, and send what is written meanwhile."""
        try:
            data = _bulk[: self.socket.recv_into(_bulk)] if self._in_bulk else self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        return self._hand_on(data)

    def _hand_on(self, data: Any) -> ConnectionDone | ConnectionLost | None:
        if not data:
            return CONNECTION_LOST if self._broken else CONNECTION_DONE
        self.bytes_in += len(data)
        self.reads += 1
        if self._other is not None:
            self._forward(data, self._other)
            if self.bytes_in > self.fence and self._toll is not None:
                self._toll(True)
            return None
        if self._writing or self.TLS:
            self.protocol.dataReceived(data)
            return None
        self._collecting = True
        try:
            self.protocol.dataReceived(data)
        finally:
            self._collecting = False
        return self._send_collected() if self._tempDataLen else None

    def write(self, data: bytes) -> None:
        """Send some bytes: in order, as long as the connection lasts, and never from in here."""
        if self._collecting and data.__class__ is bytes and data:
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            if self._tempDataLen > self.bufferSize:
                self._maybePauseProducer()
        else:
            super().write(data)  # type: ignore[misc]

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces, as if they were written one after the other.

        :raises TypeError: when one is not of bytes; nothing is sent then.
        """
        try:
            data = b"".join(iovec)
        except TypeError:
            raise TypeError("Data must be bytes") from None
        self.write(data)

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """Send what the kernel takes now."""
        if self._aborting:
            # A read has done that, of a connection that had room as well.
            return ConnectionAborted()
        if not (data or self._sendmsgQueue or self.disconnecting or self._writeDisconnecting):
            return 0  # but behind the last byte even nothing, sent, tells whether the peer has reset it
        sent: int | ConnectionLost = super().writeSomeData(data)  # type: ignore[misc]
        if isinstance(sent, int):
            self.bytes_out += sent
        return sent

    def startReading(self) -> None:
        """Have ``doRead`` called when there is something to read."""
        if not self._aborting:
            self.reactor.addReader(self)

    def startWriting(self) -> None:
        """Have ``doWrite`` called when the socket takes more."""
        self._writing = True
        if not self._aborting:
            self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """Nothing is left to write.

        Of a connection that is ending, each write goes Twisted's way: to be dropped, or to have a FIN follow.
        """
        self._writing = bool(self._aborting or self._writeDisconnecting or self.disconnecting)
        self.reactor.removeWriter(self)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Go on in TLS, behind what was written so far."""
        self._collecting = False
        super().startTLS(ctx, normal)  # type: ignore[misc]

    def abortConnection(self) -> None:
        """Reset it, whatever is queued; the protocol hears of it when the turn is over."""
        if self.disconnected or self._aborting:
            return
        # Twisted's own shadows doRead and doWrite in the object, and from then on Python finds those of every
        # other one more slowly.
        self._aborting = True
        self.stopReading()
        self.stopWriting()
        if (tell_end := getattr(self.reactor, "tell_end", None)) is not None:
            tell_end(self)  # which takes less than a timer does
        else:
            self.reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        self._part()
        super().connectionLost(reason)  # type: ignore[misc]

    def _part(self) -> None:
        self._collecting = False
        toll = self._toll
        self.part()
        if toll is not None:
            toll(False)

    def _send_collected(self) -> ConnectionLost | None:
        """Send what was written during a read, unless there is more to do than that."""
        if self._writing or not self.connected:
            return None
        if self.producer is not None and (self.producerPaused or not self.streamingProducer):
            # It is to be asked for more when this has left, and doWrite does that.
            self.startWriting()
            return None
        collected = self._tempDataBuffer
        data = collected[0] if len(collected) == 1 else b"".join(collected)
        collected.clear()
        self._tempDataLen = 0
        try:
            sent = self.socket.send(data)
        except OSError as error:
            if error.errno not in _LATER:
                return CONNECTION_LOST
            sent = 0
        self.bytes_out += sent
        if sent != len(data):
            self._queue(data, sent)
        return None

    def _queue(self, data: bytes, sent: int) -> None:
        """Send the rest later; nothing else is queued."""
        self.dataBuffer, self.offset = data, sent
        self._maybePauseProducer()
        self.startWriting()

    @property
    def drained(self) -> bool:
        """Whether the kernel has all that was written, and nobody speaks TLS on top, who might hold more."""
        return not (self.TLS or self._tempDataLen or len(self.dataBuffer) > self.offset)

    def join(self, other: Stream, toll: Callable[[bool], object] | None = None) -> None:
        """From now on send to either what the other reads, past both protocols.

        Of what is queued, the protocols are each other's producers as ever, and all else that happens is told
        to them as ever.  It ends with the first of the two.

        :param toll: called with ``True`` when one of them has read past its fence, and what it read has gone
            on; with ``False`` when they are joined no more, since one of them is gone.
        :raises LocalError: when one of them is gone, or speaks TLS.
        """
        for stream in (self, other):
            if stream.TLS or not stream.connected:
                raise LocalError(f"{stream!r} is gone, or speaks TLS: it cannot be joined")
        self._other, other._other = other, self
        self._toll = other._toll = toll

    def part(self) -> None:
        """Have each hand what it reads to its protocol again, and call no toll, if it is joined."""
        if (other := self._other) is not None:
            self._other = other._other = None
            self._toll = other._toll = None
            self.fence = other.fence = NO_FENCE
            self._in_bulk = other._in_bulk = False

    def _forward(self, data: bytes | memoryview, other: Stream) -> None:
        self._in_bulk = False
        if other._writing:
            other.write(bytes(data))
            return
        try:
            sent = other.socket.send(data)
        except OSError as error:
            # No room; or its end, which it finds and tells when it tries for itself.
            other._broken = error.errno not in _LATER
            other.write(bytes(data))
            return
        other.bytes_out += sent
        if sent != len(data):
            # Not the whole of it: what has left need not be held for a peer that takes its time.
            other._queue(bytes(data[sent:]), 0)
        elif sent >= READ_SIZE:
            self._in_bulk = True
