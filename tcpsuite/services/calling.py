"""One stream of a client of the message service, and what is under way for it."""

from __future__ import annotations

from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.core.messages.wire import (
    CONNECTION,
    LEAVING,
    Kind,
    name,
    notes,
    read_note,
    read_number,
    read_request,
    refusal,
    reply_head,
    too_short,
)
from tcpsuite.errors import ProtocolError, RemoteError
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.deadlines import PhaseDeadline
from tcpsuite.net.messages import MessageProtocol
from tcpsuite.services.methods import Call, Method
from tcpsuite.services.running import Running, reply

if TYPE_CHECKING:
    from tcpsuite.core.messages.repeats import Repeatable
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.services.message import MessageFactory

IN_HAND = "max_requests_in_hand"
"""What a request is counted as that is refused since too many are under way."""
MIN_RATE = 1024
"""Bytes of a message that buy a second more: an honest client on the worst of lines is faster."""
LINGER = 5.0
"""Seconds that a client has to read why it is sent away, and to leave."""
REQUEST, CANCEL, NOTE, REPEATABLE = Kind.REQUEST, Kind.CANCEL, Kind.NOTE, Kind.REPEATABLE


@implementer(IHalfCloseableProtocol, IRecorded)
class Caller(MessageProtocol):
    """One stream of a client.

    While the client does not read its answers it is not read either, and nothing more is asked for it.
    """

    connection: Connection

    def __init__(self, service: MessageFactory) -> None:
        super().__init__(service.max_message)
        self._service = service
        self._running: dict[int, Running] = {}
        self._notes = 0
        self._held: list[bytes] = []
        self._sending: list[Deferred[None]] = []
        self._limited = False
        self._read_closed = False
        self._closing = False
        self._patience = PhaseDeadline(service.deadlines, self._too_slow)
        self._waits = False
        self._earned = 0
        self._linger: Deadline | None = None
        self.seconds = service.deadlines.seconds

    def __repr__(self) -> str:
        return f"<Caller running={len(self._running)} held={len(self._held)}{' full' if self.full else ''}>"

    def __len__(self) -> int:
        """Requests and notes under way."""
        return len(self._running)

    def connectionMade(self) -> None:
        """Ready for requests."""
        super().connectionMade()
        self._limited = self._service.limits is not None and bool(self.connection.limited_as)
        self._service.callers.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Requests have come, or parts of them."""
        if self._closing:
            return
        super().dataReceived(data)
        if self.reader.partial or self._waits:
            self._wait(len(data))

    def heard(self, messages: list[bytes]) -> None:
        """Requests, and what else a client says."""
        if self._held:
            self._held += messages
            return
        for place, message in enumerate(messages):
            if self.full:
                self._held = messages[place:]
                return
            try:
                self._hear(message)
            except ProtocolError as error:
                self.broken(error)
                return

    def _hear(self, message: bytes) -> None:
        kind = message[0] if message else 0
        if kind in (REQUEST, REPEATABLE):
            self._request(message)
        elif kind == NOTE:
            self._note(message)
        elif kind == CANCEL:
            running = self._running.pop(read_number(message), None)
            if running is not None:
                running.stop(self._service)
                self._close_if_done()
        else:
            raise too_short(message)

    def broken(self, error: ProtocolError) -> None:
        """The client does not speak this: it is told, and the stream ends."""
        self._closing = True
        self.say(refusal(CONNECTION, error.code, str(error)))
        self._drop()
        self.connection.because(Reason.PROTOCOL_ERROR, str(error))
        if (
            self._read_closed
            or ISSLTransport.providedBy(self.transport)
            or not ITCPTransport.providedBy(self.transport)
        ):
            self.end()
            return
        # Closing with bytes unread sends a reset, which would overtake these words.
        self.flush()
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        self.transport.loseWriteConnection()
        self._linger = self._service.deadlines.after(LINGER, self.transport.loseConnection)

    def pauseProducing(self) -> None:
        """It does not read its answers."""
        super().pauseProducing()
        if not self._closing and not self._read_closed:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It has read them."""
        super().resumeProducing()
        sending, self._sending = self._sending, []
        for each in sending:
            each.callback(None)
        held, self._held = self._held, []
        if held:
            self.collect(held)
        if not self.full and not self._closing:
            if not self._read_closed:
                self.transport.resumeProducing()
            self._close_if_done()

    def readConnectionLost(self) -> None:
        """It asks for nothing more: what it has asked for is answered first."""
        self._read_closed = True
        if self._closing:
            self.transport.loseConnection()
        self._close_if_done()

    def writeConnectionLost(self) -> None:
        """The words that send it away have left."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone: who waits for an answer does so no more, unless it may ask again."""
        self._closing = True
        self._service.callers.discard(self)
        if self._linger is not None:
            self._linger.cancel()
        self._drop()

    def leave(self) -> None:
        """Have it ask elsewhere; what it asks meanwhile is answered."""
        if not self._closing:
            self.say(LEAVING)

    def ran(self, running: Running, answer: bytes) -> None:
        """A method that took its time has ended."""
        del self._running[running.key]
        if running.number:
            self.say(answer)
        self._close_if_done()

    def take_over(self, running: Running, number: int, seconds: float) -> None:
        """A request has come again, here, while its method is at it."""
        if running.caller is not None:
            running.caller._running.pop(running.key, None)
        running.caller = self
        self._running[number] = running
        running.limit(self._service, seconds)

    def send_notes(self, method: str, bodies: tuple[bytes, ...]) -> Deferred[None]:
        """Send the client notes; fires when there is room for more."""
        if self._closing:
            return fail(RemoteError("the client is gone"))
        self.say(notes(name(method), bodies))
        if not self.full:
            return succeed(None)
        sending: Deferred[None] = Deferred(self._sending.remove)
        self._sending.append(sending)
        return sending

    def stats(self) -> dict[str, Any]:
        """What the service has done."""
        return self._service.stats()

    def _request(self, message: bytes) -> None:
        number, timeout, client, called, body = read_request(message)
        if number in self._running:
            raise ProtocolError("format", f"request {number} is under way already")
        service = self._service
        kept = None
        if client:
            kept = service.repeats.find((client, number), self.seconds())
            if kept is not None:
                if kept.answer is not None:
                    self.say(kept.answer)
                else:
                    self.take_over(kept.owner, number, timeout / 1000)
                return
        method = service.methods.find(called)
        if method is None:
            said = called.decode(errors="replace")
            self.say(refusal(number, "unknown", f"there is no method {said!r}"))
        elif (refused := self._refused()) is not None:
            self.say(refusal(number, *refused))
        else:
            if client:
                kept = service.repeats.begin((client, number), None)
            self._call(number, method, called, body, timeout / 1000, kept)

    def _note(self, message: bytes) -> None:
        called, body = read_note(message)
        method = self._service.methods.find(called)
        if method is None or self._refused() is not None:
            self._service.lost_notes += 1
            return
        self._notes += 1
        self._call(-self._notes, method, called, body, 0.0, None)

    def _refused(self) -> tuple[str, str] | None:
        """Why nothing more is called for now, if so: a code, and a text."""
        service = self._service
        if service.most and len(self._running) >= service.most:
            if service.limits is not None:
                service.limits.refused(IN_HAND)
            return "busy", f"{service.most} requests are under way on this stream"
        if self._limited and service.limits is not None:
            verdict = service.limits.request(self.connection)
            if not verdict.allowed:
                return "limit", verdict.reason
        return None

    def _call(
        self, key: int, method: Method, called: bytes, body: bytes, seconds: float, kept: Repeatable | None
    ) -> None:
        method.calls += 1
        number = max(key, 0)
        try:
            if method.wants_call:
                due = self.seconds() + seconds if seconds else 0.0
                result = method.function(body, Call(called.decode(errors="replace"), due, self))
            else:
                result = method.function(body)
            if result.__class__ is bytes and kept is None:
                if number:
                    self.say_with(reply_head(number, len(result)), result)
                return
            if iscoroutine(result):
                result = Deferred.fromCoroutine(result)
            if isinstance(result, Deferred):
                running = self._running[key] = Running(self, key, method, kept)
                if kept is not None:
                    kept.owner = running
                running.start(result, self._service, seconds)
                return
            answer = reply(number, result)
        except Exception:
            method.failed += 1
            answer = self._service.refusal_of(number, Failure())
        if kept is not None:
            self._service.repeats.answered(kept, answer, self.seconds())
        if number:
            self.say(answer)

    def _close_if_done(self) -> None:
        if self._read_closed and not (self._running or self._held or self._closing):
            self._closing = True
            self.end()

    def _drop(self) -> None:
        """Stop all that is under way; of what may be repeated, wait for that."""
        self._patience.cancel()
        self._held = []
        running, self._running = self._running, {}
        for each_running in running.values():
            if each_running.kept is None:
                each_running.stop(self._service)
            else:
                each_running.caller = None
                each_running.limit(self._service, self._service.repeats.seconds)
        sending, self._sending = self._sending, []
        for each in sending:
            each.errback(RemoteError("the client is gone"))

    def _wait(self, count: int) -> None:
        """A message is under way, or was until now."""
        if not self.reader.partial:
            self._waits = False
            self._patience.begin(0)
        elif not self._waits:
            self._waits, self._earned = True, 0
            self._patience.begin(self._service.read_timeout)
        else:
            self._earned += count

    def _too_slow(self) -> None:
        earned, self._earned = self._earned / MIN_RATE, 0
        if self.full or earned >= 1:
            self._patience.begin(max(1.0, earned))
            return
        self.connection.because(Reason.DEADLINE, "a message was not complete in its time")
        self.transport.abortConnection()
