"""The base of the services that speak in lines: one request a line, one answer each.

::

    request  = verb *( SP argument ) LF        ; UTF-8, at most 16 KiB
    answer   = "OK" [ SP text ] LF  /  "ERR" SP code SP text LF

Requests are answered in order, however many are sent at once.  Twenty errors in a row, or the request line of
HTTP, close the connection: a web page cannot make a browser speak to a line service.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.core.connections import Connection, Reason
from tcpsuite.core.lines import LineSplitter
from tcpsuite.errors import ProtocolError, RemoteError
from tcpsuite.interfaces import IRecorded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from tcpsuite.net.transport import IStreamTransport

MAX_ERRORS = 20
"""Errors in a row after which a peer is taken for something that does not speak the protocol."""
READ_TIMEOUT = 30.0
"""Seconds from the first byte of a request to its end."""

_HTTP = re.compile(r"[A-Za-z]+ \S+ HTTP/\d")


@frozen
class Command:
    """One verb: the coroutine method that answers it, and how it is written."""

    method: Callable[..., Awaitable[str | None]]
    usage: str
    """``GET path [offset [length]]``: brackets enclose what may be left out."""
    rest: bool = False
    """Whether the last argument is all that stands behind the ones before it, spaces included."""

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
    has answered itself), or raises :class:`~tcpsuite.errors.ProtocolError` or another Remote error.

    It is its transport's producer: while the peer does not read its answers, nothing more is read or answered.
    A command that streams unregisters it, registers its own, and calls :meth:`produce` when it is done.

    :param reactor: for the read time-out, an ``IReactorTime``.
    """

    commands: ClassVar[Mapping[str, Command]]
    log = Logger()
    connection: Connection
    transport: IStreamTransport

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._lines = LineSplitter()
        self._errors = 0
        self._answering: Deferred[None] | None = None
        self._deadline: IDelayedCall | None = None
        self._read_closed = False
        self._closing = False
        self._full = False

    def connectionMade(self) -> None:
        """Ready for requests."""
        self.produce()

    def produce(self) -> None:
        """Be the transport's producer (again)."""
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """The peer does not read its answers."""
        self._full = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """What was written has left."""
        self._full = False
        if self._answering is None:
            self.transport.resumeProducing()
            self._go_on()

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` says the same."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests arrived."""
        self._lines.feed(data)
        self._go_on()

    def readConnectionLost(self) -> None:
        """The peer sends nothing more, and still reads: what it asked is answered first."""
        self._read_closed = True
        self._go_on()

    def writeConnectionLost(self) -> None:
        """Our half is closed; the rest follows by itself."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone: what is being answered is cancelled."""
        self._closing = True
        self._watch(False)
        if self._answering is not None:
            self._answering.cancel()

    def answer(self, text: str) -> None:
        """Send one line."""
        self.transport.write(text.encode() + b"\n")

    def close(self, reason: Reason, detail: str = "") -> None:
        """Close once what was written has left; nothing more is read from the peer."""
        self._closing = True
        self._watch(False)
        self.connection.because(reason, detail)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _go_on(self) -> None:
        """Answer the lines that are complete, until one takes time."""
        while self._answering is None and not self._closing and not self._full:
            try:
                line = self._lines.next()
                if line is None:
                    break
                self._start(line)
            except ProtocolError as error:
                self._refuse(error)
        if self._closing or self._full or self._answering is not None:
            self._watch(False)
        elif self._read_closed:
            self.close(Reason.CLIENT_CLOSED)
        else:
            self._watch(self._lines.partial)

    def _start(self, line: str) -> None:
        if _HTTP.match(line):
            self._errors = MAX_ERRORS
            raise ProtocolError("http", "this is not an HTTP server")
        verb, _, text = line.partition(" ")
        command = self.commands.get(verb.upper())
        if command is None:
            raise ProtocolError("unknown", f"no such command; there are {' '.join(self.commands)}")
        arguments = command.arguments(text)
        done = Deferred.fromCoroutine(self._run(command, arguments))
        if not done.called:
            # One request at a time: while it is answered, the socket is not read.
            self._answering = done
            self.transport.pauseProducing()
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
        if not self._closing and not self._full:
            self.transport.resumeProducing()
            self._go_on()

    def _refuse(self, error: RemoteError) -> None:
        if self._closing:
            return
        code = error.code if isinstance(error, ProtocolError) else "failed"
        self.answer(f"ERR {code} {error}")
        self._errors += 1
        if self._errors >= MAX_ERRORS:
            self.close(Reason.PROTOCOL_ERROR, str(error))

    def _watch(self, wanted: bool) -> None:
        """Run the read time-out while a request is incomplete; it is not renewed by further bytes of it."""
        if wanted and self._deadline is None:
            self._deadline = self._reactor.callLater(READ_TIMEOUT, self._too_slow)
        elif not wanted and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.connection.because(Reason.DEADLINE, f"a request was not complete after {READ_TIMEOUT:g} s")
        self.transport.abortConnection()
