"""Both halves of an attached connection, and the carriers between them, without a socket."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from tcpsuite.net.attaching.attached import Attached
from tcpsuite.net.attaching.carriers import FramedCarrier
from tcpsuite.testing.endpoints import ScriptedTransport


class Leaving(ScriptedTransport):
    """A connection on which what is written leaves when the turn is over, unless it is reset before."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 0

    def turn(self) -> None:
        """A turn is over."""
        self._left = len(self.value())

    def abortConnection(self) -> None:
        """Reset it: what has not left never does."""
        if not self.disconnected:
            self.io.seek(self._left)
            self.io.truncate()
        super().abortConnection()


class End:
    """One half: what lasts, and the connection that it is the protocol of.

    :ivar heard: all that was written to that connection.
    :ivar said: all that its far end has sent.
    :ivar over: how often it was told to be over; ``left``, that a carrier was lost.
    """

    def __init__(self, bound: int, window: int, clock: Clock) -> None:
        self.over = self.left = 0
        self.said = bytearray()
        self.finished = self.was_reset = False
        self.attached = Attached(clock, self._is_over, self._has_left, bound, window)
        self.transport = Leaving()
        self.transport.protocol = self.attached
        self.attached.makeConnection(self.transport)

    @property
    def heard(self) -> bytes:
        """All that was written to the connection."""
        value: bytes = self.transport.value()
        return value

    @property
    def reads(self) -> bool:
        """Whether the far end could send something that is read."""
        open_ = self.transport.connected and not self.transport.disconnecting
        return open_ and not self.finished and self.transport.producerState == "producing"

    def say(self, data: bytes) -> None:
        """The far end sends some bytes, if they are read."""
        if self.reads:
            self.said += data
            self.transport.say(data)

    def finish(self) -> None:
        """The far end sends a FIN, if it is read."""
        if self.reads:
            self.finished = True
            self.transport.finish()

    def reset(self) -> None:
        """The far end resets the connection."""
        if self.transport.connected and not self.transport.disconnecting:
            self.was_reset = True
            self.transport.lose(ConnectionLost())

    def fill(self, wanted: bool) -> None:
        """The far end takes nothing more, or takes all again."""
        if self.transport.producer is not None and self.transport.connected:
            (self.attached.pauseProducing if wanted else self.attached.resumeProducing)()

    def settle(self) -> bool:
        """What was asked of the connection is done: two FINs are its end; whether it was that."""
        was_connected = self.transport.connected
        if self.transport.finished and self.finished:
            self.transport.lose()
        self.transport.settle()
        return was_connected and not self.transport.connected

    def _is_over(self) -> None:
        self.over += 1

    def _has_left(self) -> None:
        self.left += 1


class Line:
    """A connection between the halves.

    :ivar carriers: its ends.
    """

    def __init__(self, ends: tuple[End, End], clock: Clock) -> None:
        self.transports = ScriptedTransport(), ScriptedTransport()
        self.carriers = tuple(
            FramedCarrier(end.attached, transport, clock)
            for end, transport in zip(ends, self.transports, strict=True)
        )
        self.lost = False

    def deliver(self, to: int, size: int) -> bool:
        """Some of what was sent towards one end arrives; whether there was anything."""
        source = self.transports[1 - to]
        data: bytes = source.value()
        if self.lost or not data:
            return False
        source.clear()
        source.write(data[size:])
        self.carriers[to].data_received(data[:size])
        return True

    def settle(self) -> bool:
        """An end that was told to close is closed, behind what was sent; whether one was."""
        for number, transport in enumerate(self.transports):
            aborted = transport.disconnected
            if not self.lost and (aborted or (transport.disconnecting and not transport.value())):
                if not aborted:
                    while self.deliver(number, 1_000_000):
                        pass
                self.lose()
                return True
        return False

    def lose(self) -> None:
        """It is lost, with all that is under way."""
        if not self.lost:
            self.lost = True
            for carrier in self.carriers:
                carrier.connection_lost()


class Pair:
    """Two halves that can be joined again and again."""

    def __init__(self, bound: int = 1000, window: int = 100) -> None:
        self.clock = Clock()
        self.ends = End(bound, window, self.clock), End(bound, window, self.clock)
        self.lines: list[Line] = []

    def join(self) -> Line | None:
        """Join them by a new carrier, behind an agreement on what has arrived; one that finds the other over
        gives up.
        """
        one, other = (end.attached for end in self.ends)
        if one.is_over or other.is_over:
            for end in self.ends:
                end.settle()  # two FINs end a connection before anybody can reset it
            for attached in (one, other):
                if not attached.is_over:
                    attached.cut()
            return None
        line = Line(self.ends, self.clock)
        self.lines.append(line)
        received = one.incoming.received, other.incoming.received
        line.carriers[0].start(received[1], other.window)
        line.carriers[1].start(received[0], one.window)
        return line

    def run(self) -> None:
        """Let all arrive that is under way."""
        busy = True
        while busy:
            for end in self.ends:
                end.transport.turn()
            self.clock.advance(0)
            moved = [line.deliver(to, 1_000_000) for line in self.lines for to in (0, 1)]
            closed = [line.settle() for line in self.lines] + [end.settle() for end in self.ends]
            busy = any(moved + closed)

    def timers(self) -> list[Any]:
        """What waits on the clock."""
        return list(self.clock.getDelayedCalls())
