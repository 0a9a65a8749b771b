"""Rules that draw lots."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING

from zope.interface import implementer

from tcpsuite.core.balancing.load import Loads
from tcpsuite.core.balancing.rated import Rated
from tcpsuite.core.picks import Told
from tcpsuite.core.slow_start import Allowance
from tcpsuite.interfaces import ILoadBalancer, IReasoned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server

LOT = Told("one by lot, each as likely as its weight says")
ALONE = Told("there was no other to draw")
LESS = "of two drawn by lot, each as likely as its weight says, that of less load, (active + 1) / weight"


class _Lots:
    """Each server has a stretch of a line, as long as its weight; a lot is a point on the line."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._rated = Rated()
        self._ends: list[float] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def _among(self, servers: Sequence[Server]) -> int:
        """Lay the line out; how many servers have a stretch of it."""
        if self._rated.changed(servers):
            self._ends = list(accumulate(self._rated.weights))
        return len(self._ends)


@implementer(ILoadBalancer, IReasoned)
class RandomChoice(_Lots):
    """One of the servers by lot, each as likely as its weight says."""

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """Who was drawn; ``None`` when none has weight."""
        among = self._among(servers)
        if not among:
            return None
        ends = self._ends
        return self._rated.servers[bisect(ends, self._chance.random() * ends[-1], 0, among - 1)]

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """The weights are all that counts."""
        return LOT


@implementer(ILoadBalancer, IReasoned)
class PowerOfTwo(_Lots):
    """Of two different servers that are drawn by lot, each as likely as its weight says, the one that has
    fewer connections for its weight: the less ``(active + 1) / weight``.

    Nearly as even as :class:`~tcpsuite.core.balancing.LeastConnections`; but when several gateways balance
    over the same servers, they do not all run to the one that looks idle.  In a slow start a server gets at
    least its :class:`~tcpsuite.core.slow_start.Allowance`.
    """

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._allowance = Allowance()
        self._drawn: Sequence[Server] = ()

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The less loaded of the two; of equals the one drawn first.  ``None`` when none has weight."""
        among = self._among(servers)
        rated, ends, weights = self._rated.servers, self._ends, self._rated.weights
        if among < 2:
            self._drawn = rated
            return rated[0] if among else None
        if due := self._allowance.due(servers):
            weights = [
                weight / server.share if server in due else weight
                for server, weight in zip(rated, weights, strict=True)
            ]
            ends = list(accumulate(weights))
        last = among - 1
        first = bisect(ends, self._chance.random() * ends[last], 0, last)
        # The second lot falls on the line without the first one's stretch.
        weight = weights[first]
        begin = ends[first] - weight
        point = self._chance.random() * (ends[last] - weight)
        if point < begin:
            second = bisect(ends, point, 0, first - 1)
        else:
            second = bisect(ends, point + weight, first + 1, last)
        one, other = self._drawn = rated[first], rated[second]
        # Fractions compared crosswise: with whole weights a tie is a tie.
        picked = other if (other.active + 1) * weight < (one.active + 1) * weights[second] else one
        self._allowance.note(picked)
        return picked

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """What the two have to do; the first to be drawn comes first."""
        if len(self._drawn) < 2:
            return ALONE
        one, other = self._drawn
        parts = self._allowance.parts()
        return Loads(LESS, (one.active, other.active), parts, (one.name, other.name))
