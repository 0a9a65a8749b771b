"""Admission: what stands between ``accept`` and the service of a listener.

::

    accept -> limits by address -> a place below the ceiling -> the service's own protocol -> the record's end
"""

from __future__ import annotations

import time
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IProtocolNegotiationFactory, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import alsoProvides, providedBy
from zope.interface.declarations import Provides

from tcpsuite.core.connections import UNCOUNTED, Connection, Reason
from tcpsuite.core.standstill import Standstill
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.endpoints import address_text, failure_text
from tcpsuite.net.limiting import DryRun
from tcpsuite.net.socket_options import HIGH_WATER, mark
from tcpsuite.net.transport import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime
    from twisted.python.failure import Failure

    from tcpsuite.core.connections import Ledger
    from tcpsuite.core.limits import Ceiling
    from tcpsuite.interfaces import ILimiter, Verdict
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.refusing import Refusal
    from tcpsuite.net.stream import IStreamTransport
    from tcpsuite.net.throttle import Throttle
    from tcpsuite.net.throttling import Throttling

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client has to shake hands over TLS: a packet may be lost thrice, and who says nothing holds
its place no longer than that.
"""


class Admitted(Protocol):
    """Stands before the service's protocol for one connection: opens its record, and ends it.

    The hot path does not come through here: ``dataReceived`` is the service's own from the start.

    :ivar waiting: whether it waits for a place below the ceiling.
    :ivar closing: whether it was told to close, and is still there.
    """

    transport: IStreamTransport
    _throttle: Throttle | None = None

    def __init__(self, admission: Admission, record: Connection, verdict: Verdict, address: IAddress) -> None:
        self._admission = admission
        self._address: IAddress | None = address
        self._inner: Any = None
        self._deadline: Deadline | None = None
        self._standstill: Standstill | None = None
        self.verdict = verdict
        self.record = record
        self.waiting = False
        self.closing = False

    def connectionMade(self) -> None:
        """Accepted, and within the limits of its address."""
        stream: Any = counted(self.transport)
        self.record.traffic = stream or UNCOUNTED
        if stream is not None:
            mark(stream, self._admission.high_water)
        self.record.secure = ISSLTransport.providedBy(self.transport)
        self._admission.arrived(self)

    def begin(self) -> None:
        """There is a place: the service takes over."""
        if self.record.secure:
            self._deadline = self._admission.limit_handshake(self._late)
        elif self.record.traffic is not UNCOUNTED:
            self._deadline = self._admission.limit_silence(self._silent)
        try:
            address, self._address = self._address, None
            inner = self._admission.service.buildProtocol(address)  # type: ignore[arg-type]
            if inner is None:
                self.close(Reason.SERVICE_CLOSED, "the service refused it")
            else:
                self._join(inner)
        except Exception:
            self._admission.log.failure("the service {name} failed", name=self.record.service)
            self.cut(Reason.ERROR, "the service failed")

    def _join(self, inner: IProtocol) -> None:
        self._inner = inner
        # A service that honours half-close or listens for TLS, and only such a one, is told of it.
        self.__provides__ = _provided(providedBy(inner), self.record.secure)
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]
        if IRecorded.providedBy(inner):
            inner.connection = self.record
        transport: Any = self.transport
        throttling = self._admission.throttling
        if throttling is not None and (throttle := throttling.begin(self.record, transport)) is not None:
            throttle.hand_on = inner.dataReceived
            self.dataReceived = throttle.received  # type: ignore[method-assign]
            transport = self._throttle = throttle
        inner.makeConnection(transport)

    def readConnectionLost(self) -> None:
        """A FIN has come, which the service honours."""
        self._inner.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """A FIN has gone, of which the service wants to know."""
        self._inner.writeConnectionLost()

    def handshakeCompleted(self) -> None:
        """TLS has begun, for which the service may have waited."""
        self._stop_waiting()
        if IHandshakeListener.providedBy(self._inner):
            self._inner.handshakeCompleted()

    def close(self, reason: Reason, detail: str) -> None:
        """Close once what is queued has left."""
        self.closing = True
        self.record.because(reason, detail)
        # A producer would be waited for, and resumed meanwhile.
        transport = self._throttle or self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    def cut(self, reason: Reason, detail: str) -> None:
        """End it now, with a reset."""
        self.record.because(reason, detail)
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone: the service is told first, so that its word on why counts."""
        self._stop_waiting()
        try:
            if self._admission.throttling is not None:
                self._admission.throttling.end(self.record)
            if self._inner is not None:
                self._inner.connectionLost(reason)
        finally:
            if self.record.reason is None:
                self.record.because(*self._cause(reason))
            self._admission.gone(self)

    def untaken(self, now: float) -> float:
        """Seconds for which the client has taken nothing of what is left for it."""
        if self._standstill is None:
            self._standstill = Standstill()
        return self._standstill.look(now, self.record.traffic)

    def _late(self) -> None:
        self.cut(Reason.DEADLINE, f"no TLS handshake within {HANDSHAKE_TIMEOUT:g} s")

    def _silent(self) -> None:
        # Looked at once, so that the first byte costs nothing when it comes.
        if not self.record.bytes_in:
            self.cut(Reason.DEADLINE, f"no byte within {self._admission.first_byte_timeout:g} s")

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _cause(self, reason: Failure) -> tuple[Reason, str]:
        """Why a connection ended of which nobody said so before."""
        match reason.value:
            case ConnectionDone():
                return Reason.CLIENT_CLOSED, ""
            case ConnectionAborted():
                return Reason.SERVICE_CLOSED, "the service cut it"
            case ConnectionLost():
                return Reason.CLIENT_RESET, ""
        # Beneath TLS a peer can do worse than reset; on a bare socket whatever else is raised is ours.
        fault = Reason.PROTOCOL_ERROR if self.record.secure else Reason.ERROR
        return fault, failure_text(reason)


