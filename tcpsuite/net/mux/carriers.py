"""The connections of one place that carry streams, and what those that are gone add up to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.net.mux.connection import MuxConnection

FLUSH_TIME = 1.0
"""Seconds that a connection has at least to send what is left, before it is cut."""
EVENTS = ("skipped", "refused", "reset")
"""What is counted of each connection: frames for streams that are gone, streams that were refused, and
streams that were reset because they held too much."""
LISTED = 100
"""Connections that are told of one by one, the oldest."""


class Carriers:
    """What there is, in the order in which it came.

    :param clock: an ``IReactorTime``.
    :ivar made: how many there have been.
    """

    def __init__(self, clock: Any) -> None:
        self.made = 0
        self._clock = clock
        self._open: dict[MuxConnection, float] = {}
        self._past: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._waiting: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<Carriers open={len(self._open)} made={self.made}>"

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[MuxConnection]:
        """Those that are open; safe while some of them end."""
        return iter(tuple(self._open))

    def __contains__(self, connection: object) -> bool:
        return connection in self._open

    def add(self, connection: MuxConnection) -> None:
        """One more."""
        self.made += 1
        self._open[connection] = self._clock.seconds()

    def lost(self, connection: MuxConnection) -> None:
        """One is gone."""
        if self._open.pop(connection, None) is None:
            return
        self._past.update(connection.mux.counts)
        self._lost[connection.cause or "closed"] += 1
        if not self._open:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def end(self, seconds: float = 0.0) -> Deferred[None]:
        """Close all of them behind what is left to be sent, streams or not, and cut those that take longer
        than so many seconds.  Fires when none is open.
        """
        for connection in self:
            connection.end()
        gone = self.when_empty()
        if not gone.called:
            late = self._clock.callLater(max(FLUSH_TIME, seconds), self.cut)
            gone.addCallback(lambda _: late.cancel() if late.active() else None)
        return gone

    def cut(self) -> None:
        """Reset all of them."""
        for connection in self:
            connection.abort("it took too long to end", "cut")

    def when_empty(self) -> Deferred[None]:
        """Fires when none is open, at once if that is so."""
        if not self._open:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        return deferred

    def status(self) -> dict[str, Any]:
        """What there is to know now, as plain data: of all together, and of the oldest one by one.

        ``round_trip`` is the longest of them all, in seconds, each being the least that was measured;
        ``None`` while none was.  ``events`` and ``lost``, by the cause, are of those that are gone too.
        """
        now = self._clock.seconds()
        events = Counter(dict.fromkeys(EVENTS, 0)) + self._past
        for connection in self._open:
            events.update(connection.mux.counts)
        return {
            "open": len(self._open),
            "made": self.made,
            "streams": sum(len(each.mux.streams) for each in self._open),
            "unread": sum(each.mux.unread for each in self._open),
            "round_trip": max((each.mux.round_trip for each in self._open), default=0.0) or None,
            "events": {event: events[event] for event in EVENTS},
            "lost": dict(self._lost),
            "connections": [
                {"seconds": round(now - since, 3), **each.status()}
                for each, since in list(self._open.items())[:LISTED]
            ],
        }
