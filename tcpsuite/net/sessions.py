"""Sessions: a client's state with an id, that outlives its connection."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import Duration, Size, at_least, between, option


@frozen
class SessionsOptions:
    """The ``[sessions]`` table: where sessions are kept, how long, and how large they may be."""

    store: str = option(
        "sqlite",
        "Where they are kept: sqlite (they survive a restart) or memory.",
        choices=("sqlite", "memory"),
    )
    path: str = option("sessions.db", "The SQLite file.  A relative path is taken from the state directory.")
    idle_timeout: Duration = option(
        Duration(1800.0), "A session that nobody used for so long is forgotten.", check=at_least(1, "seconds")
    )
    sweep_interval: Duration = option(
        Duration(60.0), "How often forgotten sessions are swept out.", check=at_least(1, "seconds")
    )
    max_sessions: int = option(
        10_000, "Sessions at most; past it none is opened until others end.", check=between(1, 10_000_000)
    )
    max_keys: int = option(1_000, "Keys that one session may hold.", check=between(1, 100_000))
    max_bytes: Size = option(
        Size(2**20), "Bytes that one session's keys and values may have.", check=between(1, 2**28, "bytes")
    )
