"""A connection to a server, between the moment it is made and the moment somebody takes it, and beyond."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.interfaces import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

    from tcpsuite.net.stream import IStreamTransport

EARLY_LIMIT = 16 * 1024
"""Bytes that a server may say before somebody takes the connection; with so many it is not read any more.
Greetings are far shorter; what is longer waits in the kernel.
"""

# Linux tells a FIN behind unread bytes; elsewhere a reset alone is seen.
_HANG_UP = getattr(select, "POLLRDHUP", 0)


@implementer(IHalfCloseableProtocol)
class Held(Protocol):
    """Keeps what the server says and does until a protocol is attached, and then gets out of the way.

    :param number: the pool's for it.
    :param clock: an ``IReactorTime``.
    :param lost: called with this when the connection is gone, and when the server has closed its half of one
        that was not leased.
    :ivar leased: whether it was handed out.
    :ivar gone: whether the connection is gone.
    """

    log = Logger()
    transport: IStreamTransport

    leased = False
    gone = False
    _early_size = 0
    _finished = False
    _reason: Failure | None = None
    _taker: IProtocol | None = None
    _since = 0.0
    _outcome: Outcome | None = None

    def __init__(self, number: int, clock: Any, lost: Callable[[Held], None]) -> None:
        self.number = number
        self._clock = clock
        self._lost = lost
        self._early: list[bytes] = []
        self._ended: list[Deferred[Outcome]] = []

    def __repr__(self) -> str:
        if self.gone:
            return "<Held gone>"
        state = "attached" if self._taker else f"early={self._early_size}"
        return f"<Held {state}{' finished' if self._finished else ''}>"

    def dataReceived(self, data: bytes) -> None:
        """Nobody has taken it: keep what the server says, up to a limit."""
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size >= EARLY_LIMIT:
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """The server has finished."""
        self._finished = True
        if self._taker is not None:
            self._server_finished(self._taker)
        elif not self.leased:
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
        try:
            if self._taker is not None:
                self._taker.connectionLost(reason)
        finally:
            self._end(reason)
            # Last: who waits for the pool to be empty finds everything else done.
            self._lost(self)

    def lease(self) -> None:
        """It is handed out: from now on what happens to it is its taker's business."""
        self.leased = True
        self._since = self._clock.seconds()

    def attach(self, taker: IProtocol) -> None:
        """Hand the connection over: the hot path does not come through here any more."""
        assert self._taker is None, "a lease is attached once"
        self._taker = taker
        if not self.gone:
            if isinstance(self.transport, FileDescriptor):
                # Twisted's endpoints leave a wrapper of theirs between the transport and us.
                self.transport.protocol = self  # type: ignore[attr-defined]
            if self._early_size >= EARLY_LIMIT and not self._finished:
                # Before the taker gets to say otherwise.
                self.transport.resumeProducing()
        taker.makeConnection(self.transport)
        if self._early:
            taker.dataReceived(b"".join(self._early))
            self._early.clear()
        self.dataReceived = taker.dataReceived  # type: ignore[method-assign]
        if self._reason is not None:
            taker.connectionLost(self._reason)
        elif self._finished:
            self._server_finished(taker)

    def ended(self) -> Deferred[Outcome]:
        """Fires when the connection is gone, at once if it is."""
        if self._outcome is not None:
            return succeed(self._outcome)
        deferred: Deferred[Outcome] = Deferred()
        self._ended.append(deferred)
        return deferred

    def hung_up(self) -> bool:
        """Whether the server has ended its half, as far as the kernel knows by now."""
        if self.gone or self._finished:
            return True
        if not isinstance(self.transport, FileDescriptor):
            return False
        poll = select.poll()
        poll.register(self.transport.fileno(), _HANG_UP)  # type: ignore[no-untyped-call]
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close it in order, if it is open."""
        if not self.gone:
            self.transport.loseConnection()

    def cut(self) -> None:
        """Reset it, if it is open."""
        if not self.gone:
            self.transport.abortConnection()

    def _end(self, reason: Failure) -> None:
        fault = not isinstance(reason.value, ConnectionDone | ConnectionAborted)
        self._outcome = Outcome(
            ok=not fault,
            error=reason.getErrorMessage() if fault else "",
            seconds=self._clock.seconds() - self._since,
        )
        waiting, self._ended = self._ended, []
        for deferred in waiting:
            deferred.callback(self._outcome)

    def _server_finished(self, taker: IProtocol) -> None:
        half_closeable: IHalfCloseableProtocol | None = IHalfCloseableProtocol(taker, None)
        if half_closeable is not None:
            half_closeable.readConnectionLost()
        else:
            # Who knows no half-close has no use for a half-closed connection: Twisted's own rule.
            self.transport.loseConnection()
