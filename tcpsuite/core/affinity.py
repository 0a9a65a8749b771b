"""Which server each client had last, and how long that holds.

A :class:`StickTable` remembers it; an :class:`Affinity` is asked in the place of a balancer, and asks that
one only for clients of which nothing is remembered, or whose server may not be picked now.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from attrs import define, field
from zope.interface import implementer

from tcpsuite.core.picks import Told
from tcpsuite.interfaces import ILoadBalancer, IReasoned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server

TIMEOUT = 1800.0
"""Seconds: who has gone for lunch may find another server, who reads a long page does not."""
ENTRIES = 100_000
"""Clients, about 30 MB of them."""
LOOKS = 4
"""Clients that are passed over for one without a connection, when one must be forgotten."""
STALE = 2
"""Clients whose time is over that are forgotten with each new one, if there are some: more than come."""
SWEEP = 1000
"""Clients whose time is over that are forgotten when somebody looks: a quarter of a millisecond's work."""
_MAPPED = "::ffff:"
"""Before the address of an IPv4 client that came to an IPv6 listener: it is the same client."""


@define(eq=False, weakref_slot=False)
class Place:
    """Where a client is at home."""

    key: str
    """The client."""
    server: str
    """The name of its server."""
    used: float
    """When it was last led there, or a connection of it ended."""
    open: int = 0
    """Its connections now: while it has one, its time is not over."""


class StickTable:
    """The server that each client had last, for a bounded number of clients and a bounded time.

    Everything takes the same time however many there are.  Servers are names: one that is gone needs not be
    taken out.

    :param timeout: seconds after its last use in which a client is forgotten.
    :param most: clients at once.  Past it the one that was not used for longest is forgotten, and one that
        has a connection only when all those around it have one too.
    """

    def __init__(self, timeout: float = TIMEOUT, most: int = ENTRIES) -> None:
        self.timeout = timeout
        self.most = most
        self._places: OrderedDict[str, Place] = OrderedDict()  # in the order of their last use

    def __repr__(self) -> str:
        return f"<StickTable {len(self)} of {self.most}>"

    def __len__(self) -> int:
        return len(self._places)

    def find(self, key: str, now: float) -> Place | None:
        """Where ``key`` is at home; ``None`` when that is not known, or has been too long ago."""
        place = self._places.get(key)
        if place is None or (now - place.used >= self.timeout and not place.open):
            return None
        return place

    def lead(self, key: str, server: str, now: float) -> Place:
        """``key`` is led to ``server``, and is at home there from now on."""
        place = self._places.get(key)
        if place is None:
            self.expire(now, STALE)
            if len(self._places) >= self.most:
                self._make_room(now)
            place = self._places[key] = Place(key, server, now)
            return place
        self.keep(place, server, now)
        return place

    def keep(self, place: Place, server: str, now: float) -> None:
        """The client of ``place``, which has just been found, is led to ``server``."""
        place.server, place.used = server, now
        self._places.move_to_end(place.key)

    def leave(self, place: Place, now: float) -> None:
        """A connection is over that ``place`` has counted as open."""
        place.open -= 1
        if self._places.get(place.key) is place:
            place.used = now
            self._places.move_to_end(place.key)

    def expire(self, now: float, most: int) -> bool:
        """Forget those whose time is over; ``most`` are looked at.  Whether there may be more."""
        for _ in range(most):
            oldest = next(iter(self._places.values()), None)
            if oldest is None or now - oldest.used < self.timeout:
                return False
            self._pass_over_or_forget(oldest, now)
        return True

    def forget(self, key: str) -> bool:
        """Forget one client; whether it was known."""
        return self._places.pop(key, None) is not None

    def clear(self) -> int:
        """Forget all clients; how many were known."""
        number = len(self._places)
        self._places = OrderedDict()
        return number

    def places(self) -> list[Place]:
        """All of them at this moment, in no order, some of which may be over."""
        # The values of an OrderedDict in their order take 30 times as long, and 10 ms are too many.
        return list(dict.values(self._places))

    def restore(self, places: Iterable[Place], now: float) -> None:
        """Remember what was remembered once; of too many, and of what is over, nothing."""
        known = sorted(places, key=lambda place: place.used)[-self.most :]
        self._places = OrderedDict((place.key, place) for place in known if now - place.used < self.timeout)

    def _make_room(self, now: float) -> None:
        for _ in range(LOOKS):
            if not self._pass_over_or_forget(next(iter(self._places.values())), now):
                return
        self._places.popitem(last=False)

    def _pass_over_or_forget(self, oldest: Place, now: float) -> bool:
        """Whether it has a connection, and so is in use now."""
        if not oldest.open:
            del self._places[oldest.key]
            return False
        oldest.used = now
        self._places.move_to_end(oldest.key)
        return True


