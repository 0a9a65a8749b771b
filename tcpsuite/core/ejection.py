"""When a server that real connections find broken is left out, and for how long."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from attrs import define, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ERRORS = 5
"""Faults in a row that eject: a few are a restart, or luck that was bad."""
SHORTEST = 10.0
"""Seconds that a server is out the first time: time for a process to be started again."""
LONGEST = 300.0
"""Seconds that it is out at most: nobody wants to wait longer for one that is well again."""
TRUSTED = 5.0
"""Seconds that a server which was asked and is well is not asked again: who brought it about may go on."""


@frozen
class Ejection:
    """A server is to take no new connections until then."""

    server: str
    until: float
    """When it returns, on the clock of the faults."""
    seconds: float
    """How long it is out."""
    reason: str
    """Why, in words."""


@define
class _Record:
    """What is remembered of one server."""

    row: int = 0
    """Faults in a row, up to now."""
    doubts: int = 0
    """And what may have been faults, between them."""
    asked: bool = False
    """Whether it is being asked."""
    trusted: float = -inf
    """Until when it is not asked."""
    level: int = 0
    """How often the shortest time is doubled for its next ejection."""
    last: float = 0.0
    """Seconds that its last ejection lasted; 0 when there was none."""
    since: float = 0.0
    """When it last returned or had a fault; each ``last`` seconds from then on take back one doubling."""
    until: float | None = None
    """When it returns; ``None`` while it is in."""


class Ejector:
    """Told how the connections to each server went, it says which to leave out for a while, and until when.

    ``errors`` faults in a row eject a server, for ``shortest`` seconds at first and twice as long each
    further time, ``longest`` at most.  For every stretch without a fault that is as long as its last ejection
    was, one doubling is taken back.  While it is out nothing is counted: what is heard then began before.  It
    returns when its time is over, as any other: it takes as many faults in a row to eject it again.

    What may be a fault, and may be a client's doing, is a doubt.  As many of these in a row, or of both,
    eject nobody: they have the server asked, and what it answers decides.

    At most half of the servers are out at once, and so never the only one.  Those are the servers that it was
    given: who knows that one takes no connections for another reason (it is down, say) removes it meanwhile,
    and no more than half of what is left are out.  Where there is no room, faults go on counting, and the
    next one that finds room ejects.

    :param servers: the names of the servers.
    :param errors: faults in a row that eject.
    :param shortest: seconds of the first ejection.
    :param longest: seconds of any.
    """

    def __init__(
        self,
        servers: Iterable[str] = (),
        *,
        errors: int = ERRORS,
        shortest: float = SHORTEST,
        longest: float = LONGEST,
    ) -> None:
        self._records = {server: _Record() for server in servers}
        self._errors = errors
        self._shortest = shortest
        self._longest = max(shortest, longest)

    def __repr__(self) -> str:
        return f"<Ejector {len(self.ejected)} of {len(self._records)} out>"

    @property
    def ejected(self) -> tuple[str, ...]:
        """The servers that are out, the first to return first."""
        return tuple(server for _, server in self._out())

    def add(self, server: str) -> None:
        """One server more; no effect on one that is there already."""
        self._records.setdefault(server, _Record())

    def remove(self, server: str, now: float) -> tuple[str, ...]:
        """Forget a server, whether it is out or in.  No effect if it is not there.

        :return: those that are in again, before their time, because too many of those left would be out.
        """
        self._records.pop(server, None)
        out = self.ejected
        return self._let_in(out[: max(0, len(out) - self._room)], now)

    def observe(self, server: str, ok: bool, now: float, error: str = "") -> Ejection | None:
        """A connection to ``server`` went well, or it could not be made, or else failed by its fault.

        :param error: what went wrong, for the reason.
        :return: the ejection that this brings about, if it does.  Carry it out: no new connections until
            :meth:`returning` names the server.
        """
        record = self._records.get(server)
        if record is None or record.until is not None:
            return None
        if ok:
            record.row = record.doubts = 0
            return None
        record.row += 1
        self._calm_down(record, now)
        if record.row < self._errors or not self._has_room:
            return None
        faults = "1 fault" if record.row == 1 else f"{record.row} faults in a row"
        return self._eject(server, record, now, f"{faults}: {error}" if error else faults)

    def suspect(self, server: str, now: float) -> bool:
        """A connection to ``server`` failed so that the server may be at fault, or its client.

        :return: whether the server is to be asked now; say what it :meth:`answered`.
        """
        record = self._records.get(server)
        if record is None or record.until is not None:
            return False
        record.doubts += 1
        enough = record.row + record.doubts >= self._errors
        if not enough or record.asked or now < record.trusted or not self._has_room:
            return False
        record.asked = True
        return True

    def answered(self, server: str, ok: bool, now: float, error: str = "") -> Ejection | None:
        """``server`` was asked, being suspected, and is well, or is not.

        :param error: what is wrong with it.
        :return: the ejection that this brings about; none when a connection has gone well meanwhile.
        """
        record = self._records.get(server)
        if record is None or not record.asked:
            return None
        record.asked = False
        if ok:
            record.doubts, record.trusted = 0, now + TRUSTED
            return None
        failed = record.row + record.doubts
        if failed < self._errors or not self._has_room:
            return None
        self._calm_down(record, now)
        return self._eject(server, record, now, f"{failed} faults in a row, and a check failed: {error}")

    def returning(self, now: float) -> tuple[str, ...]:
        """The servers whose time is over by ``now``: from here on they are in again."""
        return self._let_in([server for until, server in self._out() if until <= now], now)

    def due(self) -> float | None:
        """When the next server returns; ``None`` when none is out."""
        return min((until for until, _ in self._out()), default=None)

    @property
    def _room(self) -> int:
        return len(self._records) // 2

    @property
    def _has_room(self) -> bool:
        return len(self.ejected) < self._room

    def _eject(self, server: str, record: _Record, now: float, reason: str) -> Ejection:
        record.last = min(self._shortest * 2**record.level, self._longest)
        record.until = now + record.last
        record.asked = False
        if record.last < self._longest:
            record.level += 1
        return Ejection(server, record.until, record.last, reason)

    def _out(self) -> list[tuple[float, str]]:
        return sorted(
            (record.until, server) for server, record in self._records.items() if record.until is not None
        )

    def _let_in(self, servers: Sequence[str], now: float) -> tuple[str, ...]:
        for server in servers:
            record = self._records[server]
            record.until, record.since, record.row, record.doubts = None, now, 0, 0
        return tuple(servers)

    def _calm_down(self, record: _Record, now: float) -> None:
        """Take back a doubling for each stretch without a fault, which ends now."""
        if record.last:
            record.level = max(0, record.level - int((now - record.since) // record.last))
        record.since = now