class Admission(Factory):
    """The factory that a listener's endpoints are given.

    :param listener: the listener's name, for the records.
    :param service_name: what it serves, for the records.
    :param service: the factory of the service.
    :param limiter: asked once for each connection.
    :param ceiling: how many may be served at once.  At the ceiling ``pause`` is called; those that were
        accepted in the same breath are held, unread, until there is a place.
    :param pause: called with whether accepting is to rest.
    :param ledger: where the records are kept.
    :param ended: called with the record of each connection that ended or was refused.
    :param ids: gives each connection its id.
    :param clock: an ``IReactorTime``.
    :param deadlines: keeps the time-outs of all connections; ``None`` for some of its own.
    :param first_byte_timeout: seconds that a client has, from when it is served, for the first that it says;
        over TLS its handshake is that.  0 for any time.
    :param high_water: bytes queued for a client past which who produces them is told to wait.
    :param refusal: how connections are refused; ``None`` closes them at once.
    :param throttling: bounds the bandwidth of some; ``None`` of none, which costs nothing.
    :ivar limiter: the limiter.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        *,
        listener: str,
        service_name: str,
        service: IProtocolFactory,
        limiter: ILimiter,
        ceiling: Ceiling,
        pause: Callable[[bool], None],
        ledger: Ledger,
        ended: Callable[[Connection], None],
        ids: Iterator[str],
        clock: IReactorTime,
        deadlines: Deadlines | None = None,
        first_byte_timeout: float = 0.0,
        high_water: int = HIGH_WATER,
        refusal: Refusal | None = None,
        throttling: Throttling | None = None,
    ) -> None:
        self.service = service
        self._listener = listener
        self._service_name = service_name
        self.limiter = limiter
        self._refusal = refusal
        self.throttling = throttling
        self._dry_run = DryRun(listener, ledger, clock)
        self._ceiling = ceiling
        self._pause = pause
        self._ledger = ledger
        self._ended = ended
        self._ids = ids
        self._clock = clock
        self._deadlines = deadlines or Deadlines(clock)
        self.first_byte_timeout = first_byte_timeout
        self.high_water = high_water
        self._open: dict[Connection, Admitted] = {}
        self._held: deque[Admitted] = deque()
        self._empty: list[Deferred[None]] = []
        if IProtocolNegotiationFactory.providedBy(service):
            # TLS asks the factory of the port what its protocols are called, and refuses who offers others.
            self.acceptableProtocols = service.acceptableProtocols
            alsoProvides(self, IProtocolNegotiationFactory)

    def __repr__(self) -> str:
        return f"<Admission {self._listener} open={len(self._open)} held={len(self._held)}>"

    def __len__(self) -> int:
        return len(self._open)

    def doStart(self) -> None:
        """A port was opened."""
        super().doStart()  # type: ignore[no-untyped-call]
        self.service.doStart()

    def doStop(self) -> None:
        """A port was closed."""
        self.service.doStop()
        if self._refusal is not None:
            self._refusal.cut()
        super().doStop()  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: IAddress) -> Protocol | None:  # type: ignore[override]
        """A connection was accepted; ``None`` closes it."""
        now = self._clock.seconds()
        host, peer = _name(addr)
        verdict = self.limiter.admit(host, now)
        record = Connection(
            id=next(self._ids), peer=peer, host=host, listener=self._listener, service=self._service_name,
            started=now, opened_at=time.time(), limited_as=verdict.key,
        )  # fmt: skip
        if verdict.allowed:
            if verdict.limit:
                self._dry_run.note(verdict)
            return Admitted(self, record, verdict, addr)
        record.because(Reason.LIMITED, verdict.reason)
        record.ended = now
        self._ledger.refuse(self._listener, verdict.limit)
        self._ended(record)
        return None if self._refusal is None else self._refusal.of(verdict)

    def limit_handshake(self, late: Callable[[], object]) -> Deadline:
        """Have ``late`` called when the time for a TLS handshake that begins now is over."""
        return self._deadlines.after(HANDSHAKE_TIMEOUT, late)

    def limit_silence(self, late: Callable[[], object]) -> Deadline | None:
        """Have ``late`` called when the time for a client's first byte that begins now is over, if there is
        such a time.
        """
        seconds = self.first_byte_timeout
        return self._deadlines.after(seconds, late) if seconds else None

    def arrived(self, admitted: Admitted) -> None:
        """A connection that was not refused stands at the door."""
        record = admitted.record
        self._ledger.open(record)
        self._open[record] = admitted
        if self._ceiling.enter():
            admitted.begin()
        else:
            # Accepted in the same breath as the last that fitted: it waits as it would have in the backlog.
            admitted.waiting = True
            admitted.transport.pauseProducing()
            self._held.append(admitted)
        self._pause(self._ceiling.full)

    def gone(self, admitted: Admitted) -> None:
        """A connection ended."""
        del self._open[admitted.record]
        self.limiter.release(admitted.verdict)
        self._ledger.close(admitted.record, self._clock.seconds())
        self._ended(admitted.record)
        if admitted.waiting:
            self._held.remove(admitted)
        else:
            self._ceiling.leave()
            self.look()
        if not self._open:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    def idle(self, timeout: float) -> None:
        """End the connections on which nothing has moved for ``timeout`` seconds: politely when nothing waits
        for its peer, or the end would wait behind it, and with a reset elsewhere.  What is still there at the
        next call is reset too.
        """
        now = self._clock.seconds()
        for record, admitted in tuple(self._open.items()):
            if not admitted.waiting and (admitted.closing or record.stalled(now, timeout)):
                end = admitted.cut if admitted.closing or record.stuck else admitted.close
                end(Reason.IDLE, f"no byte either way for {timeout:g} s")

    def untaken(self, timeout: float) -> None:
        """Cut the connections whose clients have taken nothing for ``timeout`` seconds of what is left for
        them.
        """
        now = self._clock.seconds()
        for admitted in tuple(self._open.values()):
            if not (admitted.waiting or admitted.record.may_rest) and admitted.untaken(now) >= timeout:
                detail = f"took nothing for {timeout:g} s of what was sent to it"
                admitted.cut(Reason.WRITE_TIMEOUT, detail)

    def cut(self, reason: Reason, detail: str) -> None:
        """End all connections now."""
        for admitted in tuple(self._open.values()):
            admitted.cut(reason, detail)

    def when_empty(self) -> Deferred[None]:
        """Fires when no connection is open, at once if none is."""
        if not self._open:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._empty.append(deferred)
        return deferred

    def look(self) -> None:
        """Serve those who wait for a place, as far as there are any; accept again, or rest."""
        while self._held and self._ceiling.enter():
            admitted = self._held.popleft()
            admitted.waiting = False
            admitted.record.touch(self._clock.seconds())
            admitted.transport.resumeProducing()
            admitted.begin()
        self._pause(self._ceiling.full)


@lru_cache(maxsize=64)
def _provided(inner: Any, secure: bool) -> Any:
    """What one who stands before a protocol that provides ``inner`` provides; there are few of these."""
    told = [IHandshakeListener] if secure else []
    return Provides(Admitted, inner, *told)


def _name(address: IAddress) -> tuple[str, str]:
    """The host that limits count, and the peer as people write it."""
    return getattr(address, "host", ""), address_text(address)
