"""What another balancer would have made of connections that there have been.

Each connection begins when it began, and lasts as long as it lasted; only where it goes is decided anew.  How
long it would have taken on another server nobody knows: what comes out are shares, not promises.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from statistics import median
from typing import TYPE_CHECKING

from attrs import define, frozen

from tcpsuite.core.affinity import Affinity, key_of
from tcpsuite.core.choosing import candidates
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import ILearning, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tcpsuite.core.affinity import StickTable
    from tcpsuite.interfaces import ILoadBalancer


@frozen
class Event:
    """A connection that there has been."""

    at: float
    """When it began, in seconds."""
    seconds: float
    """How long it lasted."""
    client: str
    """The client's IP address; empty for a UNIX peer."""
    server: str = ""
    """The server that it had; empty when it got none."""
    bytes_moved: int = 0
    """Both ways together."""
    connect: float | None = None
    """Seconds that connecting to that server took, if that is known."""


@define
class Share:
    """What one server got."""

    weight: float
    """What it is due; 0 for a backup, and for one that is not configured."""
    connections: int = 0
    bytes_moved: int = 0
    peak: int = 0
    """The most connections that it had at once."""


@define
class Distribution:
    """What each server got."""

    shares: dict[str, Share]
    """By the server's name."""
    unserved: int = 0
    """Connections that got none."""

    @property
    def connections(self) -> int:
        """All that got a server."""
        return sum(share.connections for share in self.shares.values())

    @property
    def maximum_over_mean(self) -> float:
        """What the server that got most, for its weight, got of what it is due; 1 when all got that, 0 when
        nothing is known.
        """
        due = [share for share in self.shares.values() if share.weight]
        connections, weights = sum(share.connections for share in due), sum(share.weight for share in due)
        if not connections:
            return 0.0
        return max(share.connections / share.weight for share in due) / (connections / weights)


def happened(events: Iterable[Event], servers: Iterable[Server]) -> Distribution:
    """What each server has had in truth.

    :param servers: those that are configured, new; others that had connections stand behind them.
    """
    return _Course(servers).play(events)


def simulate(
    events: Iterable[Event],
    servers: Iterable[Server],
    balancer: ILoadBalancer,
    table: StickTable | None = None,
) -> Distribution:
    """What each server would have had with ``balancer``.

    All servers are up all the time.  One that has its ``max_connections`` is left out as long as it has; who
    finds none with room gets none: nobody waits here.  Connecting to a server takes what it has mostly taken,
    as far as that is known.

    :param servers: new ones; their counts are written.
    :param balancer: a new one.
    :param table: a new one too, where clients are led to the server that they had.
    """
    events = tuple(events)
    times = _connect_times(events)
    if table is None:
        return _Simulation(servers, balancer, times).play(events)
    return _Sticking(servers, balancer, times, table).play(events)


class _Course:
    """Connections begin and end, each on the server that it had."""

    def __init__(self, servers: Iterable[Server]) -> None:
        self.servers = {server.name: server for server in servers}

    def play(self, events: Iterable[Event]) -> Distribution:
        """Begin and end them in the order of time, and count."""
        shares = {
            server.name: Share(0 if server.backup else server.weight) for server in self.servers.values()
        }
        unserved, order, ends = 0, count(), list[tuple[float, int, Server, Event]]()
        for event in sorted(events, key=attrgetter("at")):
            while ends and ends[0][0] <= event.at:
                self._end(*heappop(ends))
            server = self.choose(event)
            if server is None:
                unserved += 1
                continue
            self.begin(server, event)
            share = shares.setdefault(server.name, Share(0))
            share.connections += 1
            share.bytes_moved += event.bytes_moved
            share.peak = max(share.peak, server.active)
            heappush(ends, (event.at + event.seconds, next(order), server, event))
        while ends:
            self._end(*heappop(ends))
        return Distribution(shares, unserved)

    def choose(self, event: Event) -> Server | None:
        """The one that it had."""
        if not event.server:
            return None
        return self.servers.setdefault(event.server, Server(event.server, "", 0))

    def begin(self, server: Server, event: Event) -> None:
        """A connection to ``server`` begins."""
        server.active += 1

    def end(self, server: Server, event: Event, now: float) -> None:
        """It ends."""
        server.active -= 1

    def _end(self, now: float, _order: int, server: Server, event: Event) -> None:
        self.end(server, event, now)


class _Simulation(_Course):
    """The same, on servers that a balancer picks among those with room."""

    def __init__(
        self, servers: Iterable[Server], balancer: ILoadBalancer, connect_times: Mapping[str, float]
    ) -> None:
        super().__init__(servers)
        self._balancer = balancer
        self._learner: ILearning | None = ILearning(balancer, None)
        self._connect_times = connect_times
        self._usable: Sequence[Server] | None = None

    def choose(self, event: Event) -> Server | None:
        """The one that the balancer picks."""
        if self._usable is None:
            self._usable = candidates(tuple(self.servers.values()))
        return self._balancer.pick(self._usable, event.client, event.at) if self._usable else None

    def begin(self, server: Server, event: Event) -> None:
        """As an upstream tells it."""
        super().begin(server, event)
        if server.full:
            self._usable = None
        if self._learner is not None:
            self._learner.started(server, event.at)
            if (took := self._connect_times.get(server.name)) is not None:
                self._learner.connected(server, Outcome(True, seconds=took), event.at)

    def end(self, server: Server, event: Event, now: float) -> None:
        """As an upstream tells it."""
        if server.full:
            self._usable = None
        super().end(server, event, now)
        if self._learner is not None:
            self._learner.finished(server, Outcome(True, seconds=event.seconds), now)


class _Sticking(_Simulation):
    """The same, where a client is led to the server that it had, if that is one of those."""

    def __init__(
        self,
        servers: Iterable[Server],
        balancer: ILoadBalancer,
        connect_times: Mapping[str, float],
        table: StickTable,
    ) -> None:
        super().__init__(servers, balancer, connect_times)
        self._balancer = Affinity(table, balancer)
        self._table = table

    def choose(self, event: Event) -> Server | None:
        """The client's own, else the one that the balancer picks, which is its own from now on."""
        server = super().choose(event)
        if server is not None and (key := key_of(event.client)):
            self._table.lead(key, server.name, event.at)
        return server

    def begin(self, server: Server, event: Event) -> None:
        """The table knows who has a connection."""
        super().begin(server, event)
        if key := key_of(event.client):
            self._table.enter(key)

    def end(self, server: Server, event: Event, now: float) -> None:
        """And until when."""
        super().end(server, event, now)
        if key := key_of(event.client):
            self._table.leave(key, now)


def _connect_times(events: Iterable[Event]) -> dict[str, float]:
    """The median of each server of which one is known."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.connect is not None:
            took[event.server].append(event.connect)
    return {server: median(times) for server, times in took.items()}
