"""A connection to the session service: it speaks in lines at first, and then carries an attached one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tcpsuite.core.lines import LineError, LineSplitter
from tcpsuite.errors import ConnectFailed, ProtocolError
from tcpsuite.net.attaching.attached import Attached
from tcpsuite.net.attaching.carriers import FramedCarrier
from tcpsuite.net.endpoints import failure_text, lost_before

if TYPE_CHECKING:
    from collections.abc import Generator

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from tcpsuite.core.attaching.asking import Granted
    from tcpsuite.net.stream import IStreamTransport

STEP = 10.0
"""Seconds to connect, and seconds for each answer."""

T = TypeVar("T")


class Link(Protocol):
    """One such connection.

    :ivar carrier: what it is from :meth:`carry` on.
    :ivar lost: fires when it is gone.
    """

    transport: IStreamTransport

    def __init__(self, clock: IReactorTime) -> None:
        self.carrier: FramedCarrier | None = None
        self.lost: Deferred[None] = Deferred()
        self._clock = clock
        self._splitter = LineSplitter()
        self._answer: Deferred[str] | None = None
        self._leaving: IDelayedCall | None = None
        self._gone: ConnectFailed | None = None

    def __repr__(self) -> str:
        return f"<Link {'gone' if self._gone else self.carrier or 'in lines'}>"

    async def talk(self, dialogue: Generator[str, str, T]) -> T:
        """Say each line of a dialogue, and tell it the answer; what it comes to.

        :raises ConnectFailed: when the connection is lost, or an answer takes longer than :data:`STEP`.
        :raises ProtocolError: as the dialogue does; and ``answer``, for what is no line.
        """
        try:
            line = next(dialogue)
            while True:
                line = dialogue.send(await self._ask(line))
        except StopIteration as end:
            result: T = end.value
            return result

    def carry(self, attached: Attached, granted: Granted) -> None:
        """All is agreed: from here on there are frames.

        :raises ProtocolError: ``lost``, when what the suite wants is not kept any more.
        """
        self.carrier = FramedCarrier(attached, self.transport, self._clock)
        self.carrier.start(granted.received, granted.window)

    def leave(self) -> None:
        """All was said: it closes behind what was written, and is reset when that takes longer than
        :data:`STEP`.
        """
        if self._gone is None and self._leaving is None:
            self._leaving = self._clock.callLater(STEP, self.reset)
            self.transport.loseConnection()

    def reset(self) -> None:
        """It is of no use."""
        if self._gone is None:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Answers; behind the last one, frames."""
        if self.carrier is None:
            self._splitter.feed(data)
            self._hear()
            data = self._splitter.rest() if self.carrier is not None else b""
        if self.carrier is not None and data:
            self.carrier.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        self._gone = ConnectFailed(failure_text(lost_before("it answered", reason)))
        if self._leaving is not None and self._leaving.active():
            self._leaving.cancel()
        if self.carrier is not None:
            self.carrier.connection_lost()
        if (answer := self._answer) is not None:
            self._answer = None
            answer.errback(self._gone)
        self.lost.callback(None)

    def _ask(self, line: str) -> Deferred[str]:
        if self._gone is not None:
            return fail(self._gone)
        self._answer = Deferred(self._no_more)
        self.transport.write(f"{line}\n".encode())
        return self._answer.addTimeout(STEP, self._clock, late)

    def _no_more(self, _answer: Deferred[str]) -> None:
        """Nobody waits for it any more."""
        self._answer = None

    def _hear(self) -> None:
        while self.carrier is None and self._answer is not None:
            answer = self._answer
            try:
                line = self._splitter.next()
            except LineError as error:
                self._answer = None
                answer.errback(ProtocolError("answer", f"this is no session service's answer: {error}"))
                return
            if line is None:
                return
            self._answer = None
            answer.callback(line)


def late(_result: object, timeout: float) -> NoReturn:
    """For ``Deferred.addTimeout``.

    :raises ConnectFailed: always.
    """
    raise ConnectFailed(f"no answer within {timeout:g} s")
