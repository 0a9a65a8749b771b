"""The record of one connection, and the ledger of all.

The access log, the metrics, the admin API and the manhole all read these, and nothing else.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from attrs import Factory, define, evolve, field, frozen
from zope.interface import implementer

from tcpsuite.interfaces import IShrinkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tcpsuite.core.picks import Pick


PAST = 1000
"""Connections that have ended and are still known, so that one can ask why."""

LOOKS = 4
"""How often within an idle time-out it is asked what is on its way."""


class Reason(Enum):
    """Why a connection ended.  One of these, and the text beside it, stands in every record."""

    CLIENT_CLOSED = "client_closed"  # the client finished: a FIN
    CLIENT_RESET = "client_reset"  # the client reset the connection, or its network did
    SERVER_CLOSED = "server_closed"  # the upstream's server finished first
    SERVER_RESET = "server_reset"  # the upstream's server reset the connection
    SERVICE_CLOSED = "service_closed"  # the service said goodbye: QUIT, a complete HTTP/1.0 answer
    CONNECT_FAILED = "connect_failed"  # every attempt to reach a server failed
    NO_SERVER = "no_server"  # no server of the upstream may be used
    LIMITED = "limited"  # a limit refused it
    IDLE = "idle"  # no byte either way for the idle time-out
    WRITE_TIMEOUT = "write_timeout"  # the client took nothing of what was sent to it for that time-out
    NO_ROOM = "no_room"  # it waited in vain, for the servers were full or paused
    SERVER_DOWN = "server_down"  # the upstream's server went down, and its connections are to go with it
    MAX_DURATION = "max_duration"  # it lasted as long as a connection may
    FIN_TIMEOUT = "fin_timeout"  # one side had finished, and then nothing moved for that time-out
    DEADLINE = "deadline"  # a request, or a TLS handshake, was not complete in its time
    PROTOCOL_ERROR = "protocol_error"  # the peer broke the protocol
    DRAINED = "drained"  # cut at the end of the drain
    CUT = "cut"  # cut by the operator
    ERROR = "error"  # our own fault; the log has the traceback


class Traffic(Protocol):
    """What counts a connection's bytes: a transport, or :class:`Counted` once it is gone."""

    @property
    def bytes_in(self) -> int: ...

    @property
    def bytes_out(self) -> int: ...

    def unsent(self) -> int:
        """Bytes that it was given for the peer, and that have not arrived."""

    def in_flight(self) -> int:
        """Of ``bytes_out``, those that have not arrived."""


@frozen
class Counted:
    """Final byte counts."""

    bytes_in: int = 0
    bytes_out: int = 0

    def unsent(self) -> int:
        """Nothing is on its way."""
        return 0

    def in_flight(self) -> int:
        """Nothing is."""
        return 0


UNCOUNTED = Counted()
"""Stands in the record of a connection whose transport does not count: nothing is known of its bytes."""


@frozen
class Attempt:
    """One try to reach a server: which, what went wrong (empty: nothing), and how long it took."""

    server: str
    error: str
    seconds: float


