"""The rule that goes by how quickly servers have answered."""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from operator import add, attrgetter
from typing import TYPE_CHECKING

from attrs import define, frozen
from zope.interface import implementer

from tcpsuite.core.balancing.load import Turns, in_a_slow_start
from tcpsuite.core.balancing.rated import forget_oldest
from tcpsuite.core.picks import Told
from tcpsuite.core.slow_start import Allowance
from tcpsuite.interfaces import ILearning, ILoadBalancer, IReasoned, ITimed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import Outcome

LEAST = 0.0001
"""Seconds: times under a tenth of a millisecond count as that.  What lies between them is noise, and a time
of 0 would outweigh any number of connections."""
ALIKE = 1.2
"""So many times what the quickest one takes counts as quick too.  Else noise would give all to one of equals,
and a server that was slow would come near the others, and never be tried."""
RULE = (
    "the least load, time * (active + 1) / weight, where the time of the quickest is that of all who take"
    f" up to {ALIKE} times as long; of equals the one that was picked longest ago"
)
LOOKS = 50
"""How often in a half-life the averages are looked at: what was learnt tells that much later at most."""


@define
class Decaying:
    """An average in which what was told a half-life ago counts half."""

    value: float = 0.0
    at: float = 0.0
    _samples: float = 0.0

    def add(self, sample: float, now: float, half_life: float) -> None:
        """One more, told at ``now``.

        The first few count alike, so that the very first does not stand for all.  One that comes after a
        silence counts for the whole of it.
        """
        kept = self.kept(now, half_life)
        share = max(1 / (self._samples * kept + 1), 1 - kept)
        self.value += (sample - self.value) * share
        self._samples = 1 / share
        self.at = now

    def kept(self, now: float, half_life: float) -> float:
        """The share that is left of it, after the silence until ``now``."""
        return float(0.5 ** (max(0.0, now - self.at) / half_life))


@frozen
class Looked:
    """What was found at a look at the averages, for each server in its order; in seconds."""

    connects: Sequence[float] = ()
    answers: Sequence[float] = ()
    costs: Sequence[float] = ()
    """What one connection costs there: the time that counts, by the weight."""


@define
class Times:
    """What servers took, and what they had to do.

    :ivar parts: of those that were due the pick in a slow start, what that left them of their weight.
    """

    looked: Looked
    active: Sequence[int]
    parts: Mapping[str, float]

    def told(self, choice: Choice, picked: str) -> Told:
        """What each was thought to take, for its weight."""
        loads = [
            1000 * (active + 1) * cost * self.parts.get(name, 1)
            for name, active, cost in zip(choice.candidates, self.active, self.looked.costs, strict=True)
        ]
        figures = {
            "connect_ms": [1000 * each for each in self.looked.connects],
            "first_byte_ms": [1000 * each for each in self.looked.answers],
            "active": self.active,
            "load_ms": loads,
        }
        return Told(
            RULE + in_a_slow_start(self.parts),
            {what: dict(zip(choice.candidates, of, strict=True)) for what, of in figures.items()},
        )


