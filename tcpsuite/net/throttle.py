"""A connection that passes no more than so many bytes a second, each way; nothing is ever dropped.

It stands between a transport and the protocol that is served, and is the transport of that.  What comes is
handed on, and what is written leaves, in slices, as the buckets allow; meanwhile the peer is not read, and
who produces is told to wait.  A FIN comes behind the bytes before it, and leaves behind them.

Who stays well below the bounds is not asked about each few bytes: some are taken from the buckets ahead, and
while they last all passes as if nothing stood here; of a relay, from socket to socket.  When no more can be
taken ahead, everything goes by slices again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer, providedBy
from zope.interface.declarations import Provides

from tcpsuite.net.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IDelayedCall

    from tcpsuite.core.limits.bandwidth import Bucket, Flow
    from tcpsuite.net.stream import Stream


class Throttle:
    """See above.  What it does not do itself, the transport beneath does.

    :param transport: the transport beneath.
    :param arriving: what comes from the peer passes through this.
    :param leaving: what goes to the peer, through this.
    :param clock: an ``IReactorTime``.
    :param high_water: bytes that wait to leave, past which who produces them is told to wait.
    :ivar hand_on: called with what has come, when it may.
    :ivar write: sends some bytes, when they may leave.
    """

    _twin: Stream | None = None  # what may be joined
    _fences = (0, 0)  # of the transport and the twin, while they are joined
    _unwanted = False  # the protocol does not want to read
    _handing = False  # the protocol is being handed something
    _resting = False  # the transport is not read
    _gone = False

    def __init__(self, transport: Any, arriving: Flow, leaving: Flow, clock: Any, high_water: int) -> None:
        self.transport = transport
        self.hand_on: Callable[[bytes], object]
        self._flow = arriving
        self._clock = clock
        self._gate = Gate(arriving, clock, self._go_on)
        self._kept = bytearray()
        self._outlet = _Outlet(transport, leaving, clock, high_water)
        self.write: Callable[[bytes], None] = self._outlet.write
        self.__provides__ = _provided(providedBy(transport))
        transport.registerProducer(self._outlet, True)

    def __repr__(self) -> str:
        return f"<Throttle arriving={len(self._kept)} leaving={len(self._outlet)}>"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    @property
    def disconnecting(self) -> bool:
        """Whether it is being closed."""
        return self._outlet.closing or bool(self.transport.disconnecting)

    def held_back(self) -> bool:
        """Whether something that came, or is to leave, waits for bandwidth."""
        return self._gate.waits or self._outlet.waits

    def begin(self, now: float) -> None:
        """Let pass what may pass without asking, if anything."""
        self._flow.run_ahead(now)
        self._outlet.flow.run_ahead(now)

    def add(self, arriving: Bucket, leaving: Bucket) -> None:
        """From now on it takes from these too."""
        if self._twin is not None and self._outlet.passed_by:
            self._count_off(self._twin)
            self.transport.part()
        self._flow.add(arriving)
        self._outlet.flow.add(leaving)

    def join(self, twin: Stream) -> None:
        """From now on, whenever there is room, have what passes between this and ``twin`` go from socket to
        socket, past both protocols: see :meth:`tcpsuite.net.stream.Stream.join`.
        """
        self._twin = twin
        self.write = self._write
        self._hurry()

    def received(self, data: bytes) -> None:
        """Bytes have come from the peer."""
        flow = self._flow
        if (left := flow.ahead - len(data)) >= 0 and not self._unwanted:  # nothing is kept then
            flow.ahead = left
            self.hand_on(data)
        else:
            self._kept += data
            self._go_on()

    def lost(self) -> None:
        """The connection is gone.  What had come before its end is handed on."""
        self._gone = True
        self._twin = None
        self.write = self._outlet.write  # who knows each other in a circle is not forgotten at once
        self._gate.end()
        self._outlet.end()
        if self._kept:
            data = bytes(self._kept)
            self._kept.clear()
            self.hand_on(data)
        self.hand_on = _nobody

    def pauseProducing(self) -> None:
        """Hand on nothing, and do not read, for a while."""
        self._unwanted = True
        self._go_on()

    def resumeProducing(self) -> None:
        """Hand on again."""
        self._unwanted = False
        self._go_on()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces, as if they were written one after the other."""
        self._outlet.write(b"".join(iovec))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Tell ``producer`` when to produce."""
        self._outlet.register(producer, streaming)

    def unregisterProducer(self) -> None:
        """No producer any more."""
        self._outlet.unregister()

    def loseConnection(self) -> None:
        """Close it behind what was written."""
        self._outlet.close(self.transport.loseConnection)

    def loseWriteConnection(self) -> None:
        """Close the writing half behind what was written."""
        self._outlet.close(self.transport.loseWriteConnection)

    def abort_behind(self) -> None:
        """Reset it behind what was written, as far as the transport can send that in one turn."""
        self._outlet.unregister()
        self._outlet.close(lambda: self._clock.callLater(0, self.transport.abortConnection))

    def abortConnection(self) -> None:
        """Reset it, whatever waits."""
        self._kept.clear()
        self._gate.rest()
        self._outlet.end()
        self.transport.abortConnection()

    def _write(self, data: bytes) -> None:
        self._outlet.write(data)
        self._hurry()

    def _go_on(self) -> None:
        """Hand on what may pass; read when nothing waits, and the protocol wants more."""
        if self._handing:
            return  # a protocol that pauses and resumes while it is handed something comes here, and is next
        if self._kept:
            self._flow.stay()
        while self._kept and not (self._unwanted or self._gone or self._gate.timed):
            size = self._gate.take(len(self._kept))
            if not size:
                break
            data = bytes(self._kept[:size])
            del self._kept[:size]
            self._handing = True
            try:
                self.hand_on(data)
            finally:
                self._handing = False
        if self._unwanted and self._kept:
            self._gate.rest()
        resting = self._unwanted or bool(self._kept)
        if resting != self._resting and not self._gone:
            self._resting = resting
            (self.transport.pauseProducing if resting else self.transport.resumeProducing)()
        if not self._kept:
            self._hurry()

    def _hurry(self) -> None:
        """Take what there is room for ahead; join what can be joined, when there is room both ways."""
        outlet, twin = self._outlet, self._twin
        if self._gone or self._kept or outlet.passed_by or not self._flow.run_ahead(self._clock.seconds()):
            return
        if twin is not None and outlet.run_ahead():
            self.transport.join(twin, self._toll)
            self._set_fences(twin)

    def _set_fences(self, twin: Stream) -> None:
        """Let pass between the two what was taken ahead, and no more."""
        self._outlet.passed_by = True
        stream, arriving, leaving = self.transport, self._flow, self._outlet.flow
        stream.fence, twin.fence = stream.bytes_in + arriving.ahead, twin.bytes_in + leaving.ahead
        self._fences = stream.fence, twin.fence
        arriving.ahead = leaving.ahead = 0

    def _toll(self, joined: bool) -> None:
        """What was taken ahead has passed between the two, one way; or one of them is gone."""
        twin = self._twin
        assert twin is not None
        self._count_off(twin)
        if not joined:
            self._twin = None
        elif self._flow.run_ahead(now := self._clock.seconds()) and self._outlet.flow.run_ahead(now):
            self._set_fences(twin)
        else:
            self.transport.part()

    def _count_off(self, twin: Stream) -> None:
        """See what has passed between the two."""
        self._outlet.passed_by = False
        here, there = self._fences
        self._flow.ahead = here - self.transport.bytes_in
        self._outlet.flow.ahead = there - twin.bytes_in


@implementer(IPushProducer)
class _Outlet:
    """What waits to leave, and the one producer that the transport beneath knows.

    :ivar passed_by: whether what leaves goes from socket to socket.
    """

    passed_by = False
    _producer: Any = None
    _streaming = False
    _held = False  # the producer was told to wait
    _full = False  # the transport takes no more
    _close: Callable[[], object] | None = None
    _asking: IDelayedCall | None = None
    _ended = False

    def __init__(self, transport: Any, flow: Flow, clock: Any, high_water: int) -> None:
        self.flow = flow
        self._transport = transport
        self._clock = clock
        self._high_water = high_water
        self._gate = Gate(flow, clock, self._go_on)
        self._queue = bytearray()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def closing(self) -> bool:
        return self._close is not None

    @property
    def waits(self) -> bool:
        return self._gate.waits

    def write(self, data: bytes) -> None:
        flow = self.flow
        if (left := flow.ahead - len(data)) >= 0 and not self._full:  # nothing is queued then
            flow.ahead = left
            self._transport.write(data)
            if self._producer is not None and not self._streaming:
                self._direct()
        elif data and not self._ended:
            self._queue += data
            self._go_on()

    def run_ahead(self) -> bool:
        """Take what there is room for ahead: whether there is any."""
        held = self._queue or self._ended or self.passed_by
        return not held and self.flow.run_ahead(self._clock.seconds())

    def register(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already")
        if self._ended:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._held = producer, streaming, False
        self._go_on()

    def unregister(self) -> None:
        self._producer = None
        self._go_on()

    def close(self, close: Callable[[], object]) -> None:
        self._close = close
        self._go_on()

    def end(self) -> None:
        """Nothing leaves any more."""
        self._ended = True
        self._queue.clear()
        self._gate.end()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def pauseProducing(self) -> None:
        """The transport takes no more."""
        self._full = True
        self._go_on()

    def resumeProducing(self) -> None:
        """The transport has sent what it had."""
        self._full = False
        self._go_on()

    def stopProducing(self) -> None:
        """The transport is gone."""
        producer, self._producer = self._producer, None
        self.end()
        if producer is not None:
            producer.stopProducing()

    def _go_on(self) -> None:
        """Send what may leave; then have more produced, or close."""
        if self._queue:
            self.flow.stay()
        while self._queue and not (self._full or self._ended or self._gate.timed):
            size = self._gate.take(len(self._queue))
            if not size:
                break
            data = bytes(self._queue[:size])
            del self._queue[:size]
            self._transport.write(data)
        if self._ended:
            return
        if self._full and self._queue:
            self._gate.rest()
        self.run_ahead()
        if self._producer is not None:
            self._direct()
        elif self._close is not None and not self._queue:
            close, self._close = self._close, None
            self._transport.unregisterProducer()  # which would be waited for
            close()

    def _direct(self) -> None:
        """Have the producer wait, or go on."""
        room = not self._full and not self._queue
        if not self._streaming:
            if room and self._asking is None:
                # Not from in here: it may have all at hand, and each write comes back here.
                self._asking = self._clock.callLater(0, self._ask)
        elif self._held:
            if room:
                self._held = False
                self._producer.resumeProducing()
        elif self._full or len(self._queue) > self._high_water:
            self._held = True
            self._producer.pauseProducing()

    def _ask(self) -> None:
        """Ask a producer for more that waits to be asked."""
        self._asking = None
        if self._producer is not None and not (self._full or self._queue):
            self._producer.resumeProducing()


def abort_behind(transport: Any, clock: Any) -> None:
    """Reset a connection, throttled or not, behind what was written on it: behind what waits for bandwidth,
    and what the transport can send in one turn of the reactor.

    :param clock: an ``IReactorTime``.
    """
    if isinstance(transport, Throttle):
        transport.abort_behind()
    else:
        clock.callLater(0, transport.abortConnection)


def _nobody(data: bytes) -> None:
    """To whom nothing is handed on any more."""


@lru_cache(maxsize=64)
def _provided(beneath: Any) -> Any:
    """What one that stands before such a transport provides; there are few of these."""
    return Provides(Throttle, beneath)
