"""A connection to a server while its pool has it, and while somebody else does."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.core.pooling import End
from tcpsuite.errors import LeaseError
from tcpsuite.net.stream import Stream
from tcpsuite.net.wrappers import beneath

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.leases import PooledLease
    from tcpsuite.net.stream import IStreamTransport

EARLY_LIMIT = 16 * 1024
"""Bytes that a server may say before somebody takes the connection; with so many it is not read any more.
Greetings are far shorter; what is longer waits in the kernel.
"""

# Linux tells a FIN behind unread bytes; elsewhere a reset alone is seen.
_HANG_UP = getattr(select, "POLLRDHUP", 0)
_ENDED = select.POLLERR | select.POLLHUP


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Held(Protocol):
    """Keeps what the server says and does until a protocol is attached, and then gets out of the way.

    :param number: the pool's for it.
    :param clock: an ``IReactorTime``.
    :param lost: called with this when the connection is gone, and when the server has closed its half of one
        that nobody has, or, if it is ``quiet``, has spoken on it.
    :ivar lease: of who has it; ``None`` while the pool does.
    :ivar gone: whether the connection is gone.
    :ivar quiet: whether the server is to say nothing while nobody has it.
    :ivar end: why the pool closed it, if it did.
    :ivar asked: a validation or reset under way on it.
    :ivar deadline: until when it may take its time to close.
    """

    log = Logger()
    transport: IStreamTransport

    lease: PooledLease | None = None
    gone = False
    quiet = False
    end: End = End.LOST
    asked: Deferred[Any] | None = None
    deadline: Deadline | None = None
    _early_size = 0
    _shaken = False
    _shaking: Deferred[None] | None = None
    _finished = False
    _reason: Failure | None = None
    _taker: IProtocol | None = None
    _poll: Any = None

    def __init__(self, number: int, clock: Any, lost: Callable[[Held], None]) -> None:
        self.number = number
        self._clock = clock
        self._lost = lost
        self._early: list[bytes] = []

    def __repr__(self) -> str:
        if self.gone:
            return "<Held gone>"
        state = "attached" if self._taker else f"early={self._early_size}"
        return f"<Held {state}{' finished' if self._finished else ''}>"

    def secured(self) -> Deferred[None] | None:
        """Fires when the TLS handshake is over, and fails when the connection is lost before that; until then
        the pool is told nothing.  Cancelling it resets the connection.  ``None``: there is none to wait for.
        """
        # Most are plain, and of our own kind: to ask what they provide costs far more.
        plain = isinstance(self.transport, Stream) and not self.transport.TLS
        if plain or self._shaken or self.gone or not ISSLTransport.providedBy(self.transport):
            return None
        self._shaking = Deferred(lambda _: self.cut())
        return self._shaking

    def handshakeCompleted(self) -> None:
        """TLS has begun."""
        self._shaken = True
        shaking, self._shaking = self._shaking, None
        if shaking is not None:
            shaking.callback(None)

    def dataReceived(self, data: bytes) -> None:
        """Nobody has taken it: keep what the server says, up to a limit."""
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size >= EARLY_LIMIT:
            self.transport.pauseProducing()
        if self.quiet and self.lease is None:
            self._lost(self)

    def readConnectionLost(self) -> None:
        """The server has finished."""
        self._finished = True
        if self._taker is not None:
            self._server_finished(self._taker)
        elif self.lease is None:
            self._lost(self)

    def writeConnectionLost(self) -> None:
        """Our own half is closed."""
        taker: IHalfCloseableProtocol | None = IHalfCloseableProtocol(self._taker, None)
        if taker is not None:
            taker.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.gone = True
        self._reason = reason
        if self._shaking is not None:
            # The pool has not had it yet.  Who waited may have given it up.
            if not self._shaking.called:
                self._shaking.errback(reason)
            return
        try:
            if self._taker is not None:
                self._taker.connectionLost(reason)
        finally:
            if self.lease is not None:
                self.lease.end(self._clock.seconds(), reason)
            # Last: who waits for the pool to be empty finds everything else done.
            self._lost(self)
            # The two know each other: left alone, they would wait for the garbage collector together.
            self.lease = None

    def attach(self, taker: IProtocol) -> None:
        """Hand the connection over: the hot path does not come through here any more."""
        if self._taker is not None:
            raise LeaseError("a lease is attached once")
        self._taker = taker
        reason, finished = self._reason, self._finished  # what comes from now on the taker hears at once
        if not self.gone:
            if isinstance(self.transport, FileDescriptor):
                # Twisted's endpoints leave a wrapper of theirs between the transport and us.
                self.transport.protocol = self  # type: ignore[attr-defined]
            if self._early_size >= EARLY_LIMIT and not self._finished:
                # Before the taker gets to say otherwise.
                self.transport.resumeProducing()
        taker.makeConnection(self.transport)
        while self._early and self._taker is taker:
            early = b"".join(self._early)
            self._early.clear()
            self._early_size = 0
            taker.dataReceived(early)
        if self._taker is not taker:
            return  # it gave the connection back already
        self.dataReceived = taker.dataReceived  # type: ignore[method-assign]
        if reason is not None:
            taker.connectionLost(reason)
        elif finished:
            self._server_finished(taker)

    def hung_up(self) -> bool:
        """Whether the server has ended its half, as far as the kernel knows by now."""
        return self.gone or self._finished or self._look(_HANG_UP)

    def fit(self) -> bool:
        """Whether nothing is left of who had it last: nothing unsent, unread or under way, and both halves
        open, as far as the kernel knows by now.
        """
        if self.gone or self._finished or self._early_size:
            return False
        transport: Any = self.transport
        stream = beneath(transport)
        if transport.disconnecting or stream.disconnecting or stream.producer is not None:
            return False
        if not (_at_rest(stream) if isinstance(stream, FileDescriptor) else getattr(stream, "at_rest", True)):
            return False
        if self._taker is not None and stream is transport and transport.protocol is not self:
            # It speaks TLS now, or serves another protocol.
            return False
        return not self._look(select.POLLIN | _HANG_UP)

    def take_back(self) -> None:
        """From now on nobody has it: who had it hears no more of it."""
        self.lease = None
        if self._taker is not None:
            self._taker = None
            self.__dict__.pop("dataReceived", None)  # is not there yet while it is being attached
            self.transport.resumeProducing()  # who had it may have paused it

    def close(self) -> None:
        """Close it in order, if it is open."""
        if not self.gone:
            self.transport.loseConnection()

    def cut(self) -> None:
        """Reset it, if it is open."""
        if not self.gone:
            self.transport.abortConnection()

    def _server_finished(self, taker: IProtocol) -> None:
        half_closeable: IHalfCloseableProtocol | None = IHalfCloseableProtocol(taker, None)
        if half_closeable is not None:
            half_closeable.readConnectionLost()
        else:
            # Who knows no half-close has no use for a half-closed connection: Twisted's own rule.
            self.transport.loseConnection()

    def _look(self, events: int) -> bool:
        """Ask the kernel whether one of ``events`` has come, or an error."""
        if not isinstance(stream := beneath(self.transport), FileDescriptor):
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(stream.fileno(), select.POLLIN | _HANG_UP)
        return any(event & (events | _ENDED) for _, event in self._poll.poll(0))


def _at_rest(stream: Any) -> bool:
    """Whether a transport of Twisted's has nothing to send, and hands what comes to nobody else."""
    queued = len(stream.dataBuffer) - stream.offset + stream._tempDataLen
    joined = getattr(stream, "_other", None) is not None
    return not (queued or joined or stream._writeDisconnecting or stream._writeDisconnected)