@define(eq=False)
class Connection:
    """One connection, from its acceptance to its end."""

    id: str
    peer: str
    """Who it is: ``192.0.2.7:4711``, or ``unix``."""
    host: str
    """Its address: ``192.0.2.7``; empty for a UNIX peer."""
    listener: str
    service: str
    started: float
    """When it was accepted, on the reactor's clock."""
    opened_at: float
    """When it was accepted, in seconds since the epoch."""
    secure: bool = False
    """Whether it came over TLS."""
    upstream: str = ""
    """The upstream that it was led to, for a gateway."""
    strategy: str = ""
    """How one of its servers is picked: a name for people."""
    server: str = ""
    """The server of it that it was joined to."""
    user: str = ""
    """Who logged in on it."""
    attempts: tuple[Attempt, ...] = ()
    picks: tuple[Pick, ...] = field(default=(), repr=False)
    """Who was picked for each attempt, from whom, and why; at last perhaps nobody."""
    held: float = 0.0
    """Seconds that it waited until there was a server for it."""
    held_why: str = ""
    """Why it waited last."""
    limited_as: str = ""
    """Whom limits count it for: its address, or the network that it is in; empty for who has no limits."""
    server_fault: str | None = None
    """What the server did wrong on it, empty while that is nothing; ``None`` when nobody looks."""
    traffic: Traffic = UNCOUNTED
    on_its_way: Callable[[], int] | None = field(default=None, repr=False)
    """Gives the bytes that were taken and have not arrived, where the traffic knows but a part of them."""
    rests: Callable[[], bool] | None = field(default=None, repr=False)
    """Says whether nothing need move on it now, where its service knows that."""
    held_back: Callable[[], bool] | None = field(default=None, repr=False)
    """Says whether something on it waits for bandwidth, where that is bounded."""
    reason: Reason | None = None
    """Why it ended: the first that was said counts.  ``None`` while it lives and nobody wants it to end."""
    detail: str = ""
    ended: float | None = None
    """When it ended, on the reactor's clock; ``None`` while it is open."""
    _moved: int = field(default=0, init=False, repr=False)
    _moved_at: float = field(init=False, repr=False)
    _unsent: int = field(default=0, init=False, repr=False)
    _looked_at: float = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._moved_at = self._looked_at = self.started

    @property
    def bytes_in(self) -> int:
        """Bytes that came from the peer."""
        return self.traffic.bytes_in

    @property
    def bytes_out(self) -> int:
        """Bytes that went to the peer."""
        return self.traffic.bytes_out

    def because(self, reason: Reason, detail: str = "") -> None:
        """Say why it is about to end.  The first word stands; later ones are consequences."""
        if self.reason is None:
            self.reason, self.detail = reason, detail

    def duration(self, now: float) -> float:
        """Seconds since it was accepted, up to its end."""
        return (now if self.ended is None else self.ended) - self.started

    def idle(self, now: float) -> float:
        """Seconds since bytes last moved either way, as far as earlier calls of this could see; 0 when its
        bytes are not counted.
        """
        if self.traffic is UNCOUNTED:
            return 0.0
        moved = self.traffic.bytes_in + self.traffic.bytes_out
        if moved != self._moved:
            self._moved, self._moved_at = moved, now
        return now - self._moved_at

    def touch(self, now: float) -> None:
        """Count its idle time from now on."""
        self._moved_at = now

    @property
    def may_rest(self) -> bool:
        """Whether nothing need move on it now, nor its peer take anything."""
        return self.rests is not None and self.rests()

    @property
    def is_held_back(self) -> bool:
        """Whether something on it waits for nobody but us."""
        return self.held_back is not None and self.held_back()

    def stalled(self, now: float, timeout: float) -> bool:
        """Whether nothing has moved for ``timeout`` seconds: no byte, and nothing of what is on its way.
        While something waits for bandwidth, it moves.

        What is on its way is asked for only each quarter of that time in which no byte has moved, for it
        costs a system call; so a peer that takes nothing more may be found a quarter late, and never early.
        Where nothing was, it is not asked for again until something moves, or time is over.
        """
        if self.may_rest or self.is_held_back:
            self.touch(now)
            return False
        idle = self.idle(now)
        if idle < timeout and (
            now - max(self._moved_at, self._looked_at) < timeout / LOOKS
            or (not self._unsent and self._looked_at > self._moved_at)
        ):
            return False
        self._looked_at = now
        # What moves there, the counters do not show.
        unsent, before = (self.on_its_way or self.traffic.unsent)(), self._unsent
        self._unsent = unsent
        if unsent != before:
            self.touch(now)
            return False
        return idle >= timeout

    @property
    def stuck(self) -> bool:
        """Whether something was on its way when :meth:`stalled` last asked."""
        return self._unsent > 0


