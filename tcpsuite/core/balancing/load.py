"""Rules that look for the server with the least to do."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from zope.interface import implementer

from tcpsuite.core.balancing.rated import Untold
from tcpsuite.interfaces import ILoadBalancer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tcpsuite.core.servers import Server


class Waiting:
    """Servers in the order in which they wait for a pick: who was picked longest ago stands first.

    Among equals, the first in this order is the next of a round robin; whoever is away keeps its place.
    """

    def __init__(self) -> None:
        self.order: list[Server] = []
        self._seen: tuple[Server, ...] = ()
        self._places: dict[str, int] = {}
        self._picks = 0

    def changed(self, servers: Sequence[Server]) -> bool:
        """Let these wait, and no others; whether they are others than the last time."""
        seen = tuple(servers)
        if seen == self._seen:
            return False
        self._seen = seen
        self.order = sorted(servers, key=lambda server: self._places.get(server.name, 0))
        return True

    def take(self, place: int) -> Server:
        """Who stands at that place was picked, and is the last now."""
        server = self.order.pop(place)
        self.order.append(server)
        self._picks += 1
        self._places[server.name] = self._picks
        return server


@implementer(ILoadBalancer)
class LeastConnections(Untold):
    """The server with the fewest connections for its weight: the least ``(active + 1) / weight``.

    The connection to come is counted, so that weights tell among idle servers: a greater one is filled first.
    Those with equally few take turns: the one that was picked longest ago.

    :param chance: not drawn from.
    """

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._waiting = Waiting()

    def __repr__(self) -> str:
        return f"<LeastConnections {[server.name for server in self._waiting.order]}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The server with the most room; ``None`` when none has weight."""
        waiting = self._waiting
        waiting.changed(servers)
        order = waiting.order
        # With whole weights equal fractions are equal floats: a tie is a tie.
        try:
            loads = [(server.active + 1) / server.weight for server in order]
        except ZeroDivisionError:  # which no upstream passes: so to look out for it may not cost each pick
            loads = [(server.active + 1) / server.weight if server.weight else inf for server in order]
        least = min(loads, default=inf)
        return waiting.take(loads.index(least)) if least < inf else None
