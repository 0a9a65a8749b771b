"""The session service: a client's keys and values, kept under an id that outlives its connection."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import Duration, at_least, option


@frozen
class SessionOptions:
    """What a listener with ``service = "session"`` may say."""

    anonymous: bool = option(False, "Whether sessions may be opened without a login.")
    idle_timeout: Duration = option(
        Duration(120.0),
        "A connection that asks nothing for so long is closed; its session stays.",
        check=at_least(1, "seconds"),
    )
