"""Two muxes, and whatever may happen between them."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tcpsuite.core.mux.events import Event, MuxLimits, What
from tcpsuite.core.mux.mux import Mux
from tests.core.mux.wire import sent

LIMITS = MuxLimits(max_window=1 << 20, max_streams=20, max_unacknowledged=3)
SIDES = st.booleans()
PICK = st.integers(0, 1 << 16)


class Two(RuleBasedStateMachine):
    """Each side opens, writes, reads, ends and resets; bytes are carried in pieces of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.muxes = {side: Mux(side, LIMITS) for side in (True, False)}
        self.wires = {side: bytearray() for side in (True, False)}  # towards that side
        self.written: dict[tuple[bool, int], bytearray] = {}  # by whom, on which stream
        self.read: dict[tuple[bool, int], bytearray] = {}
        self.untaken: list[tuple[bool, Any, int]] = []
        self.over: set[tuple[bool, int]] = set()  # whose end has come
        self.reset: set[int] = set()
        self.ended: set[tuple[bool, int]] = set()

    def stream(self, side: bool, pick: int) -> Any:
        """One of a side's streams; ``None`` when there is none."""
        streams = list(self.muxes[side].streams.values())
        return streams[pick % len(streams)] if streams else None

    @rule(side=SIDES)
    def open(self, side: bool) -> None:
        """A new stream."""
        stream = self.muxes[side].open(None)
        for each in (True, False):
            self.written[each, stream.id] = bytearray()
            self.read[each, stream.id] = bytearray()

    @rule(side=SIDES, pick=PICK, size=st.sampled_from([1, 5, 70_000, 300_000]))
    def write(self, side: bool, pick: int, size: int) -> None:
        """Some bytes on a stream."""
        stream = self.stream(side, pick)
        if stream is not None and not stream.finished:
            place = len(self.written[side, stream.id])
            data = bytes((place + number) % 251 for number in range(min(size, 251))) * (size // 251 + 1)
            self.muxes[side].write(stream, data[:size])
            self.written[side, stream.id] += data[:size]

    @rule(side=SIDES, pick=PICK)
    def finish(self, side: bool, pick: int) -> None:
        """An end."""
        if (stream := self.stream(side, pick)) is not None:
            self.muxes[side].finish(stream)
            self.ended.add((side, stream.id))

    @rule(side=SIDES, pick=PICK)
    def give_up(self, side: bool, pick: int) -> None:
        """A reset."""
        if (stream := self.stream(side, pick)) is not None:
            self.muxes[side].reset(stream)
            self.reset.add(stream.id)

    @rule(side=SIDES, number=st.integers(0, 2**32 - 1))
    def ping(self, side: bool, number: int) -> None:
        """A ping."""
        self.muxes[side].ping(number)

    @rule(side=SIDES, limit=st.sampled_from([1, 1000, 100_000, 1 << 22]))
    def take(self, side: bool, limit: int) -> None:
        """Some of what a side has to say leaves."""
        self.wires[not side] += sent(self.muxes[side], limit)

    @rule(side=SIDES, size=st.sampled_from([1, 7, 12, 4096, 1 << 22]), keep=SIDES)
    def deliver(self, side: bool, size: int, keep: bool) -> None:
        """Some of it arrives, and is taken now or later."""
        wire = self.wires[side]
        data = bytes(wire[:size])
        del wire[:size]
        self.happened(side, self.muxes[side].receive(data, 0.0), keep)

    @precondition(lambda self: self.untaken)
    @rule(pick=PICK)
    def read_on(self, pick: int) -> None:
        """Something that had arrived is taken."""
        side, stream, count = self.untaken.pop(pick % len(self.untaken))
        self.muxes[side].took(stream, count)

    def happened(self, side: bool, events: list[Event], keep: bool) -> None:
        """See that all is in order."""
        for what, stream, payload in events:
            assert what is not What.FAULT, payload
            if what is What.DATA:
                assert stream is not None
                assert (side, stream.id) not in self.over
                self.read[side, stream.id] += payload
                if keep:
                    self.untaken.append((side, stream, len(payload)))
                else:
                    self.muxes[side].took(stream, len(payload))
            elif what is What.END:
                assert stream is not None
                self.over.add((side, stream.id))
                assert self.read[side, stream.id] == self.written[not side, stream.id]
            elif what is What.RESET:
                assert stream is not None
                self.reset.add(stream.id)

    @invariant()
    def nothing_invented(self) -> None:
        """What was read is a beginning of what was written."""
        for (side, number), data in self.read.items():
            assert self.written[not side, number].startswith(data)

    @invariant()
    def nothing_forgotten(self) -> None:
        """What nobody has taken is counted."""
        for side, mux in self.muxes.items():
            assert mux.unread == sum(
                min(stream.unread, count) and count for each, stream, count in self.untaken if each is side
            )

    def teardown(self) -> None:
        """Left alone, and read, all arrives but on what was reset."""
        for side, stream, count in self.untaken:
            self.muxes[side].took(stream, count)
        for _ in range(10_000):
            if not any(mux.has_work for mux in self.muxes.values()) and not any(self.wires.values()):
                break
            for side in (True, False):
                self.take(side, 1 << 22)
                self.deliver(not side, 1 << 24, keep=False)
        for (side, number), data in self.read.items():
            if number not in self.reset:
                assert data == self.written[not side, number]
        for side, number in self.ended:
            assert number in self.reset or (not side, number) in self.over
        for mux in self.muxes.values():
            assert mux.unread == 0
            assert mux._theirs == sum(number % 2 != mux.client for number in mux.streams)
            assert mux._unacknowledged == 0
            assert not mux._unopened


Two.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestTwo = Two.TestCase
