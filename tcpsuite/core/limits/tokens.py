"""Rates that several processes count together: each takes what may be spent in batches, and spends of that.

What is taken is paid for in the store, by the same rule as :mod:`~tcpsuite.core.limits.rates`.  Of a key of
which a process was told nothing, or not that there is no more, it lets a batch be spent on credit, which is
paid for with the next question, whatever there is.  What nobody spends is given back.  So of each process no
more than a batch is spent that was not paid for yet, and no more than a batch that was paid for before.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import nlargest
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.core.limits.rates import KEYS, Rates
from tcpsuite.core.limits.standing import RETRY, STEP, Backlog, Recency, Standing, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@frozen
class Purchase:
    """What a process wants of one key."""

    table: Tokens
    key: str
    debt: float
    """So much was spent already; less than 0: so much is given back."""
    wanted: float
    """So much more it would have, if there is."""
    rate: float
    burst: float


class _Purse:
    """What of one key may be spent here."""

    __slots__ = ("at", "burst", "debt", "empty_until", "have", "heard", "low", "owed", "rate", "spent")

    def __init__(self) -> None:
        self.heard = 0  # in which turn somebody asked
        self.low = 0.0  # when no more is left it asks for more
        self.have = 0.0  # paid for
        self.debt = 0.0  # spent on credit
        self.owed = 0.0  # the same, and said in a question that was not answered yet
        self.empty_until = 0.0  # there is no more before, it was told
        self.spent = 0.0  # of the burst, by all, when it was last told
        self.at = 0.0  # when that was
        self.rate = self.burst = 1.0


class Tokens(Rates):
    """What each key has spent of late, here and elsewhere.

    :param name: the limit's name in the store.
    :param standing: whether the others can be asked.
    :param terms: how much it takes and lets through.
    :param capacity: keys that are remembered, at least 1.
    :ivar asks: the keys that it would ask about.
    :ivar untold: those that it would say something of since :meth:`tell_all`.
    """

    def __init__(self, name: str, standing: Standing, terms: Terms, capacity: int = KEYS) -> None:
        super().__init__(capacity)  # of what is spent while it counts alone
        self.name = name
        self.terms = terms
        self.standing = standing
        self._purses: OrderedDict[str, _Purse] = OrderedDict()
        self.asks: dict[str, None] = {}  # a set in order, the same object always
        self.untold = Backlog()
        self._recency: Recency[_Purse] = Recency()

    def __repr__(self) -> str:
        return f"<Tokens {self.name} purses={len(self._purses)} asks={len(self.asks)}>"

    @property
    def reserved(self) -> float:
        """What is paid for, and was not spent yet.

        With a hundred thousand keys it takes some tens of milliseconds.
        """
        return sum(purse.have for purse in self._purses.values())

    def spend(self, key: str, amount: float, rate: float, burst: float, now: float) -> float:
        """See :meth:`Rates.spend <tcpsuite.core.limits.rates.Rates.spend>`."""
        purse = self._purses.get(key)
        if purse is None:
            purse = self._purses[key] = _Purse()
            if len(self._purses) > self.capacity:
                self._forget(next(iter(self._purses)))
        if purse.heard != self._recency.number:
            # Once in a turn will do, to know who was heard of longest ago.
            self._purses.move_to_end(key)
            self._recency.note(key, purse)
        if purse.rate != rate or purse.burst != burst:
            purse.rate, purse.burst, purse.low = rate, burst, self.terms.batch_of(burst) / 2
        if purse.have >= amount:
            purse.have -= amount
            if purse.have <= purse.low and now >= purse.empty_until:
                self.asks[key] = None
            return 0.0
        return self._beyond(key, purse, amount, now)

    def _beyond(self, key: str, purse: _Purse, amount: float, now: float) -> float:
        """The same, for what was not paid for."""
        if amount > purse.burst:
            return inf
        if self.standing.alone(now):
            own = self.terms.alone_of(purse.burst)
            if not own:
                return 1.0
            return super().spend(key, amount, purse.rate * self.terms.local_share, max(own, amount), now)
        if key in self._paid_at:
            self._settle(key, purse, now)
        if now < purse.empty_until:
            return purse.empty_until - now
        self.asks[key] = None
        if purse.debt + purse.owed + amount <= max(self.terms.batch_of(purse.burst), amount):
            purse.debt += amount
            return 0.0
        return RETRY

    def spent(self, key: str, rate: float, now: float) -> float:
        """How much of its burst ``key`` has spent, as far as this process knows."""
        purse = self._purses.get(key)
        told = 0.0 if purse is None else purse.spent - (now - purse.at) * purse.rate + purse.debt + purse.owed
        return max(told, super().spent(key, rate * self.terms.local_share, now))

    def top(self, number: int, now: float) -> list[str]:
        """The keys that have spent most, at most so many."""
        known = {key: self.spent(key, purse.rate, now) for key, purse in self._purses.items()}
        return nlargest(number, (key for key, spent in known.items() if spent > 0), key=known.__getitem__)

    def turn(self, now: float) -> Iterator[None]:
        """Time has passed: give back what nobody spends.

        It is done by going through this, and each step looks at :data:`~.standing.STEP` keys.
        """
        _, before = self._recency.turn()
        for number, key in enumerate(before, 1):
            purse = self._purses.get(key)
            if purse is not None and not self._recency.recent(purse):
                self.asks[key] = None
            if not number % STEP:
                yield

    def purchases(self, number: int, now: float) -> list[Purchase]:
        """What is to be asked next, of at most so many keys."""
        keys: list[str] = []
        for key in self.untold.some(number):
            if (purse := self._purses.get(key)) is not None:
                self._settle(key, purse, now)
                purse.empty_until = 0.0
                self.asks.pop(key, None)
                keys.append(key)
        # All at once: a dict looks for its first key among all that were taken from its front.
        asked = list(islice(self.asks, number - len(keys)))
        for key in asked:
            del self.asks[key]
        found = (self._purchase(key, self._purses[key]) for key in keys + asked)
        return [each for each in found if each is not None]

    def _purchase(self, key: str, purse: _Purse) -> Purchase | None:
        """What is to be asked of one; if that is nothing, it is forgotten."""
        purse.owed += purse.debt
        debt, purse.debt = purse.owed, 0.0
        wanted = 0.0
        if self._recency.recent(purse):
            wanted = max(0.0, self.terms.batch_of(purse.burst) - purse.have)
        else:
            debt -= purse.have
            purse.have = 0.0
        if debt or wanted:
            return Purchase(self, key, debt, wanted, purse.rate, purse.burst)
        self._forget(key)
        return None

    def answer(self, asked: Purchase, given: float, backlog: float, now: float) -> None:
        """What became of a question.

        :param given: so much may be spent.
        :param backlog: seconds until all that the key has spent is paid for.
        """
        purse = self._purses.get(asked.key)
        if purse is None:
            return
        purse.have += given
        purse.owed = 0.0
        purse.spent, purse.at = backlog * asked.rate, now
        if given < asked.wanted:
            # There is one more when the backlog is one less than a burst.
            purse.empty_until = now + max(RETRY, backlog + (1 - asked.burst) / asked.rate)
        if self._recency.recent(purse):
            return
        if purse.have or purse.debt:
            self.asks[asked.key] = None
        else:
            self._forget(asked.key)

    def failed(self, asked: Iterable[Purchase]) -> None:
        """Nobody knows whether these were heard: what was spent is said again, and may be paid for twice."""
        for each in asked:
            if each.key in self._purses:
                self.asks[each.key] = None

    def tell_all(self) -> None:
        """The store can be asked again: what was spent meanwhile, and is not paid for yet, is told."""
        self.untold.fill(self._purses)

    def _settle(self, key: str, purse: _Purse, now: float) -> None:
        """What was spent while this process counted alone was spent on credit."""
        alone = super().spent(key, purse.rate * self.terms.local_share, now)
        self._paid_at.pop(key, None)
        purse.debt = max(purse.debt, alone)

    def _forget(self, key: str) -> None:
        del self._purses[key]
        self.asks.pop(key, None)
