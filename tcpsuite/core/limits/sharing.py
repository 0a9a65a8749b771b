"""Limits that several processes count together, for all listeners of one of them: what to ask, and when.

::

    ask        what is to be said and asked now, in one go
    answered   what came of it: from then on it counts with the others
    failed     nothing came: it counts alone until an answer comes again, and then says all anew
    turn       a second has passed: what that takes, step by step

Nobody waits for an answer: see :mod:`~tcpsuite.core.limits.places` and :mod:`~tcpsuite.core.limits.tokens`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.core.limits.places import Claim, Places
from tcpsuite.core.limits.settings import LIMITS
from tcpsuite.core.limits.standing import Standing, Terms
from tcpsuite.core.limits.tokens import Purchase, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PLACES = ("connections_per_ip", "connections_per_user")
"""The limits of what is open at once; the others are rates."""
AT_ONCE = 200
"""Keys of one question: Redis does nothing else meanwhile, for less than a millisecond."""
TURN = 1.0
"""Seconds after which what nobody uses any more begins to count as unused."""
BEATS = 3
"""How often in a lease a process is heard of at least: it may lose two and live."""


@frozen
class Question:
    """What to say and ask in one go, each key once."""

    at: float
    life: int
    """Which life of the process this is: a new one begins when its lease has ended."""
    number: int
    """More than that of the one before in this life."""
    acked: int
    """The number of the last one that was answered; 0 for none."""
    peers: frozenset[str]
    """The other processes, as far as they are known."""
    claims: Sequence[Claim]
    purchases: Sequence[Purchase]
    whole: bool
    """Whether with this all is said that there is to say."""


@frozen
class Heard:
    """What the store knows of processes."""

    known: bool
    """Whether it remembers what this one said before."""
    settled: bool
    """Whether it has heard all that there are; a store that lost all has not, for a while."""
    peers: frozenset[str]
    """The other processes that live."""


@frozen
class Answer:
    """What came of a question."""

    heard: Heard
    claims: Sequence[tuple[int, int]]
    """Of each claim, how many places are allowed, and how many more are free."""
    purchases: Sequence[tuple[float, float]]
    """Of each purchase, how much is given, and the seconds until all that was spent is paid for."""


@frozen
class Tables:
    """What one listener shares: the tables by their limits, ``None`` for those that it counts by itself."""

    connections_per_ip: Places | None = None
    connection_rate: Tokens | None = None
    connections_per_user: Places | None = None
    message_rate: Tokens | None = None

    @property
    def given(self) -> dict[str, Places | Tokens]:
        """Those that there are."""
        return {name: table for name in LIMITS if (table := getattr(self, name)) is not None}

    @property
    def standing(self) -> Standing | None:
        """Whether the others can be asked; ``None`` when nothing is shared."""
        return next((table.standing for table in self.given.values()), None)


NOTHING_SHARED = Tables()


class Sharing:
    """All shared limits of a process.

    :param lease: seconds after which the store gives away what a process holds that it did not hear of.
    :ivar peers: the other processes that were alive at the last answer.
    """

    def __init__(self, lease: float) -> None:
        self.lease = lease
        self.peers: frozenset[str] = frozenset()
        self.standing = Standing()
        self._places: list[Places] = []
        self._tokens: list[Tokens] = []
        self._life = 0
        self._number = 0
        self._acked = 0
        self._failed = False
        self._hurry = False  # there is something to say, though it be that there is nothing
        self._next_beat = -inf

    def __repr__(self) -> str:
        return f"<Sharing {self.standing!r} peers={len(self.peers)} tables={len(self._tables)}>"

    def tables(self, listener: str, terms: Mapping[str, Terms]) -> Tables:
        """The tables of a listener.

        :param listener: its name, which it has in all processes.
        :param terms: the limits that it shares, and how.
        """
        found: dict[str, Places | Tokens] = {}
        for limit, each in terms.items():
            table = Places if limit in PLACES else Tokens
            found[limit] = table(f"{listener}:{limit}", self.standing, each)
        self._places += [each for each in found.values() if isinstance(each, Places)]
        self._tokens += [each for each in found.values() if isinstance(each, Tokens)]
        return Tables(**found)  # type: ignore[arg-type]

    @property
    def wanting(self) -> bool:
        """Whether it has something to ask that should not wait."""
        return not self._failed and (self._hurry or any(table.asks or table.untold for table in self._tables))

    def turn(self, now: float) -> Iterator[None]:
        """:data:`TURN` seconds have passed.

        What is to be done then is done by going through this: each step takes a millisecond or so, and with
        few keys there is none but the end.
        """
        for table in self._tables:
            yield from table.turn(now)

    def ask(self, now: float) -> Question | None:
        """What is to be asked now; ``None`` for nothing.  It has to be answered, or to fail, before the next.

        While the store is away it asks no more than whether it is back.
        """
        claims: list[Claim] = []
        purchases: list[Purchase] = []
        if now > self.standing.valid_until:
            # What was reserved is given away: what is said from here on is said by somebody else, so that
            # nothing of the old life is left over.
            self._life += 1
            self._number = self._acked = 0
            self._alone(now)
            self._tell_all()
        if not self._failed:
            for each in self._places:
                claims += each.claims(AT_ONCE - len(claims))
            for table in self._tokens:
                purchases += table.purchases(AT_ONCE - len(purchases), now)
            # The next time another one comes first.
            self._places = self._places[1:] + self._places[:1]
            self._tokens = self._tokens[1:] + self._tokens[:1]
        if not (claims or purchases or self._failed or self._hurry or now >= self._next_beat):
            return None
        self._hurry = False
        self._number += 1
        whole = not self._failed and not self._untold
        return Question(now, self._life, self._number, self._acked, self.peers, claims, purchases, whole)

    def answered(self, question: Question, answer: Answer, now: float) -> None:
        """The store has answered."""
        heard = answer.heard
        for claim, (allowed, free) in zip(question.claims, answer.claims, strict=True):
            claim.table.answer(claim, allowed, free, now)
        for asked, (given, backlog) in zip(question.purchases, answer.purchases, strict=True):
            asked.table.answer(asked, given, backlog, now)
        self.standing.valid_until = question.at + self.lease
        self._acked = question.number
        self.peers = heard.peers
        if self._failed or not heard.known:
            self._failed = False
            self._tell_all()
        if question.whole and heard.known and heard.settled:
            self.standing.away_since = None
            self._next_beat = question.at + self.lease / BEATS
        else:
            self._alone(now)
            self._next_beat = question.at + min(TURN, self.lease / BEATS)

    def failed(self, question: Question, now: float) -> None:
        """No answer came; whether it was heard nobody knows."""
        self._failed = True
        self._alone(now)
        for each in self._places:
            each.failed(claim for claim in question.claims if claim.table is each)
        for table in self._tokens:
            table.failed(asked for asked in question.purchases if asked.table is table)

    def _tell_all(self) -> None:
        self._hurry = True
        for table in self._tables:
            table.tell_all()

    @property
    def _tables(self) -> list[Places | Tokens]:
        return [*self._places, *self._tokens]

    @property
    def _untold(self) -> bool:
        return any(each.untold for each in self._places)

    def _alone(self, now: float) -> None:
        if self.standing.away_since is None:
            self.standing.away_since = now
