"""The connection that streams are on: carries out what :mod:`tcpsuite.core.mux` decides."""

from __future__ import annotations

import socket
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.core.mux.events import What
from tcpsuite.core.mux.mux import Mux
from tcpsuite.errors import Closed
from tcpsuite.net.endpoints import address_text
from tcpsuite.net.mux.carriers import EVENTS
from tcpsuite.net.mux.options import MuxOptions
from tcpsuite.net.mux.stream import StreamTransport
from tcpsuite.net.wrappers import beneath

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory

    from tcpsuite.core.mux.stream import Stream
    from tcpsuite.net.stream import IStreamTransport

AT_ONCE = 128 * 1024
"""Bytes that are given to the connection at once: as much as small messages wait for behind large ones."""
NOT_SENT = AT_ONCE
"""Bytes that the kernel holds unsent (TCP_NOTSENT_LOWAT): nothing overtakes what it has taken."""
DATA = What.DATA


@implementer(IPushProducer, IHandshakeListener)
class MuxConnection(Protocol):
    """The protocol of a connection that carries streams.

    :param client: whether this side made the connection.
    :param factory: makes the protocol of each stream that the other side opens; ``None`` to refuse them.
    :param clock: an ``IReactorTime``.
    :param lost: called with this and why when the connection is lost.
    :ivar mux: the streams.
    :ivar why: why this side gave it up, for people; empty while it did not.
    :ivar cause: the same in one word, to count by.
    :ivar answered: whether the other side has answered a ping.
    :ivar shaken: whether TLS has begun, where it is to.
    """

    log = Logger()
    transport: IStreamTransport

    def __init__(
        self,
        client: bool,
        factory: IProtocolFactory | None,
        clock: Any,
        options: MuxOptions | None = None,
        lost: Callable[[MuxConnection, Failure], object] | None = None,
        chance: Random | None = None,
    ) -> None:
        self.options = options or MuxOptions()
        self.mux = Mux(client, self.options.limits)
        self.why = self.cause = ""
        self.answered = self.shaken = False
        self.connected_now = False
        self._factory = factory
        self._clock = clock
        self._on_lost = lost
        self._chance = chance or SystemRandom()
        self._full = False
        self._closing = False
        self._busy = False  # a read is handled: what is written leaves behind it
        self._sending: IDelayedCall | None = None
        self._later: list[Callable[[], object]] = []
        self._ping: IDelayedCall | None = None
        self._pinged_at: dict[int, float] = {}
        self._pings = 0
        self._missed = 0
        self._stuck: IDelayedCall | None = None
        self._used = 0.0  # when a stream of ours was opened last

    def __repr__(self) -> str:
        return f"<MuxConnection {self.mux!r}>"

    def connectionMade(self) -> None:
        """Ready for streams."""
        self.connected_now = True
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            _hold_little(beneath(self.transport))
        self._used = self._clock.seconds()
        self.transport.registerProducer(self, True)
        self._set_ping()
        self.ping()  # until a round trip is known no window grows

    def handshakeCompleted(self) -> None:
        """TLS has begun; the ping before it has measured that too, and its answer is not waited for."""
        self.shaken = True
        self.ping()

    def dataReceived(self, data: bytes) -> None:
        """Frames have come."""
        self._missed = 0
        self._busy = True
        try:
            for what, stream, payload in self.mux.receive(data, self._clock.seconds()):
                if what is DATA:
                    owner = stream.owner  # type: ignore[union-attr]
                    if owner is not None:
                        owner.received(payload)
                    else:
                        self.mux.took(stream, len(payload))  # type: ignore[arg-type]
                else:
                    self._happened(what, stream, payload)
        finally:
            self._busy = False
        self._send()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone, and all streams with it."""
        self.connected_now = False
        for timer in (self._ping, self._sending, self._stuck):
            if timer is not None and timer.active():
                timer.cancel()
        self._ping = self._sending = self._stuck = None
        lost = Failure(ConnectionLost(self.why or reason.getErrorMessage()))
        for stream in tuple(self.mux.streams.values()):
            if stream.owner is not None:
                stream.owner.lose(lost)
        self._tell()
        self.mux.streams.clear()
        if self._on_lost is not None:
            self._on_lost(self, reason)

    def open(self, factory: IProtocolFactory) -> IProtocol | None:
        """Open a stream at once: nobody is asked first.

        :return: its protocol, with its transport; ``None`` when the factory wants none.
        :raises Closed: when this connection takes no more of them.
        """
        if not self.connected_now or not self.mux.can_open:
            raise Closed("the connection takes no more streams")
        protocol = factory.buildProtocol(self.transport.getPeer())
        if protocol is not None:
            stream = self.mux.open(None)
            transport = stream.owner = StreamTransport(self, stream)
            transport.protocol = protocol
            self._used = stream.since = self._clock.seconds()
            protocol.makeConnection(transport)
            self.send_soon()
        return protocol

    def pauseProducing(self) -> None:
        """The connection takes no more."""
        self._full = True
        if self._stuck is None:
            self._stuck = self._clock.callLater(self.options.write_timeout, self._is_stuck, self._left())

    def resumeProducing(self) -> None:
        """It takes more."""
        self._full = False
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        self._send()

    def stopProducing(self) -> None:
        """``connectionLost`` says the same."""

    def close(self) -> None:
        """Take no more streams, and close when the last one is over."""
        self.mux.go_away()
        self._send()

    def end(self) -> None:
        """Close it behind what is queued, with all streams that are still there."""
        self.mux.go_away()
        self._send()
        if self.connected_now and not self._closing:
            self._close()

    def status(self) -> dict[str, Any]:
        """What there is to know of it, as plain data."""
        mux = self.mux
        return {
            "peer": address_text(self.transport.getPeer()),
            "streams": len(mux.streams),
            "unread": mux.unread,
            "queued": sum(stream.queued for stream in mux.streams.values()),
            "round_trip": mux.round_trip or None,
            "going": mux.going or mux.gone,
            **{event: mux.counts[event] for event in EVENTS},
        }

    def ping(self) -> None:
        """Ask for a sign of life now; the answer is a measure of the round trip."""
        self._pings = (self._pings + 1) % 2**32
        self._pinged_at = {self._pings: self._clock.seconds()}
        self.mux.ping(self._pings)
        self.send_soon()

    # What its streams ask for

    def send_soon(self) -> None:
        """Send what waits: behind the read in hand, or when the turn is over."""
        if not self._full:
            self._soon()

    def lose_soon(self, transport: StreamTransport, reason: Failure) -> None:
        """Tell a stream's protocol that it is lost, when whoever is at work has returned."""
        self.later(partial(transport.lose, reason))

    def later(self, told: Callable[[], object]) -> None:
        """Call ``told`` when whoever is at work has returned."""
        self._later.append(told)
        self._soon()

    def lost_stream(self, stream: Stream) -> None:
        """A stream is over, as far as its protocol is concerned: what still comes is nobody's."""
        stream.owner = None  # nor do the two keep each other, until Python looks for cycles
        stream.since = self._clock.seconds()

    def call(self, transport: StreamTransport, told: Callable[[], object]) -> None:
        """Call a protocol of a stream; what it raises is its own fault, and ends it alone."""
        try:
            told()
        except Exception:
            self.log.failure("a protocol failed on its stream")
            transport.abortConnection()

    def _happened(self, what: What, stream: Stream | None, payload: Any) -> None:
        owner = None if stream is None else stream.owner
        match what:
            case What.OPENED:
                self._accept(stream)  # type: ignore[arg-type]
            case What.END if owner is not None:
                owner.ended()
            case What.RESET if owner is not None:
                owner.lose(Failure(ConnectionLost(payload or "the stream was reset")))
            case What.PONG:
                self._ponged(payload)
            case What.FAULT:
                self._refuse(str(payload))

    def _accept(self, stream: Stream) -> None:
        transport = stream.owner = StreamTransport(self, stream)
        protocol = None
        try:
            if self._factory is not None:
                protocol = self._factory.buildProtocol(self.transport.getPeer())
            if protocol is not None:
                transport.protocol = protocol
                protocol.makeConnection(transport)
        except Exception:
            self.log.failure("a stream could not be accepted")
            protocol = None
        if protocol is None:
            transport.connected = False
            stream.owner = None
            self.mux.reset(stream)

    def _soon(self) -> None:
        if not self._busy and self._sending is None and self.connected_now:
            self._sending = self._clock.callLater(0, self._send_now)

    def _send_now(self) -> None:
        self._sending = None
        self._send()

    def _send(self) -> None:
        mux = self.mux
        if self._later:
            self._tell()
        while not self._full and mux.has_work and self.connected_now:
            self.transport.write(b"".join(mux.take(AT_ONCE)))
            if mux.emptied:
                self._busy = True
                emptied, mux.emptied = mux.emptied, []
                for stream in emptied:
                    if (owner := stream.owner) is not None:
                        self.call(owner, owner.emptied)
                self._busy = False
                self._tell()
        self._close_if_done()

    def _tell(self) -> None:
        later, self._later = self._later, []
        self._busy = True
        for told in later:
            told()
        self._busy = False

    def _close_if_done(self) -> None:
        mux = self.mux
        if not (mux.going or mux.gone) or mux.streams or mux.has_work or self._busy:
            return
        if self.connected_now and not self._closing:
            self._close()

    def _close(self) -> None:
        self._closing = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _sweep(self) -> None:
        """Reset the streams for which the other side takes too long."""
        now, options = self._clock.seconds(), self.options
        for stream in tuple(self.mux.streams.values()):
            owner, waited = stream.owner, now - stream.since
            if owner is None:
                if waited >= options.close_timeout:
                    self.mux.reset(stream)
            elif not stream.acknowledged and waited >= options.open_timeout:
                self.mux.reset(stream)
                owner.lose(Failure(ConnectionLost(f"it was not accepted for {options.open_timeout:g} s")))

    def _set_ping(self) -> None:
        jitter = self.options.ping_jitter * (2 * self._chance.random() - 1)
        self._ping = self._clock.callLater(self.options.ping_interval * (1 + jitter), self._on_ping)

    def _on_ping(self) -> None:
        self._ping = None
        if self._missed >= self.options.pings_missed:
            self.abort(f"{self._missed} pings were not answered, and nothing else came", "silent")
            return
        self._missed += 1
        self._sweep()
        idle = self.options.idle_timeout
        if idle and not self.mux.streams and self._clock.seconds() - self._used >= idle:
            self.close()
            return
        self._set_ping()
        self.ping()

    def _ponged(self, number: int) -> None:
        since = self._pinged_at.pop(number, None)
        if since is not None:
            self.answered = True
            took = self._clock.seconds() - since
            self.mux.round_trip = min(self.mux.round_trip or took, took)

    def _left(self) -> int:
        return int(getattr(self.transport, "bytes_out", 0))

    def _is_stuck(self, before: int) -> None:
        self._stuck = None
        left = self._left()
        if left != before:
            self._stuck = self._clock.callLater(self.options.write_timeout, self._is_stuck, left)
        else:
            self.abort(f"nothing left for {self.options.write_timeout:g} s, and bytes wait", "write_timeout")

    def _refuse(self, why: str) -> None:
        """Give it up for what the other side has sent: that hears so, if it reads."""
        self.why, self.cause = why, "protocol_error"
        self.transport.write(b"".join(self.mux.take(0)))
        self.connected_now = False
        self._close()
        if self._stuck is not None:
            self._stuck.cancel()
        self._stuck = self._clock.callLater(self.options.write_timeout, self.transport.abortConnection)

    def abort(self, why: str, cause: str) -> None:
        """Give the connection up, with all that is on it.

        :param why: for people.
        :param cause: the same in one word.
        """
        if self.connected_now and not self.why:
            self.why, self.cause = why, cause
            self.transport.abortConnection()


def _hold_little(stream: Any) -> None:
    """Have the kernel take no more than it can soon send: what waits here is sent in turns."""
    if isinstance(sock := getattr(stream, "socket", None), socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)
