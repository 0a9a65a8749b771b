"""What a session manager tells who observes it: one small record for each thing that happened.

A session is named by its digest, which opens nothing.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Opened:
    """A session is stored."""

    digest: bytes
    user: str


@frozen
class Resumed:
    """Somebody goes on with a session."""

    digest: bytes
    user: str


@frozen
class Left:
    """The last connection of this process that had a session has left it: its idle time begins."""

    digest: bytes
    user: str


@frozen
class Destroyed:
    """A session is forgotten, since somebody who had it wanted that."""

    digest: bytes
    user: str


@frozen
class Expired:
    """Sessions were swept out."""

    sessions: int


@frozen
class Refused:
    """Somebody was given no session."""

    user: str
    code: str
    """As the answer has it: ``full``, ``no-session``, ``user``."""


Event = Opened | Resumed | Left | Destroyed | Expired | Refused