@implementer(ILoadBalancer, ILearning, IReasoned, ITimed)
class LeastTime:
    """The server that is likely to answer first: the least ``time * (active + 1) / weight``.

    A server's time is its decaying average of what connecting took, and that of what its first byte took
    then; the quickest one and those that take little longer (:data:`ALIKE`) count as equally quick.  While
    nothing is heard of a server it goes back to the median of the others, by half in each half-life: so one
    that was slow is tried again at last, and one that is new begins as one of many.  A failed attempt counts
    when it took longer than the average: it cannot make a server look fast.

    Without any times, and among equals, and in a slow start, it is as with
    :class:`~tcpsuite.core.balancing.LeastConnections`.

    :param chance: not drawn from.
    :param half_life: seconds in which what was learnt loses half of its weight.
    """

    def __init__(self, chance: Random, half_life: float = 10.0) -> None:
        if not 0 < half_life < inf:
            raise ValueError(f"half_life must be a time above 0, not {half_life}")
        self._half_life = half_life
        self._interval = half_life / LOOKS
        self._turns = Turns()
        self._allowance = Allowance()
        self._priced: list[tuple[Server, float]] = []
        self._looked = Looked()
        self._looked_at = -inf
        self._connects: dict[str, Decaying] = {}
        self._answers: dict[str, Decaying] = {}

    def __repr__(self) -> str:
        times = (
            f"{name}: {average.value:.4f}+{self._answers.get(name, Decaying()).value:.4f}"
            for name, average in self._connects.items()
        )
        return f"<LeastTime {{{', '.join(times)}}}>"

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        """The server that is likely to answer first; ``None`` when none has weight."""
        if self._turns.changed(servers) or not 0 <= now - self._looked_at < self._interval:
            self._look(now)
        priced = self._priced
        loads = [(server.active + 1) * cost for server, cost in priced]
        if due := self._allowance.due(servers):
            loads = [
                load * server.share if server in due else load
                for load, (server, _) in zip(loads, priced, strict=True)
            ]
        least = min(loads, default=inf)
        if least == inf:
            return None
        picked = priced.pop(loads.index(least))
        priced.append(picked)
        self._turns.note(picked[0])
        self._allowance.note(picked[0])
        return picked[0]

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        """What each server takes, and what it has to do."""
        return Times(self._looked, [server.active for server in servers], self._allowance.parts())

    def started(self, server: Server, now: float) -> None:
        """Nothing to note: ``server.active`` says it."""

    def connected(self, server: Server, outcome: Outcome, now: float) -> None:
        """What connecting took."""
        average = self._connects.get(server.name)
        if outcome.ok or (average is not None and not outcome.local and outcome.seconds > average.value):
            self._learn(self._connects, server, outcome.seconds, now)

    def answered(self, server: Server, seconds: float, now: float) -> None:
        """What its first byte took."""
        self._learn(self._answers, server, seconds, now)

    def finished(self, server: Server, outcome: Outcome, now: float) -> None:
        """Nothing to note: how long a connection lasts is its client's affair."""

    def _learn(self, averages: dict[str, Decaying], server: Server, seconds: float, now: float) -> None:
        average = averages.get(server.name)
        if average is None:
            average = averages[server.name] = Decaying(at=now)
            forget_oldest(averages, attrgetter("at"))
        average.add(seconds, now, self._half_life)

    def _look(self, now: float) -> None:
        """Reckon anew what one connection costs at each server."""
        self._looked_at = now
        servers = self._turns.seen
        connects, answers = (
            self._times(averages, servers, now) for averages in (self._connects, self._answers)
        )
        times = list(map(add, connects, answers))
        quickest = max(LEAST, min(times, default=LEAST))
        costs = [
            (quickest if time <= ALIKE * quickest else time) / server.weight if server.weight else inf
            for server, time in zip(servers, times, strict=True)
        ]
        self._looked = Looked(connects, answers, costs)
        cost = dict(zip(servers, costs, strict=True))
        self._priced = [(server, cost[server]) for server in self._turns.order()]

    def _times(self, averages: dict[str, Decaying], servers: Sequence[Server], now: float) -> list[float]:
        """What is to be expected of each server, as far as ``averages`` tell."""
        found = [averages.get(server.name) for server in servers]
        known = sorted(average.value for average in found if average is not None)
        if not known:
            return [0.0] * len(found)
        middle = (len(known) - 1) // 2
        return [known[middle] if average is None else self._faded(average, known, now) for average in found]

    def _faded(self, average: Decaying, known: list[float], now: float) -> float:
        """An average, on its way to the median of the others since it was last told of."""
        own = average.value
        others = len(known) - 1
        if not others:
            return own
        # Of an even number the lower one: of two, the quicker is what a server should be like.
        middle = (others - 1) // 2
        median = known[middle if middle < bisect_left(known, own) else middle + 1]
        return median + (own - median) * average.kept(now, self._half_life)
