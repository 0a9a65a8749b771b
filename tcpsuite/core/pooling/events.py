"""What a pool tells who observes it: one small record for each thing that happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from tcpsuite.core.pooling.decisions import End


@frozen
class Created:
    """A connection is made."""

    connection: int


@frozen
class Refilled:
    """A connection that was made stays in the pool: nobody was waiting for it.  Comes behind its creation."""

    connection: int


@frozen
class Waiting:
    """Somebody asked for a connection, and there was none to be had at once."""

    holder: str
    """Who it is, in their own words."""
    waiting: int
    """How many wait now."""


@frozen
class Evicted:
    """A connection that nobody had was closed for its age.  Its destruction comes behind."""

    connection: int
    why: End


@frozen
class Leaked:
    """A lease is held for so long that its holder may have forgotten it."""

    connection: int
    holder: str
    seconds: float


@frozen
class Destroyed:
    """A connection is gone."""

    connection: int
    why: End


Event = Created | Refilled | Waiting | Evicted | Leaked | Destroyed
