"""The session service: a client's keys and values, kept under an id that outlives its connection."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import option


@frozen
class SessionOptions:
    """What a listener with ``service = "session"`` may say."""

    anonymous: bool = option(False, "Whether sessions may be opened without a login.")
