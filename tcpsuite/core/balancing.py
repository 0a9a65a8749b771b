"""The rules that pick a server for each new connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from tcpsuite.interfaces import ILoadBalancer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import Outcome


class _Balancer:
    """What the rules below share: they need no chance, and learn nothing from what became of a pick."""

    def __init__(self, chance: Random) -> None:
        pass

    def started(self, server: Server, now: float) -> None:
        """Nothing to note: ``server.active`` says it."""

    def connected(self, server: Server, outcome: Outcome, now: float) -> None:
        """Nothing to note."""

    def finished(self, server: Server, outcome: Outcome, now: float) -> None:
        """Nothing to note."""


@implementer(ILoadBalancer)
class RoundRobin(_Balancer):
    """The servers in turn, each as often as its weight says, its turns spread as evenly as can be.

    Each server that may be picked earns its weight; the richest is picked, and pays what all of them earned.
    With the same servers from the start, as many picks in a row as the sum of their weights, wherever one
    begins to count, give each exactly its weight.

    A server that may not be picked for a while neither earns nor pays: it comes back where it was, and is not
    made up to for the time away.  So a client's second attempt, which is a pick without the server that
    failed, takes nobody else's turn.

    :param chance: not drawn from: the first pick is the first server of the greatest weight.
    """

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._earned: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<RoundRobin {self._earned}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The server whose turn it is; ``None`` when none has weight."""
        earned = self._earned
        richest = None
        most: float = 0
        total: float = 0
        for server in servers:
            weight = server.weight
            if weight > 0:
                name = server.name
                mine = earned[name] = earned.get(name, 0) + weight
                total += weight
                if richest is None or mine > most:
                    richest, most = server, mine
        if richest is not None:
            earned[richest.name] = most - total
        return richest


@implementer(ILoadBalancer)
class LeastConnections(_Balancer):
    """The server with the fewest connections for its weight: the least ``(active + 1) / weight``.

    The connection to come is counted, so that weights tell among idle servers: a greater one is filled first.
    Those with equally few take turns, by :class:`RoundRobin`.

    :param chance: not drawn from.
    """

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._turns = RoundRobin(chance)

    def __repr__(self) -> str:
        return f"<LeastConnections {self._turns}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The server with the most room; ``None`` when none has weight."""
        fewest: list[Server] = []
        load: float = 1
        share: float = 0
        for server in servers:
            weight = server.weight
            if weight > 0:
                # Fractions compared crosswise, in whole numbers: a tie is a tie.
                mine, least = (server.active + 1) * share, load * weight
                if mine < least or not fewest:
                    fewest, load, share = [server], server.active + 1, weight
                elif mine == least:
                    fewest.append(server)
        return fewest[0] if len(fewest) == 1 else self._turns.pick(fewest, client, now)


STRATEGIES: Mapping[str, Callable[[Random], ILoadBalancer]] = {
    "round_robin": RoundRobin,
    "least_connections": LeastConnections,
}
"""The built-in balancers, by their names in the configuration."""
