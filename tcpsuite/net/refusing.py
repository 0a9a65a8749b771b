"""What becomes of a connection that a limit refuses.

::

    close     closed as soon as it is accepted: the cheapest
    reset     the same, with a reset: the client knows at once that it was not served
    tarpit    held in silence, unread, and then reset, or as soon as it has left: who tries again and again
              loses time
    answer    told why in the words of the service, and closed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.errors import LocalError
from tcpsuite.interfaces import IRefusing
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.kernel import hung_up

if TYPE_CHECKING:
    from typing import Any

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from tcpsuite.core.limits import Ceiling
    from tcpsuite.interfaces import Verdict
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.stream import IStreamTransport

WAYS = ("close", "reset", "tarpit", "answer")
"""What the configuration may say."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at who has left a tarpit: nobody reads what would tell so."""
LINGER = 2.0
"""Seconds that a client has to read why it was refused: closing at once could overtake the answer."""


class Refusal:
    """Refuses connections in one way.

    Those that are held take places below a ceiling of their own; past it, and over TLS where words would want
    a handshake first, they are closed.

    :param way: one of :data:`WAYS`.
    :param service: the factory of the service, whose words ``answer`` takes; without words it closes.
    :param clock: an ``IReactorTime``.
    :param held: how many may be held at once.
    :param tarpit_time: seconds that one is held in silence.
    :raises LocalError: when that is no way.
    """

    def __init__(
        self,
        way: str,
        service: Any,
        clock: IReactorTime,
        held: Ceiling,
        tarpit_time: float,
    ) -> None:
        if way not in WAYS:
            raise LocalError(f"a way to refuse is one of {', '.join(WAYS)}, not {way!r}")
        speaks = IRefusing.providedBy(service)
        self.way = "close" if way == "answer" and not speaks else way
        self._service = service
        self._held = held
        self.tarpit_time = tarpit_time
        self._deadlines = Deadlines(clock)
        self._open: set[_Held] = set()
        self._looking: Deadline | None = None

    def __repr__(self) -> str:
        return f"<Refusal {self.way} held={len(self._open)}>"

    def __len__(self) -> int:
        """How many are held."""
        return len(self._open)

    def of(self, verdict: Verdict, speaks: bool = True) -> Protocol | None:
        """What serves a connection that ``verdict`` refuses; ``None`` closes it.

        :param speaks: whether it would understand the words of the service.
        """
        match self.way:
            case "reset":
                return Reset()
            case "tarpit":
                return _Held(self, b"")
            case "answer" if speaks:
                return _Held(self, self._service.last_words(verdict))
        return None

    def cut(self) -> None:
        """End those that are held."""
        for held in tuple(self._open):
            held.transport.abortConnection()

    def enter(self, held: _Held, seconds: float) -> Deadline | None:
        """There is a connection to be held for so long; ``None`` when there is no place for it."""
        if not self._held.enter():
            return None
        self._open.add(held)
        if self.way == "tarpit" and self._looking is None:
            self._looking = self._deadlines.after(LOOK_INTERVAL, self._look)
        return self._deadlines.after(seconds, held.transport.abortConnection)

    def leave(self, held: _Held) -> None:
        """One that was held is gone."""
        self._open.remove(held)
        self._held.leave()
        if not self._open and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look(self) -> None:
        """Let those go who have left: they lose no time here, and take the places of others."""
        for held in tuple(self._open):
            if hung_up(held.transport):
                held.transport.abortConnection()
        self._looking = self._deadlines.after(LOOK_INTERVAL, self._look) if self._open else None


class Reset(Protocol):
    """Resets its connection.  A port that knows it does that itself, and spares it a transport."""

    transport: IStreamTransport

    def connectionMade(self) -> None:
        """It begins, and is over."""
        self.transport.abortConnection()


@implementer(IHalfCloseableProtocol)
class _Held(Protocol):
    """Holds its connection: in silence, or behind some last words."""

    transport: IStreamTransport

    def __init__(self, refusal: Refusal, words: bytes) -> None:
        self._refusal = refusal
        self._words = words
        self._deadline: Deadline | None = None

    def connectionMade(self) -> None:
        speaks = ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(self.transport)
        seconds = LINGER if self._words else self._refusal.tarpit_time
        if self._words and not speaks:
            self.transport.loseConnection()
            return
        self._deadline = self._refusal.enter(self, seconds)
        if self._deadline is None:
            self.transport.loseConnection()
        elif self._words:
            self.transport.write(self._words)
            self.transport.loseWriteConnection()
        else:
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """The client has read it, or gives up."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The last words have left."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._refusal.leave(self)
