"""One side of a mux connection, and whatever bytes tell it and its peer to do.

A play is what a fuzzer changes: its bytes choose between frames of the other side, right or wrong, and what
whoever drives the mux does with it.  Whatever they choose, what the mux promises holds.

``corpus.txt`` has plays that together reach all that ten minutes of ``fuzz.py`` did, and such as failed once.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

from tcpsuite.core.mux.events import Event, MuxLimits, What
from tcpsuite.core.mux.frames import HEADER, INITIAL_WINDOW
from tcpsuite.core.mux.mux import Mux

if TYPE_CHECKING:
    from tcpsuite.core.mux.stream import Stream

LIMITS = MuxLimits(
    max_window=1 << 20, max_unread=300_000, max_streams=4, max_unacknowledged=2, max_replies=20
)
MOST_OF_OURS = 8
CORPUS = Path(__file__).with_name("corpus.txt")
LENGTHS = (0, 1, 2, 100, 70_000, 200_000, 2**18, 2**18 + 1, 2**31, 2**32 - 1)


class Reader:
    """Numbers out of bytes; zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether there is one."""
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """The next one."""
        value = self._data[self._at] if self.more else 0
        self._at += 1
        return value % below

    def raw(self, count: int) -> bytes:
        """The next bytes, as they are."""
        data = self._data[self._at : self._at + count]
        self._at += count
        return data


class Play:
    """A play: see :func:`play`."""

    def __init__(self, data: bytes) -> None:
        self.reader = Reader(data)
        settings = self.reader.number(8)
        self.client = bool(settings & 1)
        self.mux = Mux(self.client, LIMITS)
        self.whole: Mux | None = Mux(self.client, LIMITS) if settings & 2 else None
        if settings & 4:
            self.mux.round_trip = 10.0
        self.ours: list[Stream] = []
        self.known: list[Stream] = []
        self.over: set[Stream] = set()
        self.now = 0.0

    def go_on(self) -> None:
        """One thing after another."""
        deeds = (
            *(self.peer_sends,) * 4,
            self.peer_sends_anything,
            self.opens,
            self.writes,
            self.finishes,
            self.resets,
            self.takes,
            self.reads,
            self.goes_away,
        )
        while self.reader.more:
            deeds[self.reader.number(len(deeds))]()
            self.check()
        self.end()

    # What the other side does

    def peer_sends(self) -> None:
        """One frame, which may be right."""
        number = self.reader.number
        kind = number(5)
        flags = number(17)
        stream = number(12)
        length = LENGTHS[number(len(LENGTHS))]
        header = HEADER.pack(1 if number(32) == 31 else 0, kind, flags, stream, length)
        payload = bytes(min(length, 200_000)) if kind == 0 else b""
        cut = number(16)
        self.arrives(header[:cut])
        self.arrives(header[cut:] + payload)

    def peer_sends_anything(self) -> None:
        """Some bytes."""
        self.arrives(self.reader.raw(self.reader.number(40)))

    def arrives(self, data: bytes) -> None:
        """Bytes have come, and what they tell is in order."""
        for what, stream, payload in self.mux.receive(data, self.now):
            if what is What.OPENED:
                assert stream is not None
                assert stream not in self.known
                self.known.append(stream)
            elif stream is not None:
                assert stream in self.known
                assert stream not in self.over, f"{what} behind the end"
            if what is What.DATA:
                assert payload
            elif what is What.RESET:
                assert stream is not None
                self.over.add(stream)
            elif what is What.FAULT:
                assert self.mux.fault is payload
                assert self.mux.receive(b"\0" * 12, self.now) == []

    # What this one does

    def pick(self) -> Stream | None:
        """One of the streams that there ever were."""
        return self.known[self.reader.number(len(self.known))] if self.known else None

    def opens(self) -> None:
        """A stream."""
        if self.mux.can_open and len(self.ours) < MOST_OF_OURS:
            stream = self.mux.open(None)
            self.ours.append(stream)
            self.known.append(stream)

    def writes(self) -> None:
        """Some bytes."""
        if (stream := self.pick()) is not None:
            self.mux.write(stream, bytes(LENGTHS[self.reader.number(6)]))

    def finishes(self) -> None:
        """An end."""
        if (stream := self.pick()) is not None:
            self.mux.finish(stream)

    def resets(self) -> None:
        """A reset: nothing more is told of it."""
        if (stream := self.pick()) is not None:
            if self.mux.streams.get(stream.id) is stream:
                self.over.add(stream)
            self.mux.reset(stream)
            assert self.mux.streams.get(stream.id) is not stream

    def takes(self) -> None:
        """Something leaves, as frames that the specification knows."""
        check_frames(b"".join(self.mux.take(LENGTHS[1 + self.reader.number(5)])))

    def reads(self) -> None:
        """Something is taken by its reader, and time goes by."""
        self.now += self.reader.number(4)
        if (stream := self.pick()) is not None:
            self.mux.took(stream, min(stream.unread, LENGTHS[self.reader.number(7)]))

    def goes_away(self) -> None:
        """It takes no more streams."""
        self.mux.go_away()

    # What is promised

    def check(self) -> None:
        """What holds at any time."""
        mux = self.mux
        streams = list(mux.streams.values())
        assert all(number == stream.id for number, stream in mux.streams.items())
        assert mux.unread == sum(stream.unread for stream in self.known) <= LIMITS.max_unread
        theirs = [stream for stream in streams if stream.id % 2 != mux.client]
        assert mux._theirs == len(theirs) <= LIMITS.max_streams
        mine = [stream for stream in streams if stream.id % 2 == mux.client]
        assert (
            mux._growth == LIMITS.max_unread // 2 - sum(each.size - INITIAL_WINDOW for each in streams) >= 0
        )
        waiting = [stream for stream in mine if not stream.acknowledged]
        assert mux._unacknowledged == len(waiting) - len(mux._unopened) <= LIMITS.max_unacknowledged
        turns = [stream for stream in mux._ready if stream.ready]
        assert {*turns} == {stream for stream in streams if stream.ready}
        assert len({*turns}) == len(turns)
        assert len(mux._ready) - len(turns) == mux._gone_ready
        for stream in streams:
            held = b"".join(stream.queue or ())
            assert stream.queued == len(held)
            assert 0 <= stream.room + stream.unread <= stream.size <= LIMITS.max_window
            if stream.queued and stream.window and stream not in mux._unopened:
                assert stream.ready, f"{stream} is never sent"
        for stream in self.over:
            assert mux.streams.get(stream.id) is not stream
            assert (stream.unread, stream.queued, stream.ready) == (0, 0, False)

    def end(self) -> None:
        """All that may be sent is."""
        for _ in range(100):
            check_frames(b"".join(self.mux.take(1 << 20)))
        assert not self.mux.has_work
        self.check()


def check_frames(data: bytes) -> None:
    """See that there is nothing in it but whole frames."""
    at = 0
    while at < len(data):
        version, kind, flags, stream, length = HEADER.unpack_from(data, at)
        assert version == 0
        assert kind < 4
        assert flags < 16
        assert bool(stream) == (kind < 2)
        at += HEADER.size + (length if kind == 0 else 0)
    assert at == len(data)


def merged(events: list[Event]) -> list[tuple[What, int | None, bytes | str]]:
    """What they tell, however what came was cut."""
    told: list[tuple[What, int | None, bytes | str]] = []
    for what, stream, payload in events:
        number = None if stream is None else stream.id
        if what is not What.DATA:
            told.append((what, number, str(payload)))
        elif told and told[-1][:2] == (what, number):
            told[-1] = (what, number, told[-1][2] + payload)
        else:
            told.append((what, number, payload))
    return told


def cut(data: bytes, client: bool) -> None:
    """The same is told, however what comes is cut."""
    one, other = Mux(client, LIMITS), Mux(client, LIMITS)
    whole = one.receive(data, 0.0)
    single: list[Event] = []
    for at in range(len(data)):
        single += other.receive(data[at : at + 1], 0.0)
    assert merged(whole) == merged(single)
    assert b"".join(one.take(1 << 20)) == b"".join(other.take(1 << 20))
    assert repr(one) == repr(other)


def play(data: bytes) -> None:
    """Play what ``data`` says.

    Its first byte chooses between a whole play and bytes that are read whole, and one by one.

    :raises AssertionError: when a promise was broken.
    """
    if data[:1] and data[0] & 8:
        cut(data[1:2000], bool(data[0] & 1))
    else:
        Play(data).go_on()


def corpus() -> list[bytes]:
    """The plays that are kept."""
    return [b64decode(line) for line in CORPUS.read_text().split()]
