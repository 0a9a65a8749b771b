"""The base of the services that speak in lines: one request a line, one answer each.

::

    request  = verb *( SP argument ) LF        ; UTF-8, at most 16 KiB
    answer   = "OK" [ SP text ] LF  /  "ERR" SP code SP text LF

Requests are answered in order, however many are sent at once.  Twenty errors in a row, or a sign of HTTP,
close the connection: a web page cannot make a browser speak to a line service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.core.lines import OVER_LIMIT, LineError, LineSplitter
from tcpsuite.errors import ProtocolError, RemoteError, StoreFailed
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.body import Body
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.sending import Sending
from tcpsuite.services.over_limit import check_verdict
from tcpsuite.services.patience import Patience
from tcpsuite.services.stray_http import HTTP, is_http, no_http

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.limiting import ServiceLimits
    from tcpsuite.net.stream import IStreamTransport

MAX_ERRORS = 20
"""Errors in a row after which a peer is taken for something that does not speak the protocol."""
MAX_AHEAD = 64 * 1024
"""Bytes of further requests that may wait behind the one that is being answered."""
MIN_BODY_RATE = 1024
"""Bytes behind a request that buy one second more: an honest client on the worst of lines is faster."""
TURN = 0.005
"""Seconds for which one connection's requests are answered before the others have their turn: a single read
may hold thousands."""
IN_HAND = "max_requests_in_hand"
"""What a request is counted as that is refused since too many wait."""
LINGER = 5.0
"""Seconds that a peer has to read why it is sent away, and to leave."""


@frozen
class Command:
    """One verb: the coroutine method that answers it, and how it is written."""

    method: Callable[..., Awaitable[str | None]]
    usage: str
    """``GET path [offset [length]]``: brackets enclose what may be left out."""
    rest: bool = False
    """Whether the last argument is all that stands behind the ones before it, spaces included."""
    body: bool = False
    """Whether bytes follow the line.  A refusal ends the connection then: those bytes are no requests."""

    def arguments(self, text: str) -> list[str]:
        """Split what stands behind the verb.

        :raises ProtocolError: ``usage``, when there are too few or too many.
        """
        names = self.usage.split()[1:]
        least = sum(not name.startswith("[") for name in names)
        given = text.split(" ", len(names) - 1) if self.rest and names else text.split(" ")
        given = given if text else []
        if not least <= len(given) <= len(names) or (not self.rest and "" in given):
            raise ProtocolError("usage", self.usage)
        return given


@implementer(IHalfCloseableProtocol, IPushProducer, IRecorded)
class LineProtocol(Protocol):
    """One connection of a line service.

    A subclass gives ``commands``; each command's coroutine returns the text behind ``OK`` (``None`` when it
    has answered itself), or raises :class:`~tcpsuite.errors.ProtocolError` or another Remote error.  It is
    cancelled when the connection is lost.  It may :meth:`stream` an answer of any length, and :meth:`receive`
    bytes that follow its line.

    It is its transport's producer: while the peer does not read its answers, nothing more is read or
    answered.  While a request is answered, a bounded number of bytes behind it is read ahead: only who reads
    notices that a peer is gone.

    :param reactor: an ``IReactorTime``.
    :param limits: asked for each request; one that is refused is answered with ``limit``, and is no error in
        a row.  ``None`` for no limits.
    :param patience: how long requests may take to come, and how many may wait; ``None`` for what is usual.
    """

    commands: ClassVar[Mapping[str, Command]]
    answers: ClassVar[frozenset[str]] = frozenset()
    """Codes of errors that are the answer to a good question: they do not count among errors in a row."""
    log = Logger()
    connection: Connection
    transport: IStreamTransport

    def __init__(
        self, reactor: IReactorTime, limits: ServiceLimits | None = None, patience: Patience | None = None
    ) -> None:
        self._reactor = reactor
        self.limits = limits
        self.patience = patience or Patience(Deadlines(reactor))
        self._lines = LineSplitter(max_lines=self.patience.max_requests_in_hand)
        self._body: Body | None = None
        self._body_left = 0
        self._body_earned = 0
        self._body_due = False
        self._errors = 0
        self._answering: Deferred[None] | None = None
        self._deadline: Deadline | None = None
        self._next_turn: IDelayedCall | None = None
        self._reading = True
        self._read_closed = False
        self._closing = False
        self._full = False

    def connectionMade(self) -> None:
        """Ready for requests."""
        self._produce()

    def pauseProducing(self) -> None:
        """The peer does not read its answers."""
        self._full = True
        self._read_on()

    def resumeProducing(self) -> None:
        """What was written has left."""
        self._full = False
        self._read_on()
        self._go_on()

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` says the same."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests arrived, or of what follows one."""
        if self._closing:
            return
        if self._body is not None:
            data = self._feed_body(data)
        self._lines.feed(data)
        self._read_on()
        self._go_on()

    def readConnectionLost(self) -> None:
        """The peer sends nothing more, and still reads: what it asked is answered first."""
        self._read_closed = True
        if self._closing:
            self.transport.loseConnection()
        elif self._body is not None:
            self._body.fail(ProtocolError("cut", "the connection ended before the last byte"))
        self._go_on()

    def writeConnectionLost(self) -> None:
        """The last answer has left: the peer has a while to read it, and to leave."""
        self._deadline = self.patience.deadlines.after(LINGER, self._leave)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone: what is being answered is cancelled."""
        self._end()
        if self._body is not None:
            self._body.fail(ProtocolError("cut", "the connection was lost before the last byte"))
        if self._answering is not None:
            self._answering.cancel()

    def answer(self, text: str) -> None:
        """Send one line, or several with LF between them."""
        self.transport.write(text.encode() + b"\n")

    async def stream(self, blocks: Generator[bytes | Deferred[None], None, None]) -> None:
        """Send what ``blocks`` yields, as :class:`~tcpsuite.net.sending.Sending` does, as fast as the peer
        takes it; done when the last one was written.
        """
        await self.lend(Sending(blocks, self._reactor).send_to)

    async def lend(self, send_to: Callable[[IStreamTransport], Awaitable[None]]) -> None:
        """Give the transport to another producer, until what ``send_to`` returns is done."""
        self.transport.unregisterProducer()
        await send_to(self.transport)
        self._produce()

    def receive(self, length: int) -> Body:
        """What follows the line that is being answered: ``length`` bytes, which are nothing but that.

        The peer has the time of a request for them, and a second more for each KiB.  A refusal before the
        last of them has arrived ends the connection.
        """
        self._body = body = Body(self._read_on, self._read_on)
        self._body_left, self._body_earned = length, 0
        self._arm(self.patience.read_timeout)
        self._lines.feed(self._feed_body(self._lines.rest()))
        return body

    def close(self, reason: Reason, detail: str = "") -> None:
        """Close once what was written has left; nothing more is read from the peer."""
        self._end()
        self.connection.because(reason, detail)
        self.transport.unregisterProducer()
        if (
            reason is Reason.PROTOCOL_ERROR
            and not self._read_closed
            and ITCPTransport.providedBy(self.transport)
            and not ISSLTransport.providedBy(self.transport)
        ):
            # Closing with bytes unread sends a reset, which would overtake the last answer.
            self.transport.resumeProducing()
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def _end(self) -> None:
        """Answer nothing more."""
        self._closing = True
        self._disarm()
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def _produce(self) -> None:
        """Be the transport's producer (again)."""
        self._full = False
        self.transport.registerProducer(self, True)

    @property
    def answering(self) -> bool:
        """Whether a request is being answered that takes its time."""
        return self._answering is not None

    @property
    def _waiting(self) -> bool:
        """Whether further requests wait behind one, or for a turn of the reactor."""
        return self._answering is not None or self._next_turn is not None

    def _read_on(self) -> None:
        """Read from the peer if there is room for what it sends, and only then."""
        if self._closing or self._read_closed:
            return
        ahead = self._body.full if self._body is not None else self._waiting and len(self._lines) > MAX_AHEAD
        wanted = not self._full and not ahead
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def _feed_body(self, data: bytes) -> bytes:
        """Give the body what belongs to it; returns what stands behind it."""
        assert self._body is not None
        mine = data[: self._body_left]
        self._body_left -= len(mine)
        self._body_earned += len(mine)
        self._body.feed(mine)
        if self._body_left == 0:
            body, self._body, self._body_due = self._body, None, False
            self._disarm()
            body.end()
        return data[len(mine) :]

    def _go_on(self) -> None:
        """Answer the lines that are complete, until one takes time, or all together have."""
        until = self._reactor.seconds() + TURN
        while not self._waiting and not self._closing and not self._full:
            try:
                line = self._lines.next()
                if line is None:
                    break
                self._start(line)
            except LineError as error:
                self._body_due = self._has_body(error.verb)
                if error.code == OVER_LIMIT and self.limits is not None:
                    self.limits.refused(IN_HAND)
                self._refuse(no_http() if is_http(error) else error)
            except ProtocolError as error:
                self._refuse(error)
            if not self._closing and self._reactor.seconds() >= until:
                self._next_turn = self._reactor.callLater(0, self._take_turn)
        if self._closing or self._body is not None:
            return
        if self._full or self._waiting:
            self._disarm()
        elif self._read_closed:
            self.close(Reason.CLIENT_CLOSED)
        elif not self._lines.partial:
            self._disarm()
        elif self._deadline is None:
            self._arm(self.patience.read_timeout)

    def _take_turn(self) -> None:
        self._next_turn = None
        self._go_on()
        self._read_on()

    def _has_body(self, verb: str) -> bool:
        return verb.upper() in self.commands and self.commands[verb.upper()].body

    def _start(self, line: str) -> None:
        self._disarm()
        if HTTP.fullmatch(line):
            raise no_http()
        verb, _, text = line.partition(" ")
        command = self.commands.get(verb.upper())
        if command is None:
            raise ProtocolError("unknown", f"no such command; there are {' '.join(self.commands)}")
        self._body_due = command.body
        if self.limits is not None:
            check_verdict(self.limits.request(self.connection))
        arguments = command.arguments(text)
        done = Deferred.fromCoroutine(self._run(command, arguments))
        if not done.called:
            self._answering = done
            self._read_on()
            done.addBoth(self._answered)

    async def _run(self, command: Command, arguments: list[str]) -> None:
        try:
            text = await command.method(self, *arguments)
        except RemoteError as error:
            self._refuse(error)
        except CancelledError:
            pass
        except Exception:
            self.log.failure("a request failed by our own fault")
            self._refuse(ProtocolError("internal", "the server failed; its log says why"))
        else:
            self._errors = 0
            if text is not None and not self._closing:
                self.answer(f"OK {text}" if text else "OK")

    def _answered(self, _result: Any) -> None:
        self._answering = None
        if not self._closing:
            self._read_on()
            self._go_on()

    def _refuse(self, error: RemoteError) -> None:
        if self._closing:
            return
        code, text = "failed", str(error)
        if isinstance(error, ProtocolError):
            code = error.code
        elif isinstance(error, StoreFailed):
            # Where it is, and what is wrong there, is nobody's business; the log says it.
            code, text = "store", "the store failed, try again"
        self.answer(f"ERR {code} {text}")
        if isinstance(error, ProtocolError) and code not in self.answers and code != OVER_LIMIT:
            # What another one does to us, a store that is away, is no doing of the client's.
            self._errors += 1
        if self._errors >= MAX_ERRORS or self._body_due or code == "http":
            self._body = None
            self.close(Reason.PROTOCOL_ERROR, str(error))

    def _arm(self, seconds: float) -> None:
        """Start the time-out of what is incomplete, if it has one; further bytes of it do not renew it."""
        if seconds:
            self._deadline = self.patience.deadlines.after(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        earned, self._body_earned = self._body_earned / MIN_BODY_RATE, 0
        if self._body is not None and earned >= 1:
            self._arm(earned)
            return
        self.connection.because(Reason.DEADLINE, "a request was not complete in its time")
        self.transport.abortConnection()

    def _leave(self) -> None:
        self._deadline = None
        self.transport.loseConnection()
