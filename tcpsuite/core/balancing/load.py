"""Rules that look for the server with the least to do."""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TYPE_CHECKING

from attrs import define
from zope.interface import implementer

from tcpsuite.core.balancing.rated import forget_oldest
from tcpsuite.core.picks import Told
from tcpsuite.core.slow_start import Allowance
from tcpsuite.interfaces import ILoadBalancer, IReasoned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server

RULE = "the least load, (active + 1) / weight; of equals the one that was picked longest ago"


class Turns:
    """Who was picked longest ago.

    A rule that keeps its servers in that order, and moves who is picked to the end, makes a round robin of
    those between whom it sees no difference; whoever is away keeps its place.

    :ivar seen: those that were looked at last.
    """

    def __init__(self) -> None:
        self.seen: tuple[Server, ...] = ()
        self._picked: dict[str, int] = {}
        self._picks = count(1)

    def changed(self, servers: Sequence[Server]) -> bool:
        """Look at ``servers``: whether they are others than the last time."""
        seen = tuple(servers)
        if seen == self.seen:
            return False
        self.seen = seen
        forget_oldest(self._picked, float)
        return True

    def order(self) -> list[Server]:
        """Those that were looked at last: first who was picked longest ago, or never."""
        return sorted(self.seen, key=lambda server: self._picked.get(server.name, 0))

    def note(self, server: Server) -> None:
        """``server`` is picked."""
        self._picked[server.name] = next(self._picks)


@define
class Loads:
    """What servers had to do: all, in their order, or those named.

    :ivar parts: of those that were due the pick in a slow start, what that left them of their weight.
    """

    rule: str
    active: Sequence[int]
    parts: Mapping[str, float]
    names: Sequence[str] = ()

    def told(self, choice: Choice, picked: str) -> Told:
        """What each had to do for its weight."""
        active = dict(zip(self.names or choice.candidates, self.active, strict=True))
        weights = dict(zip(choice.candidates, choice.weights, strict=True))
        load = {
            name: (number + 1) / weights[name] * self.parts.get(name, 1) for name, number in active.items()
        }
        return Told(self.rule + in_a_slow_start(self.parts), {"active": active, "load": load})


def in_a_slow_start(names: Iterable[str]) -> str:
    """What the end of a rule says of those that were due the pick."""
    due = ", ".join(names)
    return f"; due one in its slow start, and counted with the whole weight: {due}" if due else ""


@implementer(ILoadBalancer, IReasoned)
class LeastConnections:
    """The server with the fewest connections for its weight: the least ``(active + 1) / weight``.

    The connection to come is counted, so that weights tell among idle servers: a greater one is filled first.
    Those with equally few take turns: the one that was picked longest ago.  In a slow start a server gets at
    least its :class:`~tcpsuite.core.slow_start.Allowance`.

    :param chance: not drawn from.
    """

    def __init__(self, chance: Random) -> None:
        self._turns = Turns()
        self._allowance = Allowance()
        self._order: list[Server] = []

    def __repr__(self) -> str:
        return f"<LeastConnections {[server.name for server in self._order]}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The server with the most room; ``None`` when none has weight."""
        if self._turns.changed(servers):
            self._order = self._turns.order()
        order = self._order
        # With whole weights equal fractions are equal floats: a tie is a tie.
        try:
            loads = [(server.active + 1) / server.weight for server in order]
        except ZeroDivisionError:  # which no upstream passes: so to look out for it may not cost each pick
            loads = [(server.active + 1) / server.weight if server.weight else inf for server in order]
        for due in self._allowance.due(servers):
            loads[order.index(due)] *= due.share
        least = min(loads, default=inf)
        if least == inf:
            return None
        picked = order.pop(loads.index(least))
        order.append(picked)
        self._turns.note(picked)
        self._allowance.note(picked)
        return picked

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """What each server has to do."""
        return Loads(RULE, [server.active for server in servers], self._allowance.parts())