@define
class Totals:
    """What a listener's connections add up to."""

    accepted: int = 0
    open: int = 0
    """Those that are open now."""
    refused: Counter[str] = Factory(Counter)
    """By the limit that refused."""
    ended: Counter[Reason] = Factory(Counter)
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    """How long those that ended were open, together."""
    refused_requests: Counter[str] = Factory(Counter)
    """Requests and logins of connections that go on, by the limit that refused."""
    would_refuse: Counter[str] = Factory(Counter)
    """What was allowed, by the limit that is only tried and would have refused it."""


@implementer(IShrinkable)
class Ledger:
    """All open connections, some that ended, and the sums of all.

    :param past: connections that have ended and are still known.
    """

    def __init__(self, past: int = PAST) -> None:
        self._most_past = past
        self._open: dict[str, Connection] = {}
        self._past: OrderedDict[str, Connection] = OrderedDict()
        self._totals: defaultdict[str, Totals] = defaultdict(Totals)

    def __repr__(self) -> str:
        return f"<Ledger open={len(self._open)} ended={sum(t.ended.total() for t in self._totals.values())}>"

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """The open connections, oldest first; safe while some of them end."""
        return iter(tuple(self._open.values()))

    def get(self, connection_id: str) -> Connection | None:
        """The open connection of that id."""
        return self._open.get(connection_id)

    def find(self, connection_id: str) -> Connection | None:
        """The connection of that id, open or one of the last that ended."""
        return self._open.get(connection_id) or self._past.get(connection_id)

    def open(self, connection: Connection) -> None:
        """A connection was admitted."""
        self._open[connection.id] = connection
        self._totals[connection.listener].accepted += 1

    def refuse(self, listener: str, limit: str) -> None:
        """A connection was refused by that limit."""
        self._totals[listener].refused[limit] += 1

    def refuse_request(self, listener: str, limit: str) -> None:
        """What somebody asked on an open connection was refused by that limit."""
        self._totals[listener].refused_requests[limit] += 1

    def would_refuse(self, listener: str, limit: str) -> None:
        """That limit is only tried, and would have refused something."""
        self._totals[listener].would_refuse[limit] += 1

    def close(self, connection: Connection, now: float) -> None:
        """An open connection is gone.  Its counts become final; saying it twice changes nothing."""
        if self._open.pop(connection.id, None) is None:
            return
        connection.because(Reason.CLIENT_CLOSED)
        connection.ended = now
        connection.traffic = final = Counted(connection.bytes_in, connection.bytes_out)
        connection.on_its_way = connection.rests = connection.held_back = None
        self._past[connection.id] = connection
        if len(self._past) > self._most_past:
            self._past.popitem(last=False)
        totals = self._totals[connection.listener]
        assert connection.reason is not None
        totals.ended[connection.reason] += 1
        totals.bytes_in += final.bytes_in
        totals.bytes_out += final.bytes_out
        totals.seconds += now - connection.started

    def shrink(self) -> None:
        """Forget the older half of those that have ended."""
        for _ in range((len(self._past) + 1) // 2):
            self._past.popitem(last=False)

    def totals(self, listener: str) -> Totals:
        """The sums of a listener, its open connections' bytes included."""
        return self.by_listener().get(listener, Totals())

    def by_listener(self) -> dict[str, Totals]:
        """The sums of each listener that anyone came to, its open connections' bytes included."""
        sums = {
            name: evolve(
                ended,
                refused=ended.refused.copy(),
                refused_requests=ended.refused_requests.copy(),
                would_refuse=ended.would_refuse.copy(),
                ended=ended.ended.copy(),
            )
            for name, ended in self._totals.items()
        }
        for connection in self._open.values():
            sum_ = sums[connection.listener]
            sum_.open += 1
            sum_.bytes_in += connection.bytes_in
            sum_.bytes_out += connection.bytes_out
        return sums
