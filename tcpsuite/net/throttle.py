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

from zope.interface import providedBy
from zope.interface.declarations import Provides

from tcpsuite.net.gate import Gate
from tcpsuite.net.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
    _gate: Gate | None = None  # made when something must wait, which most never do
    _unwanted = False  # the protocol does not want to read
    _handing = False  # the protocol is being handed something
    _resting = False  # the transport is not read
    _gone = False

    def __init__(self, transport: Any, arriving: Flow, leaving: Flow, clock: Any, high_water: int) -> None:
        self.transport = transport
        self.hand_on: Callable[[bytes], object]
        self._flow = arriving
        self._clock = clock
        self._kept = bytearray()
        self._outlet = Outlet(transport, leaving, clock, high_water)
        self.write = self._outlet.write
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
        return self._flow.waits or self._outlet.flow.waits

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
        self._outlet.then = self._hurry
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
        self._outlet.then = None  # who knows each other in a circle is not forgotten at once
        if self._gate is not None:
            self._gate.end()
        elif self._flow.ahead:
            self._flow.stay()
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
        self._rest()
        self._outlet.end()
        self.transport.abortConnection()

    def _go_on(self) -> None:
        """Hand on what may pass; read when nothing waits, and the protocol wants more."""
        if self._handing:
            return  # a protocol that pauses and resumes while it is handed something comes here, and is next
        gate = self._gate
        if self._kept:
            self._flow.stay()
            if gate is None:
                gate = self._gate = Gate(self._flow, self._clock, self._go_on)
        while gate is not None and self._kept and not (self._unwanted or self._gone or gate.timed):
            size = gate.take(len(self._kept))
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
            self._rest()
        resting = self._unwanted or bool(self._kept)
        if resting != self._resting and not self._gone:
            self._resting = resting
            (self.transport.pauseProducing if resting else self.transport.resumeProducing)()
        if not resting:
            self._hurry()

    def _rest(self) -> None:
        """Nothing that came is to pass for now."""
        if self._gate is not None:
            self._gate.rest()

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
