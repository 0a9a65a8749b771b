"""All streams of one connection: what arrives becomes events, what is written becomes frames."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Any

from tcpsuite.core.mux.events import Event, MuxLimits, What
from tcpsuite.core.mux.frames import (
    HEADER,
    HEADER_SIZE,
    INITIAL_WINDOW,
    MAX_FRAME,
    MAX_ID,
    VERSION,
    Code,
    Flag,
    Type,
    frame,
)
from tcpsuite.core.mux.stream import Piece, Stream
from tcpsuite.errors import ProtocolError

SYN, ACK, FIN, RST = (int(flag) for flag in Flag)
DATA, WINDOW, PING, GO_AWAY = (int(kind) for kind in Type)


class Mux:
    """One connection, as one side sees it.

    :meth:`receive` takes what was read, and gives events; :meth:`take` gives what is to be sent: call it
    behind whatever else is called here, while the connection takes it.

    :param client: whether this side made the connection: its streams have odd ids.
    :ivar streams: those that are open, by id.
    :ivar unread: bytes of all streams that came and were not taken.
    :ivar counts: what went wrong, and how often: ``skipped`` frames for streams that are gone, ``refused``
        streams, ``reset`` ones that held too much.
    :ivar emptied: watched streams of which all that was queued has been taken; its driver empties this.
    :ivar round_trip: seconds, the least that was seen; 0 while none was. Its driver sets it.
    :ivar going: whether this side takes no more streams.
    :ivar gone: whether the other side takes none.
    """

    def __init__(self, client: bool, limits: MuxLimits | None = None) -> None:
        self.client = client
        self.limits = limits or MuxLimits()
        self.streams: dict[int, Stream] = {}
        self.unread = 0
        self.counts: Counter[str] = Counter()
        self.emptied: list[Stream] = []
        self.round_trip = 0.0
        self.going = self.gone = False
        self.fault: ProtocolError | None = None
        self._now = 0.0
        self._next_id = 1 if client else 2
        self._theirs = 0
        self._unacknowledged = 0
        self._unopened: OrderedDict[Stream, None] = OrderedDict()
        self._control: list[Piece] = []
        self._replies = 0
        self._growth = self.limits.max_unread // 2  # bytes that windows may still grow by, all together
        self._ready: deque[Stream] = deque()
        self._gone_ready = 0  # of those, such as are gone: to look for each at once takes too long
        self._rest = b""  # of a header that has not come whole
        self._left = 0  # bytes of the payload in hand that are still to come
        self._into: Stream | None = None  # whose they are; nobody's are skipped
        self._end_behind = False  # whether its stream ends with them

    def __repr__(self) -> str:
        side = "client" if self.client else "server"
        return f"<Mux {side} streams={len(self.streams)} unread={self.unread} ready={len(self._ready)}>"

    @property
    def has_work(self) -> bool:
        """Whether :meth:`take` would give something."""
        return bool(self._control or self._ready)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Bytes have arrived; what they tell, in order."""
        events: list[Event] = []
        if self.fault is not None:
            return events
        self._now = now
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, end = 0, len(data)
        try:
            self._expect_reading()
            while at < end:
                if left := self._left:
                    taken = left if left <= end - at else end - at
                    self._hand_on(data[at : at + taken], taken, events)
                    at += taken
                elif end - at < HEADER_SIZE:
                    self._rest = data[at:]
                    break
                else:
                    version, kind, flags, number, length = HEADER.unpack_from(data, at)
                    at += HEADER_SIZE
                    if kind == DATA and not flags and not version:
                        self._data(self.streams.get(number), length)
                    else:
                        self._frame(version, kind, flags, number, length, events)
        except ProtocolError as error:
            self.fault = error
            self.go_away(Code.PROTOCOL_ERROR)
            events.append((What.FAULT, None, error))
        return events

    def open(self, owner: Any) -> Stream:
        """A new stream; what is written on it goes out as soon as the other side lets one more be opened."""
        stream = Stream(self._next_id, owner, SYN, acknowledged=False)
        self._next_id += 2
        self.streams[stream.id] = stream
        if self._unacknowledged < self.limits.max_unacknowledged:
            self._unacknowledged += 1
            self._make_ready(stream)
        else:
            self._unopened[stream] = None
        return stream

    @property
    def can_open(self) -> bool:
        """Whether there may be one stream more."""
        return not (self.going or self.gone or self.fault) and self._next_id <= MAX_ID

    def write(self, stream: Stream, data: bytes) -> None:
        """Send some bytes of a stream, as soon as its window and its turn allow."""
        if stream.finished or not data:
            return
        stream.put(data)
        if not stream.ready and stream.window and stream not in self._unopened:
            self._make_ready(stream)

    def finish(self, stream: Stream) -> None:
        """Write nothing more on it; its end goes behind what is queued."""
        if not stream.finished:
            stream.finished = True
            if not stream.ready and not stream.queued and stream not in self._unopened:
                self._make_ready(stream)

    def reset(self, stream: Stream) -> None:
        """Give a stream up, whatever is queued on it."""
        if self.streams.get(stream.id) is not stream:
            return
        if not stream.flags & SYN:  # else it was never announced
            self._control.append(frame(Type.WINDOW, RST | stream.flags, stream.id, 0))
        self._lose(stream)

    def took(self, stream: Stream, count: int) -> None:
        """So many bytes of a stream were taken by whoever reads it."""
        count = min(count, stream.unread)  # of one that was reset nothing is unread
        stream.unread -= count
        self.unread -= count
        more = stream.size - stream.room - stream.unread
        if self._into is stream:
            more -= self._left  # which has not come yet
        if more * 2 < stream.size or stream.their_end or self.streams.get(stream.id) is not stream:
            return
        if self._now - stream.epoch < 4 * self.round_trip and self.unread * 2 < self.limits.max_unread:
            growth = max(0, min(stream.size, self.limits.max_window - stream.size, self._growth))
            self._growth -= growth
            more += growth
            stream.size += growth
        stream.epoch = self._now
        stream.room += more
        self._control.append(frame(Type.WINDOW, stream.flags, stream.id, more))
        stream.flags = 0

    def ping(self, number: int) -> None:
        """Ask for a sign of life, which comes with the same number, of 32 bits."""
        self._control.append(frame(Type.PING, SYN, 0, number))

    def go_away(self, code: Code = Code.NORMAL) -> None:
        """Take no more streams; those that there are go on."""
        if not self.going:
            self.going = True
            self._control.append(frame(Type.GO_AWAY, 0, 0, code))

    def take(self, limit: int) -> list[Piece]:
        """What is to be sent now: about ``limit`` bytes, the streams in turn."""
        out, self._control = self._control, []
        self._replies = 0
        ready = self._ready
        while ready and limit > 0:
            stream = ready.popleft()
            if not stream.ready:
                self._gone_ready -= 1
                continue
            count = stream.queued
            if count > MAX_FRAME:
                count = MAX_FRAME
            if count > stream.window:
                count = stream.window
            if count:
                out.append(HEADER.pack(VERSION, DATA, stream.flags, stream.id, count))
                stream.flags = 0
                stream.take(count, out)
                stream.window -= count
                limit -= count + HEADER_SIZE
            elif stream.flags:
                out.append(HEADER.pack(VERSION, WINDOW, stream.flags, stream.id, 0))
                stream.flags = 0
            if stream.queued:
                if stream.window:
                    ready.append(stream)
                else:
                    stream.ready = False
                continue
            stream.ready = False
            if stream.watched:
                self.emptied.append(stream)
            if stream.finished:
                out.append(HEADER.pack(VERSION, WINDOW, FIN, stream.id, 0))
                if stream.their_end:
                    self._drop(stream)
        return out

    def _data(self, stream: Stream | None, length: int) -> None:
        """The header of data; of a stream that is gone, or of ours and not announced yet, it is skipped."""
        if stream is not None and not stream.flags & SYN:
            if length > stream.room or stream.their_end:
                raise stream.too_much(length)
            stream.room -= length
        else:
            stream = None
            self.counts["skipped"] += 1
        self._left, self._into, self._end_behind = length, stream, False

    def _hand_on(self, data: bytes, count: int, events: list[Event]) -> None:
        self._left -= count
        stream = self._into
        if stream is None:
            return
        if self.streams.get(stream.id) is not stream:  # reset while it came
            return
        stream.unread += count
        self.unread += count
        events.append((What.DATA, stream, data))
        if self.unread > self.limits.max_unread:
            self._relieve(events)
        if not self._left and self._end_behind and self.streams.get(stream.id) is stream:
            self._their_end(stream, events)

    def _frame(
        self, version: int, kind: int, flags: int, number: int, length: int, events: list[Event]
    ) -> None:
        if version != VERSION:
            raise ProtocolError("version", f"expected yamux version 0, got {version}")
        if flags & ~(SYN | ACK | FIN | RST):
            raise ProtocolError("flags", f"expected flags of 0x000f, got 0x{flags:04x}")
        if kind in (DATA, WINDOW):
            self._stream_frame(kind, flags, number, length, events)
        elif kind == PING:
            self._pinged(flags, length, events)
        elif kind == GO_AWAY:
            self.gone = True
            events.append((What.GONE, None, length))
        else:
            raise ProtocolError("type", f"expected type 0 to 3, got {kind}")

    def _stream_frame(self, kind: int, flags: int, number: int, length: int, events: list[Event]) -> None:
        if flags & SYN:
            self._opened(number, events)
        stream = self.streams.get(number)
        if stream is None or stream.flags & SYN:
            if not flags & SYN:
                self.counts["skipped"] += 1
            self._left, self._into = length if kind == DATA else 0, None
            return
        if flags & ACK and not stream.acknowledged:
            self._opened_one(stream)
            events.append((What.ACCEPTED, stream, None))
        if flags & RST:
            self._lose(stream)
            events.append((What.RESET, stream, None))
            self._left, self._into = length if kind == DATA else 0, None
            return
        if kind == WINDOW:
            self._widen(stream, length)
        else:
            self._data(stream, length)
        if flags & FIN:
            if stream.their_end:
                raise ProtocolError("state", f"stream {number}: a second end")
            self._end_behind = True
            if not self._left:
                self._their_end(stream, events)

    def _opened(self, number: int, events: list[Event]) -> None:
        if number == 0 or bool(number % 2) == self.client:
            parity = "an even" if self.client else "an odd"
            raise ProtocolError("stream", f"expected {parity} id of a new stream, got {number}")
        if number in self.streams:
            raise ProtocolError("stream", f"stream {number} is open already")
        full = self._theirs >= self.limits.max_streams or self.unread * 2 > self.limits.max_unread
        if full or self.going:
            self.counts["refused"] += 1
            self._reply(frame(Type.WINDOW, RST, number, 0))
            return
        stream = self.streams[number] = Stream(number, None, ACK, acknowledged=True)
        self._theirs += 1
        self._make_ready(stream)
        events.append((What.OPENED, stream, None))

    def _widen(self, stream: Stream, more: int) -> None:
        if stream.window + more > MAX_ID:
            raise ProtocolError("window", f"stream {stream.id}: a window of {stream.window} + {more} bytes")
        stream.window += more
        if stream.queued and stream.window and not stream.ready and stream not in self._unopened:
            self._make_ready(stream)

    def _pinged(self, flags: int, number: int, events: list[Event]) -> None:
        if flags & SYN:
            self._reply(frame(Type.PING, ACK, 0, number))
        elif flags & ACK:
            events.append((What.PONG, None, number))

    def _expect_reading(self) -> None:
        if self._replies > self.limits.max_replies:
            raise ProtocolError("flood", f"{self._replies} answers wait, and nobody reads them")

    def _reply(self, answer: bytes) -> None:
        self._replies += 1
        self._control.append(answer)

    def _their_end(self, stream: Stream, events: list[Event]) -> None:
        self._end_behind = False
        stream.their_end = True
        events.append((What.END, stream, None))
        if stream.finished and not stream.ready and not stream.queued:
            self._drop(stream)

    def _relieve(self, events: list[Event]) -> None:
        """Too much is unread: reset the stream with most of it."""
        stream = max(self.streams.values(), key=lambda each: each.unread)
        self.counts["reset"] += 1
        self.reset(stream)
        events.append((What.RESET, stream, "it held too much that nobody read"))

    def _opened_one(self, stream: Stream) -> None:
        """The other side knows of a stream of ours, or never will: another one may be opened."""
        if stream in self._unopened:
            del self._unopened[stream]
            return
        stream.acknowledged = True
        self._unacknowledged -= 1
        if self._unopened:
            self._unacknowledged += 1
            self._make_ready(self._unopened.popitem(last=False)[0])

    def _make_ready(self, stream: Stream) -> None:
        stream.ready = True
        self._ready.append(stream)

    def _lose(self, stream: Stream) -> None:
        """It was reset: nobody will take what is unread."""
        self.unread -= stream.unread
        stream.unread = 0
        self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        del self.streams[stream.id]
        if (stream.id % 2 == 1) != self.client:
            self._theirs -= 1
        elif not stream.acknowledged:
            self._opened_one(stream)
        self._growth += stream.size - INITIAL_WINDOW
        stream.finished = True
        stream.queue = None
        stream.queued = 0
        stream.flags = 0
        if stream.ready:
            stream.ready = False
            self._gone_ready += 1
            if 2 * self._gone_ready > len(self._ready):
                self._ready = deque(each for each in self._ready if each.ready)
                self._gone_ready = 0
