"""Joins a client's connection and a server's: bytes, FIN and RST pass from each to the other.

Rules, in both directions alike:

* What one side reads is written to the other at once.  While the other takes nothing, the one is not read:
  each side is the producer of what the other one writes.
* A FIN becomes a FIN, behind the bytes before it; the other direction goes on.  When both have come, both
  connections close behind what is queued on them.
* A reset becomes a reset, behind what a bandwidth has held back.
* After the first FIN, ``fin_timeout`` seconds in which nothing moves end it with resets: a peer that has gone
  without a word, or never answers, holds nothing for ever.  What either side takes of what is queued for it
  moves too: the last megabytes towards a slow server take their time.

* The reset of a side that is not read, for the other takes nothing or its FIN has come, does not come by
  itself: :meth:`Relay.look` looks for it.  It counts when the other side has taken nothing between two looks,
  for what came before it might yet arrive; and behind a FIN at once when nothing is left for the other side.

TLS as Twisted has it knows no half-close: there a FIN ends the whole, behind what is queued.

A reset is the server's fault only if the server has said nothing, and neither side had finished.  Behind an
answer, or behind the end of a client, servers in good health reset too: they drop what nobody will read, or
take TLS down without a goodbye.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.core.connections import Reason
from tcpsuite.net.endpoints import failure_text
from tcpsuite.net.kernel import unsent, was_reset
from tcpsuite.net.stream import Stream
from tcpsuite.net.throttle import Throttle, abort_behind

MUTE = "reset before it said a word"
"""What a server has done wrong that took a connection only to reset it."""

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from tcpsuite.core.connections import Connection
    from tcpsuite.net.deadlines import Deadline, Deadlines
    from tcpsuite.net.stream import IStreamTransport


@implementer(IHalfCloseableProtocol, IPushProducer)
class Side(Protocol):
    """One of the two connections, and the producer of what the other one writes.

    :param closed: why a relay ended whose first FIN came from this side.
    :param reset: why a relay ended that this side reset.
    :ivar finished: whether its FIN has come.
    :ivar paused: whether it is not read, since the other side takes no more.
    :ivar gone: whether the connection is gone, and ``reason`` why.
    """

    transport: IStreamTransport

    def __init__(self, closed: Reason, reset: Reason) -> None:
        self.closed = closed
        self.reset = reset
        self.finished = False
        self.paused = False
        self.gone = False
        self.reason: Failure | None = None
        self._relay: Relay | None = None

    def joined(self, relay: Relay) -> None:
        """From now on the relay is told what happens."""
        self._relay = relay

    def part(self) -> None:
        """The relay is over."""
        self._relay = None

    def readConnectionLost(self) -> None:
        """Its FIN has come."""
        self.finished = True
        if self._relay is not None:
            self._relay.finished(self)

    def writeConnectionLost(self) -> None:
        """Our FIN has gone to it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.gone = True
        self.reason = reason
        if self._relay is not None:
            self._relay.lost(self, reason)

    def pauseProducing(self) -> None:
        """The other side takes no more."""
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The other side has taken what was queued."""
        self.paused = False
        # Reading on behind a FIN would find the FIN again.
        if not self.finished:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The other side is gone: the relay hears of it on its own."""

    def finish_writing(self) -> None:
        """Relay a FIN to it, behind what is queued."""
        self.transport.unregisterProducer()
        if ISSLTransport.providedBy(self.transport):
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close it behind what is queued."""
        if not self.gone:
            # A producer would be waited for.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def cut(self) -> None:
        """Reset it."""
        if not self.gone:
            self.transport.abortConnection()


class ServerSide(Side):
    """The connection to the server, made for one client.

    :param client: is sent what it reads.
    :param connected: called when it has a transport.
    :ivar tell: called with what it reads.
    """

    def __init__(self, client: IStreamTransport, connected: Callable[[], None]) -> None:
        super().__init__(Reason.SERVER_CLOSED, Reason.SERVER_RESET)
        self.tell: Callable[[bytes], None] = client.write
        self._spoke = False
        self._connected: Callable[[], None] | None = connected

    def connectionMade(self) -> None:
        """A lease was attached."""
        # Not kept: who knows each other in a circle is not forgotten at once.
        connected, self._connected = self._connected, None
        if connected is not None:
            connected()

    def dataReceived(self, data: bytes) -> None:
        """The server says something."""
        self._spoke = True
        self.tell(data)

    @property
    def spoke(self) -> bool:
        """Whether the server has said anything."""
        # Of what passes between transports that are joined they alone know.
        return self._spoke or (_plain(self.transport) and self.transport.bytes_in > 0)


class Relay:
    """Two sides, joined.

    :param client: connected.
    :param server: connected.
    :param record: the client's record; it is told to ask both sides for what is on its way, why the relay
        ended, and what the server did wrong.
    :param fin_timeout: seconds.
    :param clock: an ``IReactorTime``.
    :param deadlines: keeps that time-out.
    :param relays: it is one of these while it lasts.
    :param watched: whether somebody is to see the bytes pass, until :meth:`stop_watching`.
    """

    def __init__(
        self,
        client: Side,
        server: ServerSide,
        record: Connection,
        fin_timeout: float,
        clock: Any,
        deadlines: Deadlines,
        relays: set[Relay],
        watched: bool = False,
    ) -> None:
        self._client = client
        self._server = server
        self._record = record
        self._fin_timeout = fin_timeout
        self._clock = clock
        self._deadlines = deadlines
        self._first_finished: Side | None = None
        self._seen: tuple[int, ...] = ()
        self._seen_at = 0.0
        self._left: dict[Side, int] = {}
        self._relays = relays
        self._deadline: Deadline | None = None
        relays.add(self)
        record.server_fault = ""
        record.on_its_way = lambda: sum(self._on_their_way())
        client.transport.registerProducer(server, True)
        server.transport.registerProducer(client, True)
        for side in (client, server):
            side.joined(self)
        if not watched:
            self.stop_watching()
        if client.finished:
            self.finished(client)

    def __repr__(self) -> str:
        states = (
            f"{name} {'gone' if side.gone else 'finished' if side.finished else 'open'}"
            for name, side in (("client", self._client), ("server", self._server))
        )
        return f"<Relay {', '.join(states)}>"

    def stop_watching(self) -> None:
        """Take the protocols out of the way of the bytes, if both transports can do without them."""
        one: Any = self._client.transport
        other = self._server.transport
        socket = one.transport if isinstance(one, Throttle) else one
        if _plain(socket) and _plain(other) and socket.connected and other.connected:
            one.join(other)

    def finished(self, side: Side) -> None:
        """A FIN has come from ``side``."""
        other = self._other(side)
        if self._first_finished is None:
            self._first_finished = side
            self._begin_to_wait()
        if other.gone:
            return
        if other.finished:
            self._record.because(self._first_finished.closed)
            side.close()
            other.close()
        else:
            other.finish_writing()

    def lost(self, side: Side, reason: Failure) -> None:
        """The connection of ``side`` is gone."""
        other = self._other(side)
        if other.gone:
            self._end()
            return
        match reason.value:
            case ConnectionDone():
                # Closed as a whole: by our own side for its own reason, or by a peer that speaks TLS.
                self._first_finished = self._first_finished or side
                self._record.because(self._first_finished.closed)
                other.close()
                self._begin_to_wait()
                return
            case ConnectionAborted():
                pass
            case ConnectionLost():
                self._broken_by(side)
            case _ if side is self._server:
                # TLS has more to tell.  What a client does to it, its listener has the words for.
                self._broken_by(side, failure_text(reason))
        if isinstance(other.transport, Stream) and other.transport.drained:
            other.cut()
        else:
            abort_behind(other.transport, self._clock)
            self._begin_to_wait()  # what a bandwidth holds back it may not take

    def look(self) -> None:
        """Notice the reset of a side that is not read; to be called now and then."""
        for side in (self._client, self._server):
            if side.gone or not ((side.paused or side.finished) and was_reset(side.transport)):
                continue
            if self._record.is_held_back:
                continue  # what it said is on its way through us
            left = unsent(self._other(side).transport)
            # Of one that is merely not read right now there may still be something to be read.
            if left == self._left.get(side) or (side.finished and not left):
                self._record.because(
                    side.reset, "while the other side took nothing" if left else "behind its FIN"
                )
                self._client.cut()
                self._server.cut()
                return
            self._left[side] = left

    def _broken_by(self, side: Side, detail: str = "") -> None:
        """Say why it ended, which was not in order."""
        first = self._first_finished
        if side is self._client:
            self._record.because(side.reset, detail)
            return
        if first is None and not self._server.spoke:
            self._record.server_fault = detail or MUTE
        self._record.because(self._client.closed if first is self._client else side.reset, detail)

    def _other(self, side: Side) -> Side:
        return self._server if side is self._client else self._client

    def _on_their_way(self) -> tuple[int, int]:
        return unsent(self._client.transport), unsent(self._server.transport)

    def _begin_to_wait(self) -> None:
        self._stop_waiting()
        self._seen = ()
        self._wait()

    def _wait(self) -> None:
        """End it when nothing has moved for ``fin_timeout`` seconds, else look again when it might be so."""
        # Not asked of the record: its own look is the idle time-out's, and it ends with the client.
        now = self._clock.seconds()
        seen = (self._record.bytes_in, self._record.bytes_out, *self._on_their_way())
        if seen != self._seen or self._record.is_held_back:
            self._seen, self._seen_at = seen, now
        quiet = now - self._seen_at
        if quiet < self._fin_timeout:
            self._deadline = self._deadlines.after(self._fin_timeout - quiet, self._wait)
            return
        who = "server" if self._first_finished is self._server else "client"
        detail = f"nothing moved for {self._fin_timeout:g} s after the {who}'s FIN"
        self._record.because(Reason.FIN_TIMEOUT, detail)
        self._client.cut()
        self._server.cut()

    def _end(self) -> None:
        self._relays.discard(self)
        self._stop_waiting()
        # Who knows each other in a circle is not forgotten at once.
        self._client.part()
        self._server.part()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


def _plain(transport: Any) -> TypeGuard[Stream]:
    """Whether it counts the very bytes that its protocol is given."""
    return isinstance(transport, Stream) and not transport.TLS
