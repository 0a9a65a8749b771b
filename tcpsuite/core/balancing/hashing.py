"""The rule that keeps a client on its server."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import ceil, inf, log
from typing import TYPE_CHECKING
from zlib import crc32

from attrs import define
from zope.interface import implementer

from tcpsuite.core.balancing.rated import KNOWN, Rated
from tcpsuite.core.balancing.turns import RoundRobin
from tcpsuite.core.picks import Told
from tcpsuite.interfaces import ILoadBalancer, IReasoned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server

REMEMBERED = 4096
"""Clients whose server is remembered, some 500 KB of them: who comes again is not reckoned again."""
_BITS = 30
"""Of a hash: a product of two is reckoned quickly."""
_MASK = (1 << _BITS) - 1
_MAPPED = "::ffff:"
"""Before the address of an IPv4 client that came to an IPv6 listener: it is the same client."""

OWN = Told("the client's own: its address, hashed with each server's name, wins there")


@define
class Bounded:
    """What each server had, and whose the client is."""

    own: str
    bound: float
    active: Sequence[int]

    def told(self, choice: Choice, picked: str) -> Told:
        """What each might have at most, and whether that moved the client."""
        share = _share(self.bound, self.active, choice.weights)
        most = [ceil(share * weight) for weight in choice.weights]
        rule = f"{OWN.rule}, and is under its bound"
        if picked != self.own:
            rule = f"the next best for its address that is under its bound: its own, {self.own}, is at that"
        given = {"active": self.active, "bound": most}
        return Told(rule, {what: dict(zip(choice.candidates, of, strict=True)) for what, of in given.items()})


@implementer(ILoadBalancer, IReasoned)
class IPHash:
    """Each client on a server of its own, as long as that may be used: rendezvous hashing.

    Every server draws a number for every client, by hashing both; the best number wins.  When a server leaves
    only its own clients move, spread over the others by weight, and when it returns they return; a change of
    weight moves no more than it must.  No state is shared: gateways with the same names of servers agree.

    Clients without an address, those on UNIX sockets, take turns: there is nothing to tell one from another.

    :param chance: not drawn from.
    :param bounded_load: when above 0, at least 1: no server is given a connection that takes it over so many
        times its share of all connections there are, the one to come included, rounded up.  A client whose
        server is at that bound goes to the next best for it.
    """

    def __init__(self, chance: Random, bounded_load: float = 0.0) -> None:
        if bounded_load and not 1 <= bounded_load < inf:
            raise ValueError(f"bounded_load must be 0, or 1 or more, not {bounded_load}")
        self._bound = bounded_load
        self._turns = RoundRobin(chance)
        self._rated = Rated()
        self._even = True
        self._factors: list[int] = []
        self._found: dict[str, Server] = {}

    def __repr__(self) -> str:
        return f"<IPHash bounded_load={self._bound:g} remembered={len(self._found)}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The client's server; ``None`` when none has weight."""
        if not client:
            return self._turns.pick(servers, client, now)
        rated = self._rated
        if rated.changed(servers):
            self._found = {}
            self._factors = [_factor(server.name) for server in rated.servers]
            self._even = len(set(rated.weights)) < 2
        if not rated.servers:
            return None
        server = self._found.get(client)
        if server is None:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            scores = self._scores(client)
            server = self._found[client] = rated.servers[scores.index(max(scores))]
        return self._within_bound(server, client) if self._bound else server

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """The hash, unless the client took turns; with a bound also what each server has."""
        if not client:
            return self._turns.because(servers, client)
        if not self._bound:
            return OWN
        return Bounded(self._found[client].name, self._bound, [server.active for server in servers])

    def _scores(self, client: str) -> list[float]:
        """What each server has drawn for ``client``."""
        # Quick, and even enough: the product with each server's own factor scatters what a checksum does not.
        key = crc32(client.removeprefix(_MAPPED).encode()) & _MASK
        drawn: list[float] = [key * factor & _MASK for factor in self._factors]
        if self._even:
            return drawn
        # The first of several alarm clocks, each set by chance to ring w times a second on average, is one
        # of weight w with the probability of its share.
        return [
            log((number + 0.5) / (_MASK + 1)) / weight
            for number, weight in zip(drawn, self._rated.weights, strict=True)
        ]

    def _within_bound(self, server: Server, client: str) -> Server:
        """``server``, or the next best that one connection more does not take over the bound."""
        servers = self._rated.servers
        most = _share(self._bound, [each.active for each in servers], self._rated.weights)
        if server.active < ceil(most * server.weight):
            return server
        scores = self._scores(client)
        ranked = sorted(range(len(servers)), key=scores.__getitem__, reverse=True)
        under = (servers[each] for each in ranked if servers[each].active < ceil(most * servers[each].weight))
        return next(under, server)


def _share(bound: float, active: Sequence[int], weights: Sequence[float]) -> float:
    """What a server may have at most for each 1 of its weight, the connection to come included."""
    return bound * (sum(active) + 1) / sum(weights)


@lru_cache(KNOWN)
def _factor(name: str) -> int:
    """What a server multiplies by: odd, and the same in every process, and on every machine."""
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") & _MASK | 1