KEPT = Told("not asked: affinity keeps a client where its earlier connections are")


@define
class Moved:
    """A client was not kept on its own server, and why this one was picked instead."""

    own: str
    basis: Basis | None

    def told(self, choice: Choice, picked: str) -> Told:
        """What the balancer says, behind why it was asked."""
        inner = Told("") if self.basis is None else self.basis.told(choice, picked)
        moved = f"affinity with {self.own} is broken, {_why_moved(choice, self.own).replace('_', ' ')}"
        return Told(f"{moved}; {inner.rule or 'it does not say why this one'}", inner.figures)


@implementer(ILoadBalancer, IReasoned)
@define(eq=False, repr=False)
class Affinity:
    """Asked in the place of a balancer: each client goes where it went before, as long as that may be picked.

    A client is an IP address, of whatever length.  Those on UNIX sockets have none: the balancer alone is
    asked.  Who asks it says by :meth:`led` where the client is led to, and counts its connection in
    ``Place.open`` from when it is made until ``table.leave``.

    :param table: where clients are remembered.
    :param balancer: picks for those of which nothing is known.
    :ivar picks: how many clients were ``kept``, ``new``, or moved from their server, by the word for why.
    """

    table: StickTable
    balancer: ILoadBalancer
    picks: Counter[str] = field(factory=Counter, init=False)
    _reasoner: IReasoned | None = field(init=False)
    _servers: Sequence[Server] = field(default=(), init=False)
    _by_name: dict[str, Server] = field(factory=dict, init=False)
    _place: Place | None = field(default=None, init=False)
    _own: str = field(default="", init=False)
    _kept: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._reasoner = IReasoned(self.balancer, None)

    def __repr__(self) -> str:
        return f"<Affinity before {self.balancer!r} {self.table!r}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The client's own server, else the balancer's."""
        place = self._place = self.table.find(key_of(client), now) if client else None
        if place is None:
            self._own, self._kept = "", False
            return self.balancer.pick(servers, client, now)
        if servers is not self._servers:
            self._servers, self._by_name = servers, {server.name: server for server in servers}
        self._own = place.server
        server = self._by_name.get(place.server)
        self._kept = server is not None
        return server or self.balancer.pick(servers, client, now)

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """That it was kept, or why it was not."""
        if self._kept:
            return KEPT
        basis = None if self._reasoner is None else self._reasoner.because(servers, client)
        if self._own:
            return Moved(self._own, basis)
        return basis or Told("")

    def led(self, client: str, server: str, choice: Choice, now: float) -> Place:
        """The client of the last pick, who has an address, is led to ``server``, one of ``choice``.

        Said as soon as it was picked: of several connections that a new client makes at once all go there.
        """
        place = self._place
        if place is None:
            self.picks["new"] += 1
            return self.table.lead(key_of(client), server, now)
        self.picks["kept" if self._kept else _why_moved(choice, self._own)] += 1
        self.table.keep(place, server, now)
        return place

    def look(self, client: str, now: float) -> dict[str, Any] | None:
        """What is known of one client, as plain data; ``None`` when nothing is."""
        place = self.table.find(key_of(client), now)
        if place is None:
            return None
        idle = 0.0 if place.open else round(now - place.used, 3)
        return {"server": place.server, "idle": idle, "open": place.open}

    def forget(self, client: str | None = None) -> int:
        """Forget a client, or all of them; how many were known."""
        return self.table.clear() if client is None else int(self.table.forget(key_of(client)))

    def stats(self, now: float) -> dict[str, Any]:
        """How many clients are remembered, of how many at most, and what picks came to."""
        self.table.expire(now, SWEEP)
        return {"entries": len(self.table), "most": self.table.most, "picks": dict(self.picks)}


def key_of(client: str) -> str:
    """What an address is remembered as.

    All of an IPv6 address counts, where limits count networks.  Nobody gains by a change of address here; but
    a network of 64 bits may be all the machines of a hall, which would all have the same server.
    """
    return client.removeprefix(_MAPPED)


def _why_moved(choice: Choice, own: str) -> str:
    why = next((each.why for each in choice.left_out if each.server == own), None)
    return "removed" if why is None else why.value
