"""The ``[listener.NAME.mux]`` table: what a listener asks of the connections that carry streams to it."""

from __future__ import annotations

from attrs import evolve, field, frozen

from tcpsuite.core.mux.events import MuxLimits
from tcpsuite.core.mux.frames import INITIAL_WINDOW
from tcpsuite.net.socket_options import HIGH_WATER
from tcpsuite.options import Duration, Size, between, format_size, option

_LIMITS = MuxLimits()
_LARGEST = 2**30
_sizes = between(INITIAL_WINDOW, _LARGEST, f"bytes: yamux begins with {format_size(INITIAL_WINDOW)}")


@frozen
class MuxOptions:
    """How a mux connection behaves; times in seconds."""

    ping_interval: float = 15.0
    ping_jitter: float = 0.2
    """By so much of itself an interval varies: thousands of connections do not ping together."""
    pings_missed: int = 3
    """So many unanswered, without any other traffic, and the connection is lost."""
    write_timeout: float = 10.0
    """Bytes wait, and none leave for so long: the connection is lost, and all on it."""
    open_timeout: float = 75.0
    """A stream that the other side has not accepted for so long is reset."""
    close_timeout: float = 300.0
    """A stream that is closed here, and not there for so long, is reset."""
    idle_timeout: float = 0.0
    """A connection of ours without a stream, on which none was opened for so long, goes away; 0: never."""
    high_water: int = HIGH_WATER
    """Bytes queued on a stream past which who produces them is told to wait."""
    limits: MuxLimits = field(factory=MuxLimits)


@frozen
class MuxTable:
    """What a listener asks of each connection that carries streams."""

    max_streams: int = option(
        _LIMITS.max_streams,
        "Streams that a peer may have open on one connection; a further one is reset.",
        check=between(1, 1_000_000),
    )
    max_window: Size = option(
        Size(_LIMITS.max_window),
        "What is kept of one stream until it is read, at most: it begins with 256KiB, and grows while its "
        "reader keeps up.",
        check=_sizes,
    )
    max_unread: Size = option(
        Size(_LIMITS.max_unread),
        "What is kept of all streams of one connection; past half of it none is accepted and no window "
        "grows, past it the one with most is reset.",
        check=_sizes,
    )
    ping_interval: Duration = option(
        Duration(15.0),
        "A peer is asked for a sign of life every so often, give or take a fifth.",
        check=between(1, 3600, "seconds"),
    )
    pings_missed: int = option(
        3,
        "After so many without an answer or any other byte the connection is given up.",
        check=between(1, 100),
    )
    write_timeout: Duration = option(
        Duration(10.0),
        "When bytes wait for a peer and none leave for so long, the connection is given up.",
        check=between(1, 3600, "seconds"),
    )
    close_timeout: Duration = option(
        Duration(300.0),
        "A stream that is closed here, and that the peer does not end for so long, is reset.",
        check=between(1, 86_400, "seconds"),
    )

    def settings(self, high_water: int) -> MuxOptions:
        """The same for :class:`~tcpsuite.net.mux.connection.MuxConnection`.

        :param high_water: bytes queued on a stream past which who produces them is told to wait.
        """
        return MuxOptions(
            ping_interval=self.ping_interval,
            pings_missed=self.pings_missed,
            write_timeout=self.write_timeout,
            close_timeout=self.close_timeout,
            high_water=high_water,
            limits=evolve(
                _LIMITS,
                max_streams=self.max_streams,
                max_window=self.max_window,
                max_unread=self.max_unread,
            ),
        )
