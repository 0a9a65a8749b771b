"""Which server each client had last, and how long that holds.

A :class:`StickTable` remembers it; an :class:`Affinity` is asked in the place of a balancer, and asks that
one only for clients of which nothing is remembered, or whose server may not be picked now.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from zope.interface import implementer

from tcpsuite.core.picks import Told
from tcpsuite.interfaces import ILoadBalancer, IReasoned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server

TIMEOUT = 1800.0
"""Seconds: who has gone for lunch may find another server, who reads a long page does not."""
ENTRIES = 100_000
"""Clients, about 21 MB of them."""
LOOKS = 4
"""Clients that are passed over for one without a connection, when one must be forgotten."""
STALE = 2
"""Clients whose time is over that are forgotten with each new one, if there are some: more than come."""
SWEEP = 1000
"""Clients whose time is over that are forgotten when somebody looks: a quarter of a millisecond's work."""
_MAPPED = "::ffff:"
"""Before the address of an IPv4 client that came to an IPv6 listener: it is the same client."""


def key_of(client: str) -> str:
    """What a table knows a client as: its address, however it came; nothing when it has none."""
    return client.removeprefix(_MAPPED)


@frozen
class Home:
    """Where a client is at home."""

    key: str
    """The client."""
    server: str
    """The name of its server."""
    idle: float = 0.0
    """Seconds since it was last led there, or the last of its connections ended; 0 while it has one."""
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
        # With an object for each of 100,000 clients a full garbage collection takes 30 ms more.  It does not
        # look into dicts of bare strings and numbers, and strings that are few are soon looked at.
        self._servers: OrderedDict[str, str] = OrderedDict()  # in the order of their last use
        self._used: dict[str, float] = {}
        self._open: dict[str, int] = {}  # those who have none are not in it

    def __repr__(self) -> str:
        return f"<StickTable {len(self)} of {self.most}>"

    def __len__(self) -> int:
        return len(self._servers)

    def find(self, key: str, now: float) -> str | None:
        """The server of ``key``; ``None`` when it is not known, or that was too long ago."""
        server = self._servers.get(key)
        if server is None or (now - self._used[key] >= self.timeout and key not in self._open):
            return None
        return server

    def lead(self, key: str, server: str, now: float) -> None:
        """``key`` is led to ``server``, and is at home there from now on."""
        servers = self._servers
        if key not in servers:
            self.expire(now, STALE)
            if len(servers) >= self.most:
                self._make_room(now)
        servers[key] = server
        servers.move_to_end(key)
        self._used[key] = now

    def enter(self, key: str) -> None:
        """``key`` has one connection more."""
        self._open[key] = self._open.get(key, 0) + 1

    def leave(self, key: str, now: float) -> None:
        """A connection is over that was counted by :meth:`enter`."""
        left = self._open.pop(key) - 1
        if left:
            self._open[key] = left
        if key in self._used:
            self._used[key] = now
            self._servers.move_to_end(key)

    def expire(self, now: float, most: int) -> bool:
        """Forget those whose time is over; ``most`` are looked at.  Whether there may be more."""
        for _ in range(most):
            oldest = next(iter(self._servers), None)
            if oldest is None or now - self._used[oldest] < self.timeout:
                return False
            self._pass_over_or_forget(oldest, now)
        return True

    def forget(self, key: str) -> bool:
        """Forget one client; whether it was known.  Its connections stay counted."""
        self._used.pop(key, None)
        return self._servers.pop(key, None) is not None

    def clear(self) -> int:
        """Forget all clients; how many were known."""
        number = len(self)
        self._servers, self._used = OrderedDict(), {}
        return number

    def keys(self) -> list[str]:
        """All clients at this moment, in no order."""
        # The keys of an OrderedDict in their order take many times as long.
        return list(dict.keys(self._servers))

    def homes(self, keys: Iterable[str], now: float) -> Iterator[Home]:
        """Where those of ``keys`` are at home that are known still."""
        for key in keys:
            if (server := self.find(key, now)) is not None:
                number = self._open.get(key, 0)
                yield Home(key, server, 0.0 if number else now - self._used[key], number)

    def restore(self, homes: Iterable[Home], now: float) -> None:
        """Remember what was remembered once, and nothing else; of too many, the latest."""
        known = sorted((home for home in homes if home.idle < self.timeout), key=lambda home: -home.idle)
        self.clear()
        for home in known[-self.most :]:
            self._servers[home.key] = sys.intern(home.server)
            self._used[home.key] = now - home.idle

    def _make_room(self, now: float) -> None:
        for _ in range(LOOKS):
            if not self._pass_over_or_forget(next(iter(self._servers)), now):
                return
        self.forget(next(iter(self._servers)))

    def _pass_over_or_forget(self, oldest: str, now: float) -> bool:
        """Whether it has a connection, and so is in use now."""
        if oldest not in self._open:
            return not self.forget(oldest)
        self._used[oldest] = now
        self._servers.move_to_end(oldest)
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

    A client is an IP address.  All of an IPv6 address counts, where limits count networks: nobody gains by a
    change of address here, but a network of 64 bits may be all the machines of a hall, which would all have
    one server.  Clients on UNIX sockets have no address: the balancer alone is asked.  Of all others who asks
    it says where they are :meth:`led`, and tells the table when they have a connection.

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
    _key: str = field(default="", init=False)
    _own: str | None = field(default=None, init=False)
    _kept: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._reasoner = IReasoned(self.balancer, None)

    def __repr__(self) -> str:
        return f"<Affinity before {self.balancer!r} {self.table!r}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The client's own server, else the balancer's."""
        key = self._key = key_of(client)
        own = self._own = self.table.find(key, now) if key else None
        if own is None:
            self._kept = False
            return self.balancer.pick(servers, client, now)
        if servers is not self._servers:
            self._servers, self._by_name = servers, {server.name: server for server in servers}
        server = self._by_name.get(own)
        self._kept = server is not None
        return server or self.balancer.pick(servers, client, now)

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """That it was kept, or why it was not."""
        if self._kept:
            return KEPT
        basis = None if self._reasoner is None else self._reasoner.because(servers, client)
        if self._own is not None:
            return Moved(self._own, basis)
        return basis or Told("")

    def led(self, server: str, choice: Choice, now: float) -> str:
        """The client of the last pick, who has an address, is led to ``server``, one of ``choice``.

        Said as soon as it was picked: of several connections that a new client makes at once all go there.

        :return: what the table knows the client as.
        """
        if self._kept:
            self.picks["kept"] += 1
        else:
            self.picks["new" if self._own is None else _why_moved(choice, self._own)] += 1
        self.table.lead(self._key, server, now)
        return self._key

    def look(self, client: str, now: float) -> dict[str, Any] | None:
        """What is known of one client, as plain data; ``None`` when nothing is."""
        for home in self.table.homes((key_of(client),), now):
            return {"server": home.server, "idle": round(home.idle, 3), "open": home.open}
        return None

    def forget(self, client: str | None = None) -> int:
        """Forget a client, or all of them; how many were known."""
        return self.table.clear() if client is None else int(self.table.forget(key_of(client)))

    def stats(self, now: float) -> dict[str, Any]:
        """How many clients are remembered, of how many at most, and what picks came to."""
        self.table.expire(now, SWEEP)
        return {"entries": len(self.table), "most": self.table.most, "picks": dict(self.picks)}


def _why_moved(choice: Choice, own: str) -> str:
    why = next((each.why for each in choice.left_out if each.server == own), None)
    return "removed" if why is None else why.value
