"""Two muxes and the wire between them, and frames written by hand."""

from __future__ import annotations

from tcpsuite.core.mux.events import Event, MuxLimits, What
from tcpsuite.core.mux.frames import HEADER, HEADER_SIZE
from tcpsuite.core.mux.mux import Mux
from tcpsuite.core.mux.stream import Stream

DATA, WINDOW, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


def sent(mux: Mux, limit: int = 1 << 20) -> bytes:
    """All that it would send now."""
    return b"".join(mux.take(limit))


def frames(data: bytes) -> list[tuple[int, int, int, int, bytes]]:
    """Type, flags, stream, length and payload of each frame in ``data``."""
    found, at = [], 0
    while at < len(data):
        _, kind, flags, number, length = HEADER.unpack_from(data, at)
        at += HEADER_SIZE
        payload = data[at : at + length] if kind == DATA else b""
        at += len(payload)
        found.append((kind, flags, number, length, payload))
    return found


def wire(
    kind: int, flags: int, number: int, length: int = 0, payload: bytes = b"", version: int = 0
) -> bytes:
    """One frame; the length is the payload's, if there is one."""
    return HEADER.pack(version, kind, flags, number, len(payload) or length) + payload


class Side:
    """One side: its mux, and what happened at it."""

    def __init__(self, client: bool, limits: MuxLimits | None = None) -> None:
        self.mux = Mux(client, limits)
        self.events: list[Event] = []
        self.read: dict[int, bytearray] = {}
        self.now = 0.0

    def receive(self, data: bytes, take: bool = True) -> list[Event]:
        """Bytes arrive; unless told not to, it takes what they bring."""
        events = self.mux.receive(data, self.now)
        self.events += events
        for what, stream, payload in events:
            if what is What.DATA:
                assert stream is not None
                self.read.setdefault(stream.id, bytearray()).extend(payload)
                if take:
                    self.mux.took(stream, len(payload))
        return events

    def told(self, what: What) -> list[Stream | None]:
        """The streams of which ``what`` was told."""
        return [stream for each, stream, _ in self.events if each is what]


def settle(one: Side, other: Side) -> None:
    """Carry bytes both ways until nothing is left to say."""
    while one.mux.has_work or other.mux.has_work:
        other.receive(sent(one.mux))
        one.receive(sent(other.mux))
