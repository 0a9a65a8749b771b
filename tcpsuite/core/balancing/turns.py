"""Rules that go by the order of the servers."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

from zope.interface import implementer

from tcpsuite.core.balancing.rated import Rated, Untold
from tcpsuite.interfaces import ILoadBalancer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tcpsuite.core.servers import Server


@implementer(ILoadBalancer)
class RoundRobin(Untold):
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
        self._rated = Rated()
        self._earned: list[float] = []
        self._total: float = 0
        self._put_by: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<RoundRobin {self._put_by | self._purses(self._rated.servers)}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The server whose turn it is; ``None`` when none has weight."""
        rated, before = self._rated, self._rated.servers
        if rated.changed(servers):
            self._put_by |= self._purses(before)
            self._earned = [self._put_by.get(server.name, 0) for server in rated.servers]
            self._total = sum(rated.weights)
        if not rated.servers:
            return None
        earned = self._earned = list(map(add, self._earned, rated.weights))
        richest = earned.index(max(earned))
        earned[richest] -= self._total
        return rated.servers[richest]

    def _purses(self, servers: Sequence[Server]) -> dict[str, float]:
        """What each of those that have taken turns so far has earned."""
        return {server.name: earned for server, earned in zip(servers, self._earned, strict=True)}


@implementer(ILoadBalancer)
class First(Untold):
    """The first server, up to its ``max_connections``; then the next: few servers are kept busy, the others
    may sleep.

    Among servers without ``max_connections`` that is the first one, always.

    :param chance: not drawn from.
    """

    def __repr__(self) -> str:
        return "<First>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The first that has weight and room; ``None`` when none has."""
        for server in servers:
            if server.weight > 0 and not server.full:
                return server
        return None
