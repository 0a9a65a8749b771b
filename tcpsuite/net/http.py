"""HTTP/1.1 servers that a slow or greedy client cannot hold: the base of all that serves HTTP.

``twisted.web`` renews its one time-out with every byte, and keeps a request's body, of any size, before
anyone sees the request.  Here every phase of a connection has an end of its own, and a body has a largest
size::

    idle --byte--> headers --complete--> body --complete--> answer --finished--> idle
      60 s           30 s             30 s + 1 s/KiB       the resource's own

unless the site says otherwise.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport, ITCPTransport
from twisted.web.http import RESPONSES, HTTPChannel
from twisted.web.http_headers import Headers
from zope.interface import implementer

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.deadlines import PhaseDeadline
from tcpsuite.net.http_request import BoundedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from tcpsuite.net.http_site import BoundedSite
    from tcpsuite.net.stream import IStreamTransport

    _Headers = Mapping[bytes, list[bytes]]

MIN_BODY_RATE = 1024
"""Bytes of a body that buy one second more: an honest client on the worst of lines is faster."""

_LENGTH = re.compile(rb"[ \t]*[0-9]{1,19}[ \t]*")

PIPELINED = 16
"""Requests of one connection that are answered in one turn of the reactor: a few milliseconds, where a full
buffer of them takes hundreds."""
MAX_AHEAD = 16 * 1024
"""Bytes of further requests that may wait behind the one that is being answered: only who reads notices that
a peer is gone."""
LINGER = 5.0
"""Seconds that a peer has to read why it is sent away, and to leave."""


class Phase(Enum):
    """What a connection is doing."""

    IDLE = (0, "no request")
    HEADERS = (1, "the headers of a request were not complete")
    BODY = (2, "the body of a request was not complete")
    ANSWER = (3, "a request is being answered")
    HELD = (4, "further requests wait for their turn, or for room for their answers")
    CLOSING = (5, "the peer took nothing more")

    def __init__(self, number: int, fault: str) -> None:
        self.number = number
        self.fault = fault


@implementer(IRecorded, IHalfCloseableProtocol)
class BoundedChannel(HTTPChannel):
    """One connection of a :class:`~tcpsuite.net.http_site.BoundedSite`.

    :ivar connection: its record, when it came through a listener.
    :ivar phase: what it is doing.
    """

    connection: Connection | None = None
    site: BoundedSite
    transport: IStreamTransport
    phase = Phase.IDLE
    _deadline: PhaseDeadline
    _body_bytes = 0
    _half_closed = False
    _answered = 0
    _ahead = 0
    _next_turn: IDelayedCall | None = None

    @property
    def buffered(self) -> bool:
        """Whether more has arrived than was looked at: in a request's headers, its body has begun."""
        return bool(self._buffer)

    @property
    def framed(self) -> bool:
        """Whether the request that is being read says where its body ends."""
        return self._transferDecoder is not None

    def connectionMade(self) -> None:
        """Ready for a request."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site.channels.add(self)
        self._deadline = PhaseDeadline(self.site.deadlines, self._late)
        self._enter(Phase.IDLE)

    def readConnectionLost(self) -> None:
        """The peer sends nothing more, and may still read: what it asked is answered."""
        self._half_closed = True
        self._close_when_answered()

    def writeConnectionLost(self) -> None:
        """The peer is told nothing more: it was refused."""

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Gone: a request that was being answered is told."""
        self.site.channels.discard(self)
        self._deadline.cancel()
        if self._next_turn is not None:
            self._next_turn.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests arrived; they renew no deadline."""
        if self.phase is Phase.CLOSING or self.transport.disconnecting:  # type: ignore[attr-defined]
            return
        if data and self.phase is Phase.IDLE:
            self._enter(Phase.HEADERS)
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        self._close_when_answered()

    def lineReceived(self, line: bytes) -> bool:
        """A line of the headers; ``True`` drops what stands behind it."""
        if self.phase is Phase.IDLE:
            # It came in one piece with the request before.
            self._enter(Phase.HEADERS)
        super().lineReceived(line)  # type: ignore[no-untyped-call]
        return self.phase is Phase.CLOSING

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of the headers is longer than all of them may be."""
        self.refuse(431, f"headers have at most {self.totalHeadersSize} bytes here")

    def headerReceived(self, line: bytes) -> bool:
        """A header; whether the request may go on.

        What says where a body ends may say so in one way only: who reads it in another one takes the body for
        requests.  RFC 9112, section 6.
        """
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length" if not _LENGTH.fullmatch(value):
                self.refuse(400, "a length is a number of up to 19 digits")
                return False
            case b"transfer-encoding" if self._version != b"HTTP/1.1":
                self.refuse(400, "HTTP/1.0 has no Transfer-Encoding")
                return False
            case b"transfer-encoding" if value.strip(b" \t").lower() != b"chunked":
                self.refuse(501, "the only Transfer-Encoding here is chunked")
                return False
        valid: bool = super().headerReceived(line)  # type: ignore[no-untyped-call]
        return valid

    def allHeadersReceived(self) -> None:
        """The body comes next, if it may."""
        request: BoundedRequest = self.requests[-1]
        # Twisted tells a request its own first line only when its body is complete.
        request.method, request.uri, request.clientproto = self._command, self._path, self._version
        if self._version != b"HTTP/1.0" and len(request.requestHeaders.getRawHeaders(b"Host", [])) != 1:
            self.refuse(400, "a request names its Host, and once")
            return
        request.headers_received()
        if self.length is not None and self.length > request.max_body:
            self.refuse(413, f"a body has at most {request.max_body} bytes here")
        if self.phase is Phase.CLOSING:
            return
        if self.length != 0:
            self._body_bytes = 0
            self._enter(Phase.BODY)
        super().allHeadersReceived()  # type: ignore[no-untyped-call]

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether the connection stays open behind this request."""
        options = {option.strip(" \t") for option in (request.header("Connection") or "").lower().split(",")}
        if version == b"HTTP/1.1" and "close" not in options and not self.site.draining:
            return True
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def rawDataReceived(self, data: bytes) -> None:
        """Bytes of a body, or of the next requests."""
        if not self._handlingRequest:
            self._body_bytes += len(data)
            super().rawDataReceived(data)
            return
        # Twisted's own has no bound here while the transport is full.
        self._dataBuffer.append(data)
        self._ahead += len(data)
        if self._ahead > MAX_AHEAD:
            self._networkProducer.pauseProducing()

    def allContentReceived(self) -> None:
        """The request is complete: its resource answers it."""
        if self.phase is not Phase.CLOSING:
            self._enter(Phase.ANSWER)
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """The answer was written."""
        self._enter(Phase.IDLE)
        if not self.persistent:
            self._because(Reason.SERVICE_CLOSED, "answered")
        self._answered += 1
        self._ahead = 0
        full = self._waitingForTransport
        if self.persistent and (self._buffer or self._dataBuffer):
            # The reader of lines looks at this before each, and keeps what there is.
            self.paused = full or self._answered % PIPELINED == 0
            if self.paused and not full:
                self._next_turn = self.site.reactor.callLater(0, self._go_on)
        super().requestDone(request)  # type: ignore[no-untyped-call]
        if self.paused:
            self._enter(Phase.HELD)
        if self.paused or (full and self.persistent and not self._handlingRequest):
            self._networkProducer.pauseProducing()
        self._close_when_answered()

    def resumeProducing(self) -> None:
        """What was written has left."""
        if self.phase is not Phase.HELD:
            super().resumeProducing()  # type: ignore[no-untyped-call]
            return
        self._waitingForTransport = False
        if self._next_turn is None:
            self._next_turn = self.site.reactor.callLater(0, self._go_on)

    def loseConnection(self) -> None:
        """Close behind what was written."""
        if not self.transport.disconnecting:  # type: ignore[attr-defined]
            # TLS reads the peer's farewell.
            self._networkProducer.resumeProducing()
        super().loseConnection()  # type: ignore[no-untyped-call]

    def refuse(self, code: int, text: str, more: _Headers | None = None) -> None:
        """Answer the request that is being read with an error, and close; whatever else the peer sends is
        dropped.

        :param code: the HTTP status.
        :param text: one line for people, and for the record of the connection.
        :param more: headers that belong to that status.
        """
        if self.phase is Phase.CLOSING:
            return
        self._because(Reason.PROTOCOL_ERROR, f"{code}: {text}")
        own, body = self.site.refusal(self, code, text)
        headers = Headers({
            b"Content-Length": [b"%d" % len(body)],
            b"X-Content-Type-Options": [b"nosniff"],
            b"Cache-Control": [b"no-store"],
            b"Connection": [b"close"],
            **own,
            **(more or {}),
        })  # fmt: skip
        self.writeHeaders(b"HTTP/1.1", b"%d" % code, RESPONSES.get(code, b"Refused"), headers)  # type: ignore[no-untyped-call]
        self.write(body)  # type: ignore[no-untyped-call]
        self._enter(Phase.CLOSING)
        if ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(self.transport):
            # Closing with bytes unread sends a reset, which would overtake the answer.
            self.transport.loseWriteConnection()
        else:
            self.loseConnection()

    def drain(self) -> None:
        """Answer what was asked, and no more."""
        if self.phase is Phase.IDLE:
            self.loseConnection()
        elif self.phase in {Phase.BODY, Phase.ANSWER}:
            self.persistent = 0

    def _go_on(self) -> None:
        """The others had their turn."""
        self._next_turn = None
        if not self._waitingForTransport:
            self.paused = False
            self._enter(Phase.HEADERS)
            self._networkProducer.resumeProducing()
            self.dataReceived(b"")

    def _close_when_answered(self) -> None:
        """Close what the peer has half-closed, when it is owed no answer: part of a request gets none."""
        if not self._half_closed or self._busyReceiving or self.phase in {Phase.ANSWER, Phase.HELD}:
            return
        if self.transport.disconnecting:  # type: ignore[attr-defined]
            return
        if self.phase is Phase.BODY:
            self._enter(Phase.CLOSING)
        elif self.phase is Phase.HEADERS:
            # Perhaps an empty line behind the last request: its answers have the time that they need.
            self._enter(Phase.IDLE)
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's own word for everything that is no HTTP.
        self.refuse(400, "this is not a request of HTTP/1.1")

    def _send100Continue(self) -> None:
        # Who is sending already waits for no word.
        if not self.buffered:
            super()._send100Continue()  # type: ignore[no-untyped-call]

    def _because(self, reason: Reason, detail: str) -> None:
        if self.connection is not None:
            self.connection.because(reason, detail)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._deadline.begin(self.site.seconds[phase.number])

    def _late(self) -> None:
        earned, self._body_bytes = self._body_bytes / MIN_BODY_RATE, 0
        phase = self.phase
        match phase:
            case Phase.BODY if earned >= 1:
                self._deadline.begin(earned)
            case Phase.HEADERS | Phase.BODY:
                self._because(Reason.DEADLINE, f"{phase.fault} in its time")
                self.refuse(408, f"{phase.fault} in its time")
            case Phase.IDLE:
                self._because(Reason.IDLE, f"no request for {self.site.seconds[phase.number]:g} s")
                self._enter(Phase.CLOSING)
                self.loseConnection()
            case _:
                self.transport.abortConnection()
