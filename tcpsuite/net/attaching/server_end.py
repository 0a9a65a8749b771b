"""The server's end of an attached connection, and what a client's connection becomes that carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.core.attaching.frames import Kind
from tcpsuite.core.connections import Reason
from tcpsuite.net.attaching.attached import Attached
from tcpsuite.net.attaching.carriers import FramedCarrier
from tcpsuite.net.attaching.raw_carrier import RawCarrier
from tcpsuite.net.relay import MUTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from tcpsuite.core.connections import Connection
    from tcpsuite.interfaces import IConnectionPool, ILease
    from tcpsuite.net.attaching.carriers import Carrier
    from tcpsuite.net.deadlines import Deadline


TAKEN_OVER = (Reason.SERVICE_CLOSED, "somebody else attached")
"""Why the connection of a client ends that has no part in it any more."""
STATES = ATTACHED, FINISHED, DETACHED = "attached", "finished", "detached"
"""Whether a connection has a client; ``finished``: one that has sent a FIN, and may be gone as a whole."""
PLACE_TIME = 10.0
"""Seconds for which a server that has finished is held without a client: one that was cut, and has more to
say, is back by then.
"""


class ServerEnd(Attached):
    """A connection to a server, for a session: it is given back when it is over, and never lent again.

    :param mark: tells it from all others.
    :param holder: whose it is, for people.
    :param lease: is attached to it by whoever makes it.
    :param pool: the lease's.
    :param record: of the client that it is made for.
    :param clock: an ``IReactorTime``.
    :param over: called with this when it is over.
    :param left: called with this when its client is gone.
    :param bound: bytes of either way that are kept.
    :ivar server: the name of the server.
    :ivar deadline: until when a client has to come for it; ``None`` while there is one.
    """

    def __init__(
        self,
        mark: str,
        holder: str,
        lease: ILease,
        pool: IConnectionPool,
        record: Connection,
        clock: Any,
        over: Callable[[ServerEnd], object],
        left: Callable[[ServerEnd], object],
        bound: int,
    ) -> None:
        super().__init__(clock, self._finish, lambda: left(self), bound, bound)
        self.mark = mark
        self.holder = holder
        self.server = lease.server.name
        self.deadline: Deadline | None = None
        self._lease = lease
        self._pool = pool
        self._first = record  # which is looked at behind the end, for what the server did wrong
        self._record = record
        self._tell_over = over
        self._server_first = False
        self._letting_go: IDelayedCall | None = None
        self._let_go = False
        record.server_fault = ""

    def readConnectionLost(self) -> None:
        """The server has finished."""
        self._note_end()
        super().readConnectionLost()
        self._limit_place()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The server is gone."""
        self._keep_place()
        if self._let_go:
            reason = connectionDone  # to the client it is no more than the FIN that it was
        if not (self.outgoing.end or self.incoming.last or reason.check(ConnectionDone, ConnectionAborted)):
            self._first.server_fault = MUTE
        self._note_end()
        super().connectionLost(reason)
        self._give_back()

    def leave(self, carrier: Carrier) -> None:
        """Its client is gone."""
        super().leave(carrier)
        self._limit_place()

    @property
    def state(self) -> str:
        """One of :data:`STATES`."""
        if self.carrier is None:
            return DETACHED
        return FINISHED if self.carrier.is_finished else ATTACHED

    def attend(self, record: Connection) -> None:
        """From now on it is for the client of ``record``."""
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
        self._keep_place()
        if record is not self._record:
            self.because(*TAKEN_OVER)
            record.upstream, record.server = self._record.upstream, self.server
            self._record = record

    def because(self, reason: Reason, detail: str = "") -> None:
        """Say why the client's connection is about to end."""
        self._record.because(reason, detail)

    def break_off(self, reason: Reason, why: str) -> None:
        """Reset it, and have its client told, behind all that the server has said."""
        self.because(reason, why)
        if not self._lost:
            self.transport.abortConnection()
        self._break(why)

    def _limit_place(self) -> None:
        """What the server has said is kept as ever; but half a connection that nobody uses is not worth its
        place at the server for long.
        """
        is_half = self.outgoing.last is not None and self.incoming.last is None
        if is_half and self.carrier is None and not (self._lost or self.is_over or self._letting_go):
            self._letting_go = self._clock.callLater(PLACE_TIME, self._give_up_place)

    def _keep_place(self) -> None:
        letting_go, self._letting_go = self._letting_go, None
        if letting_go is not None:
            letting_go.cancel()

    def _give_up_place(self) -> None:
        self._letting_go = None
        self._let_go = True
        self.transport.abortConnection()

    def _note_end(self) -> None:
        self._server_first = self._server_first or self.incoming.last is None

    def _finish(self) -> None:
        self._keep_place()
        if self.deadline is not None:
            self.deadline.cancel()
        theirs, ours = self.incoming.last, self.outgoing.last
        if theirs is not None and theirs.kind is Kind.BROKEN:
            self.because(Reason.CLIENT_RESET, theirs.payload.decode(errors="replace"))
        elif ours is not None and ours.kind is Kind.BROKEN:
            self.because(Reason.SERVER_RESET, ours.payload.decode(errors="replace"))
        else:
            self.because(Reason.SERVER_CLOSED if self._server_first else Reason.CLIENT_CLOSED)
        if theirs is None or theirs.kind is not Kind.BROKEN:
            self._give_back()  # which closes it: of one that is about to be reset that would be a FIN
        self._tell_over(self)

    def _give_back(self) -> None:
        self._pool.release(self._lease, reusable=False)


@implementer(IHalfCloseableProtocol)
class Carriage(Protocol):
    """What a client's connection becomes when it is attached.

    :param end: what it carries.
    :param record: the connection's.
    :param received: where the server's way goes on.
    :param window: bytes that may be under way to the client, in frames; 0 for no frames.
    :param clock: an ``IReactorTime``.
    """

    transport: Any

    def __init__(self, end: ServerEnd, record: Connection, received: int, window: int, clock: Any) -> None:
        self._end = end
        self._record = record
        self._received = received
        self._window = window
        self._clock = clock
        self._carrier: FramedCarrier | RawCarrier

    def connectionMade(self) -> None:
        """Carry it from now on."""
        kind = FramedCarrier if self._window else RawCarrier
        self._carrier = kind(self._end, self.transport, self._clock)
        self._record.rests = lambda: self._carrier.lasts
        self._carrier.start(self._received, self._window)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of the client's."""
        self._carrier.data_received(data)

    def readConnectionLost(self) -> None:
        """The client's FIN."""
        self._carrier.read_connection_lost()

    def writeConnectionLost(self) -> None:
        """Our FIN has gone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        if self._carrier.fault:
            why = Reason.IDLE if self._carrier.was_silent else Reason.PROTOCOL_ERROR
            self._record.because(why, self._carrier.fault)
        self._carrier.connection_lost()
