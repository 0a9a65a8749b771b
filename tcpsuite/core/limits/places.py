"""Connections that several processes count together: each has places reserved for it, of which it gives out.

A place of a key is reserved by a claim: so many I use, so many I want.  That says all there is to say about
the key, so a claim may be made again at any time: after an answer that was lost, or to a store that lost
all.  A process gives out what is reserved without asking.  Of a key of which it was told nothing, or that
there are more places, it gives out a batch on credit, and claims it at once.  So the limit is exceeded by no
more than one batch of each process.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.core.limits.counts import Counts
from tcpsuite.core.limits.standing import RETRY, STEP, Backlog, Recency, Round, Standing, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tcpsuite.interfaces import Verdict

REFRESH = 60
"""Turns in which every claim is made again: a store may forget those that were not for some such times."""


@frozen
class Claim:
    """What a process says of one key."""

    table: Places
    key: str
    used: int
    wanted: int
    """Places that it would have, those that it uses included."""
    most: int
    """The limit."""


class _Share:
    """The places of one key that are this process's."""

    __slots__ = ("again", "full", "heard", "held", "low", "most")

    def __init__(self) -> None:
        self.heard = 0  # in which turn somebody came or left
        self.held = 0  # reserved
        self.most = 0  # the limit, as it was when one last came
        self.low = 0  # with so many left it asks for more
        self.full = False  # there are no others, it was told
        self.again = 0.0  # when it may ask again though


class Places(Counts):
    """What is open here, and what of it the others know.

    :param name: the limit's name in the store.
    :param standing: whether the others can be asked.
    :param terms: how much it takes and lets in.
    :ivar asks: the keys of which it would make claims.
    :ivar untold: the keys that are still to be said since :meth:`tell_all`.
    """

    def __init__(self, name: str, standing: Standing, terms: Terms) -> None:
        super().__init__()
        self.name = name
        self.terms = terms
        self.untold = Backlog()
        self.standing = standing
        self._shares: dict[str, _Share] = {}
        self.asks: dict[str, None] = {}  # a set in order, the same object always
        self._recency: Recency[_Share] = Recency()
        self._round = Round(REFRESH)

    def __repr__(self) -> str:
        return f"<Places {self.name} open={len(self)} shares={len(self._shares)} asks={len(self.asks)}>"

    @property
    def reserved(self) -> int:
        """Places that are reserved for this process, and that nobody here uses.

        With a hundred thousand keys it takes some tens of milliseconds.
        """
        return sum(max(0, share.held - self.of(key)) for key, share in self._shares.items())

    def refuses(self, key: str, used: int, most: int, now: float) -> str:
        """Why ``key``, which has ``used`` here and may have ``most`` in all, gets none; empty if it does."""
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = _Share()
        self._recency.note(key, share)
        if share.most != most:
            share.most, share.low = most, self.terms.batch_of(most) // 2
        left = share.held - used
        if left > 0 and now <= self.standing.valid_until:
            if left <= share.low and share.held < most and not share.full:
                self.asks[key] = None
            return ""
        if self.standing.alone(now):
            self.asks[key] = None
            own = self.terms.alone_of(most)
            if used < own:
                return ""
            return f"it may have {own} here{self.standing.words(now)}"
        if not share.full:
            self.asks[key] = None
            if used < share.held + self.terms.batch_of(most):
                return ""
        elif now >= share.again:
            self.asks[key] = None
            share.again = now + RETRY
        return "no others are free on the machines that share it"

    def give_back(self, verdict: Verdict) -> bool:
        """What was taken with that verdict is gone; whether it had been here until now."""
        found = super().give_back(verdict)
        share = self._shares.get(verdict.key)
        if found and share is not None:
            self._recency.note(verdict.key, share)
        return found

    def turn(self, now: float) -> Iterator[None]:
        """Time has passed: give back what nobody uses, and say again what the store may have forgotten.

        It is done by going through this, and each step looks at :data:`~.standing.STEP` keys.
        """
        again = self._round.some(self._shares)
        heard, before = self._recency.turn()
        for number, key in enumerate(chain(again, heard, before), 1):
            share = self._shares.get(key)
            if share is not None and (number <= len(again) or self._too_many(key, share)):
                self.asks[key] = None
                if now > self.standing.valid_until and not self.of(key) and not self._recency.recent(share):
                    self._forget(key)  # nobody can be told, and nothing of it is reserved any more
            if not number % STEP:
                yield

    def _too_many(self, key: str, share: _Share) -> bool:
        """Whether more is reserved than may be wanted soon."""
        if not self._recency.recent(share):
            return True
        return share.held - self.of(key) > 2 * self.terms.batch_of(share.most)

    def claims(self, number: int) -> list[Claim]:
        """What is to be said next, of at most so many keys; from now on it counts as said."""
        found: list[Claim] = []
        for key in self.untold.some(number):
            if (share := self._shares.get(key)) is not None:
                share.full = False
                self.asks.pop(key, None)
                found.append(self._claim(key, share))
        # All at once: a dict looks for its first key among all that were taken from its front.
        for key in list(islice(self.asks, number - len(found))):
            del self.asks[key]
            found.append(self._claim(key, self._shares[key]))
        return found

    def _claim(self, key: str, share: _Share) -> Claim:
        used = self.of(key)
        spare = self.terms.batch_of(share.most) if self._recency.recent(share) else 0
        wanted = max(used, min(share.most, used + spare))
        share.held = min(share.held, wanted)  # the others may have it from here on
        return Claim(self, key, used, wanted, share.most)

    def answer(self, claim: Claim, allowed: int, free: int, now: float) -> None:
        """What became of a claim.

        :param allowed: places that it may give out, those that were used included; less than those when it
            had given out too many on credit.
        :param free: how many there are beside what all have reserved.
        """
        share = self._shares.get(claim.key)
        if share is None:
            return
        share.held = allowed
        share.full = free <= 0
        if share.full:
            share.again = now + RETRY
        if not self.of(claim.key) and not self._recency.recent(share):
            self._forget(claim.key)

    def failed(self, claims: Iterable[Claim]) -> None:
        """Nobody knows whether these were heard."""
        self.asks.update(dict.fromkeys(claim.key for claim in claims if claim.key in self._shares))

    def tell_all(self) -> None:
        """The store knows nothing of this process: say it all."""
        self.asks.clear()
        self.untold.fill(self._shares)

    def _forget(self, key: str) -> None:
        del self._shares[key]
        self.asks.pop(key, None)
