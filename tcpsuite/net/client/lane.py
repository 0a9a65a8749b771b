"""One stream, or connection, to the message service, and what is asked on it."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.protocol import connectionDone

from tcpsuite.core.messages.wire import (
    CONNECTION,
    MAX_TIMEOUT,
    Kind,
    cancel,
    read_error,
    read_note,
    read_number,
    request_head,
    too_short,
)
from tcpsuite.errors import ProtocolError, RequestFailed
from tcpsuite.net.messages import MessageProtocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

REPLY, ERROR, NOTE, LEAVING = Kind.REPLY, Kind.ERROR, Kind.NOTE, Kind.LEAVING


class Asked:
    """One request that is not answered.

    :ivar due: when its time is over.
    :ivar repeat: whether it is sent again when the connection is lost.
    :ivar alone: whether it has a lane of its own.
    :ivar lane: on which it was sent; ``None`` before.
    :ivar over: fires, of one that has a lane of its own, with whether that can be used again.
    """

    __slots__ = ("alone", "answer", "body", "due", "lane", "method", "number", "over", "repeat")

    def __init__(
        self,
        number: int,
        method: bytes,
        body: bytes,
        due: float,
        repeat: bool,
        alone: bool,
        answer: Deferred[bytes],
    ) -> None:
        self.number = number
        self.method = method
        self.body = body
        self.due = due
        self.repeat = repeat
        self.alone = alone
        self.answer = answer
        self.lane: Lane | None = None
        self.over: Deferred[bool] | None = None


class IAsking(Protocol):
    """Whose lane it is."""

    def answered(self, number: int, body: bytes) -> None:
        """A reply."""

    def refused(self, number: int, error: RequestFailed) -> None:
        """An error."""

    def noted(self, method: bytes, body: bytes) -> None:
        """A note."""

    def leaving(self, lane: Lane) -> None:
        """Nothing more is to be asked on it."""

    def ready(self, lane: Lane) -> None:
        """It takes more."""

    def lost(self, lane: Lane, why: str) -> None:
        """It is gone."""


class Lane(MessageProtocol):
    """Asks, and hears what is answered.

    :param owner: is told.
    :ivar retired: whether nothing more is to be asked on it.
    :ivar lost: whether it is gone.
    :ivar why: why it will be lost, if that is known.
    """

    def __init__(self, owner: IAsking, max_message: int) -> None:
        super().__init__(max_message)
        self._owner = owner
        self.retired = False
        self.lost = False
        self.why = ""

    def __repr__(self) -> str:
        return f"<Lane{' full' if self.full else ''}{' retired' if self.retired else ''}>"

    def ask(self, asked: Asked, now: float, client: bytes) -> None:
        """Send a request, with what is left of its time; with the client's id, if it may be repeated."""
        asked.lane = self
        body = asked.body
        left, client = milliseconds(asked.due - now), client if asked.repeat else b""
        self.say_with(request_head(asked.number, left, client, asked.method, len(body)), body)

    def give_up(self, number: int) -> None:
        """The answer to a request is not wanted any more."""
        self.say(cancel(number))

    def rest(self, wanted: bool) -> None:
        """Read no more for now, or go on."""
        transport: Any = self.transport
        (transport.pauseProducing if wanted else transport.resumeProducing)()

    def heard(self, messages: list[bytes]) -> None:
        """Answers, and notes."""
        for message in messages:
            try:
                self._hear(message)
            except ProtocolError as error:
                self.broken(error)
                return

    def _hear(self, message: bytes) -> None:
        owner = self._owner
        kind = message[0] if message else 0
        if kind == REPLY:
            owner.answered(read_number(message), message[5:])
        elif kind == NOTE:
            owner.noted(*read_note(message))
        elif kind == ERROR:
            number, error = read_number(message), read_error(message)
            if number == CONNECTION:
                self.why = f"{error.code}: {error}"
            else:
                owner.refused(number, error)
        elif kind == LEAVING:
            owner.leaving(self)
        else:
            raise too_short(message)

    def broken(self, error: ProtocolError) -> None:
        """What comes is no answer of a message service."""
        self.why = f"what answers there is no message service: {error}"
        self.transport.abortConnection()

    def resumeProducing(self) -> None:
        """It takes more."""
        super().resumeProducing()
        self._owner.ready(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        self.retired = self.lost = True
        self._owner.lost(self, self.why or reason.getErrorMessage())


def milliseconds(seconds: float) -> int:
    """As they are sent: 0 for endless ones, and only for those."""
    return min(MAX_TIMEOUT, max(1, ceil(seconds * 1000))) if seconds != inf else 0
