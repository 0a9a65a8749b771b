"""What a pool's state decides: one small record for each thing to do."""

from __future__ import annotations

from attrs import frozen


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
class Close:
    """Give this connection up, made or still being made."""

    connection: int


@frozen
class Reject:
    """Tell this taker that it gets none, and why."""

    taker: int
    why: str


Decision = Connect | Lease | Close | Reject
