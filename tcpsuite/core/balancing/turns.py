"""Rules that go by the order of the servers."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

from attrs import define
from zope.interface import implementer

from tcpsuite.core.balancing.rated import KNOWN, Rated
from tcpsuite.core.picks import Told
from tcpsuite.interfaces import ILoadBalancer, IReasoned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server

FIRST = Told("the first that has weight and room")


@define
class Earned:
    """What each server had when one had paid for its turn."""

    left: Sequence[float]

    def told(self, choice: Choice, picked: str) -> Told:
        """What each had before."""
        earned = dict(zip(choice.candidates, self.left, strict=True))
        earned[picked] += sum(choice.weights)
        return Told(
            "the one that had earned most; at each pick all earn their weight, and one pays for it",
            {"earned": earned},
        )


@implementer(ILoadBalancer, IReasoned)
class RoundRobin:
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
        self._rated = Rated()
        self._earned: list[float] = []
        self._total: float = 0
        # Those who are away; who has been for longest comes first.
        self._put_by: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<RoundRobin {self._put_by | dict(self._purses(self._rated.servers))}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The server whose turn it is; ``None`` when none has weight."""
        rated, before = self._rated, self._rated.servers
        if rated.changed(servers):
            self._change(before, rated.servers)
            self._total = sum(rated.weights)
        if not rated.servers:
            return None
        # A new list each time, so that a record may keep the last one.
        earned = self._earned = list(map(add, self._earned, rated.weights))
        richest = earned.index(max(earned))
        earned[richest] -= self._total
        return rated.servers[richest]

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """What each had earned."""
        return Earned(self._earned)

    def _change(self, before: Sequence[Server], after: Sequence[Server]) -> None:
        """Others take turns: put by what those have earned who go, for when they come back."""
        put_by = self._put_by
        put_by.update(self._purses(before))
        self._earned = [put_by.pop(server.name, 0) for server in after]
        while len(put_by) > KNOWN:
            del put_by[next(iter(put_by))]

    def _purses(self, servers: Sequence[Server]) -> Iterable[tuple[str, float]]:
        """What each of those that have taken turns so far has earned."""
        return ((server.name, earned) for server, earned in zip(servers, self._earned, strict=True))


@implementer(ILoadBalancer, IReasoned)
class First:
    """The first server, up to its ``max_connections``; then the next: few servers are kept busy, the others
    may sleep.

    Among servers without ``max_connections`` that is the first one, always.

    :param chance: not drawn from.
    """

    def __init__(self, chance: Random) -> None:
        pass

    def __repr__(self) -> str:
        return "<First>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The first that has weight and room; ``None`` when none has."""
        for server in servers:
            if server.weight > 0 and not server.full:
                return server
        return None

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """The order of the servers is all that counts."""
        return FIRST
