"""What a pool's state decides: one small record for each thing to do."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class End(Enum):
    """Why a pool gives a connection up; the words are those of its statistics, behind ``closed_``."""

    AGED = "aged"  # it was kept warm, and nobody took it
    MAX_IDLE = "max_idle"  # it was idle for a while, and there are more than the minimum
    IDLE_TIME = "idle_time"  # it was idle for so long that it is not trusted any more
    LIFETIME = "lifetime"
    USES = "uses"
    ERRORS = "errors"  # in a row, or in too large a share of its uses
    RELEASED = "released"  # whoever had it says that nobody else may
    NOT_VALID = "not_valid"
    NOT_RESET = "not_reset"
    LOST = "lost"  # the server ended it, or spoke though nobody had asked
    SHED = "shed"  # memory was short, and there are more than the minimum
    UNWANTED = "unwanted"  # whoever wanted it has left, or the pool was closed


EVICTIONS = frozenset({End.AGED, End.MAX_IDLE, End.IDLE_TIME, End.LIFETIME})
"""The ends that time alone brings."""


class Refusal(Enum):
    """What kind of answer a taker gets that gets no connection."""

    FAILED = "failed"  # it could not be made
    SHORTAGE = "shortage"  # it could not be made for want of something here: no server's fault
    EXHAUSTED = "exhausted"  # there was none to be had in time
    CLOSED = "closed"  # the pool is


@frozen
class Connect:
    """Begin to make this connection; say ``connected`` or ``failed`` when it is known."""

    connection: int


@frozen
class Lease:
    """Give this connection to this taker."""

    taker: int
    connection: int


@frozen
class Validate:
    """Ask this connection whether it works; say ``answered``."""

    connection: int


@frozen
class Reset:
    """Clean this connection for its next taker; say ``answered``."""

    connection: int


@frozen
class Close:
    """Give this connection up, made or still being made."""

    connection: int
    why: End


@frozen
class Reject:
    """Tell this taker that it gets none, and why."""

    taker: int
    why: str
    refusal: Refusal = Refusal.FAILED


@frozen
class Warn:
    """Say that this connection is leased for long: whoever has it may have forgotten it."""

    connection: int
    seconds: float


Decision = Connect | Lease | Validate | Reset | Close | Reject | Warn
