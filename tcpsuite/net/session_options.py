"""The options of sessions."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.core.attaching.ways import BOUND
from tcpsuite.core.sessions import IDLE_TIMEOUT, MAX_BYTES, MAX_KEYS, MAX_SESSIONS
from tcpsuite.options import Duration, MaybeUpstream, Size, at_least, between, option

ATTACH_TIMEOUT = 120.0
"""Seconds: who changes from one network to another, or starts a program again, is back by then."""


@frozen
class SessionRules:
    """The ``[sessions]`` table: where sessions are kept, how long, and how large they may be."""

    store: str = option(
        "sqlite",
        "Where they are kept: sqlite (they survive a restart), memory, or redis (several machines share "
        "them).",
        choices=("sqlite", "memory", "redis"),
    )
    path: str = option("sessions.db", "The SQLite file.  A relative path is taken from the state directory.")
    idle_timeout: Duration = option(
        Duration(IDLE_TIMEOUT),
        "A session that nobody used for so long is forgotten.",
        check=at_least(1, "seconds"),
    )
    max_age: Duration = option(
        Duration(0.0),
        "A session is forgotten so long after it was opened, however much it is used; 0: never.",
        check=between(0, 31_536_000, "seconds"),
    )
    sweep_interval: Duration = option(
        Duration(60.0),
        "How often forgotten sessions are swept out; at least thrice in an idle_timeout.",
        check=at_least(1, "seconds"),
    )
    max_sessions: int = option(
        MAX_SESSIONS,
        "Sessions at most; past it none is opened until others end.",
        check=between(1, 10_000_000),
    )
    max_per_user: int = option(
        0, "Sessions that one user may have; 0: as many as there may be.", check=between(0, 10_000_000)
    )
    max_keys: int = option(MAX_KEYS, "Keys that one session may hold.", check=between(1, 100_000))
    max_bytes: Size = option(
        Size(MAX_BYTES),
        "Bytes that one session's keys and values may have.",
        check=between(1, 2**28, "bytes"),
    )
    upstream: MaybeUpstream = option(
        MaybeUpstream(""),
        "The upstream to whose servers ATTACH leads, each session by a connection of its own; empty: to "
        "none.",
    )
    attach_timeout: Duration = option(
        Duration(ATTACH_TIMEOUT),
        "An attached connection whose client is gone is kept for it so long, and then reset.",
        check=between(0, 86_400, "seconds"),
    )
    attach_buffer: Size = option(
        Size(BOUND),
        "Bytes that are kept of each way of an attached connection until they have arrived; past it no more "
        "is read.",
        check=between(16 * 1024, 64 * 1024**2, "bytes"),
    )
