"""Which servers may be picked for a client now, and why the others may not.

A :class:`Choice` is what the record of a connection keeps of it; most connections share one, for it changes
only when a server does.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.core.servers import Administration

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tcpsuite.core.servers import Server


class Why(Enum):
    """Why a server was left out."""

    MAINT = "maint"  # an operator has taken it out
    DRAINING = "draining"  # an operator lets it run empty
    DOWN = "down"  # its health checks say so
    EJECTED = "ejected"  # connections to it failed too often
    NO_WEIGHT = "no_weight"  # its weight is 0
    FULL = "full"  # it has as many connections as it takes
    BACKUP = "backup"  # others that come before it may be used, or will be when they have room
    TRIED = "tried"  # it failed for this client a moment ago


@frozen
class LeftOut:
    """A server that was no candidate."""

    server: str
    why: Why


@frozen
class Choice:
    """What there was to choose from: the names of the candidates, and who was left out."""

    candidates: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    slow: tuple[str, ...] = ()
    """Those of the candidates whose share a slow start lowers."""
    weights: tuple[float, ...] = ()
    """Those of the candidates, in their order."""

    @property
    def nobody(self) -> str:
        """How many were left out for each reason, in words: ``2 down, 1 draining``."""
        reasons = Counter(each.why.value.replace("_", " ") for each in self.left_out)
        return ", ".join(f"{number} {why}" for why, number in reasons.items()) or "none left out"


def why_not(server: Server) -> Why | None:
    """Why ``server`` takes no new connection, whoever comes; ``None`` when it takes them."""
    match server.administration:
        case Administration.MAINT:
            return Why.MAINT
        case Administration.DRAIN:
            return Why.DRAINING
    if not server.up:
        return Why.DOWN
    if server.ejected:
        return Why.EJECTED
    if not server.weight:
        return Why.NO_WEIGHT
    if server.full:
        return Why.FULL
    return None


def candidates(servers: Sequence[Server], tried: Collection[Server] = ()) -> list[Server]:
    """Those of ``servers`` that may be picked: all that take connections and were not tried, backups aside;
    if there is none, the first backup that does.

    While another server is merely full there is none: a backup may be able to do less, and is not for peaks.
    """
    backups: list[Server] = []
    found: list[Server] = []
    full = False
    for server in servers:
        why = why_not(server)
        if server in tried:
            continue
        if why is None:
            (backups if server.backup else found).append(server)
        elif why is Why.FULL and not server.backup:
            full = True
    return found or ([] if full else backups[:1])


def choice(
    servers: Sequence[Server],
    picked_from: Sequence[Server],
    tried: Collection[Server] = (),
    slow: Collection[Server] = (),
) -> Choice:
    """What is to be remembered of a pick among ``picked_from``, the :func:`candidates` of ``servers``."""
    return Choice(
        tuple(server.name for server in picked_from),
        tuple(
            LeftOut(server.name, Why.TRIED if server in tried else why_not(server) or Why.BACKUP)
            for server in servers
            if server not in picked_from
        ),
        tuple(server.name for server in picked_from if server in slow),
        tuple(server.weight for server in picked_from),
    )
