"""What is written on a connection, and waits for its bandwidth to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tcpsuite.net.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from tcpsuite.core.limits.bandwidth import Flow


@implementer(IPushProducer)
class Outlet:
    """What waits to leave, and the one producer that the transport beneath knows.

    :ivar passed_by: whether what leaves goes from socket to socket.
    :ivar then: called when some may leave without asking from now on.
    """

    passed_by = False
    then: Callable[[], object] | None = None
    _gate: Gate | None = None
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
        self._queue = bytearray()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def closing(self) -> bool:
        return self._close is not None

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
        if self._full or self._queue or not streaming:
            self._direct()

    def unregister(self) -> None:
        self._producer = None
        if self._close is not None:
            self._go_on()

    def close(self, close: Callable[[], object]) -> None:
        self._close = close
        self._go_on()

    def end(self) -> None:
        """Nothing leaves any more."""
        self._ended = True
        self._queue.clear()
        if self._gate is not None:
            self._gate.end()
        elif self.flow.ahead:
            self.flow.stay()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def pauseProducing(self) -> None:
        """The transport takes no more."""
        self._full = True
        self._turn()

    def resumeProducing(self) -> None:
        """The transport has sent what it had."""
        self._full = False
        self._turn()

    def stopProducing(self) -> None:
        """The transport is gone."""
        producer, self._producer = self._producer, None
        self.end()
        if producer is not None:
            producer.stopProducing()

    def _turn(self) -> None:
        """The transport takes more, or no more."""
        if self._queue or self._producer is None:
            self._go_on()
        else:
            self._direct()

    def _go_on(self) -> None:
        """Send what may leave; then have more produced, or close."""
        gate = self._gate
        if self._queue:
            self.flow.stay()
            if gate is None:
                gate = self._gate = Gate(self.flow, self._clock, self._go_on)
        while gate is not None and self._queue and not (self._full or self._ended or gate.timed):
            size = gate.take(len(self._queue))
            if not size:
                break
            data = bytes(self._queue[:size])
            del self._queue[:size]
            self._transport.write(data)
        if self._ended:
            return
        if gate is not None and self._full and self._queue:
            gate.rest()
        if self.run_ahead() and self.then is not None:
            self.then()
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
