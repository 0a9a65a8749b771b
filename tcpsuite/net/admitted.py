"""One connection that was admitted: what stands before the service's own protocol."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import providedBy
from zope.interface.declarations import Provides

from tcpsuite.core.connections import UNCOUNTED, Connection, Reason
from tcpsuite.core.standstill import Standstill
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.socket_options import mark
from tcpsuite.net.transport import counted

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocol
    from twisted.python.failure import Failure

    from tcpsuite.interfaces import Verdict
    from tcpsuite.net.admission import Admission
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.stream import IStreamTransport
    from tcpsuite.net.throttle import Throttle

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


@lru_cache(maxsize=64)
def _provided(inner: Any, secure: bool) -> Any:
    """What one who stands before a protocol that provides ``inner`` provides; there are few of these."""
    told = [IHandshakeListener] if secure else []
    return Provides(Admitted, inner, *told)
