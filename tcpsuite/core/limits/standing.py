"""How a process stands with the others: what the tables of shared limits have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from math import ceil, inf
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from tcpsuite.errors import LocalError

RETRY = 0.1
"""Seconds from the word that there is no more of something to the next question about it."""
STEP = 1000
"""Keys that are looked at in one go: it takes less than a millisecond."""


@frozen
class Terms:
    """How a process shares one limit.

    ``batch`` and ``local_share`` are parts of the limit, more than 0 and at most 1.
    """

    batch: float = 0.2
    """It takes so much at a time, and lets in so much on credit, before it was told what there is."""
    local_share: float = 0.34
    """It lets in so much while nobody tells it."""
    refuse: bool = False
    """It lets in nothing while nobody tells it."""

    def __attrs_post_init__(self) -> None:
        for value in (self.batch, self.local_share):
            if not 0 < value <= 1:
                raise LocalError(f"a part of a limit is more than 0 and at most 1, not {value}")

    def batch_of(self, most: float) -> int:
        """So many at a time, at least 1."""
        return max(1, int(most * self.batch))

    def alone_of(self, most: float) -> int:
        """So many while nobody tells it; a whole one at least, or nothing at all."""
        return 0 if self.refuse else ceil(most * self.local_share)


class Standing:
    """Whether this process counts with the others, or alone.

    :ivar valid_until: until then what was reserved for it is.
    :ivar away_since: when the store was found away, or to know nothing; ``None`` while it tells.
    """

    def __init__(self) -> None:
        self.valid_until = inf  # nothing is reserved yet
        self.away_since: float | None = None

    def __repr__(self) -> str:
        return "<Standing together>" if self.away_since is None else "<Standing alone>"

    def alone(self, now: float) -> bool:
        """Whether it counts alone now."""
        return self.away_since is not None or now > self.valid_until

    def words(self, now: float) -> str:
        """What a refusal adds to its reason."""
        return "; the others cannot be asked, and this process counts alone" if self.alone(now) else ""


class Noted(Protocol):
    """What remembers in which turn one heard of it last."""

    heard: int


Thing = TypeVar("Thing", bound=Noted)


class Recency(Generic[Thing]):
    """Of which keys one hears, turn by turn.  It costs an append for each key and turn, and nothing else.

    :ivar number: the turn that it is.
    :ivar keys: those of which one heard in this turn.
    """

    def __init__(self) -> None:
        self.number = 1
        self.keys: list[str] = []
        self._before: list[str] = []

    def __repr__(self) -> str:
        return f"<Recency turn={self.number} heard={len(self.keys)}>"

    def note(self, key: str, thing: Thing) -> None:
        """One hears of ``key``, whose this is."""
        if thing.heard != self.number:
            thing.heard = self.number
            self.keys.append(key)

    def recent(self, thing: Thing) -> bool:
        """Whether one heard of it in this turn, or in the one before."""
        return thing.heard >= self.number - 1

    def turn(self) -> tuple[list[str], list[str]]:
        """The next turn begins.

        :return: the keys of which one heard in the turn that ends, and in the one before: of these many may
            be recent no more.  Some may be gone.
        """
        heard, before = self.keys, self._before
        self._before, self.keys = heard, []
        self.number += 1
        return heard, before


class Backlog:
    """All keys that there were at one time, to be gone through some at a time."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def __repr__(self) -> str:
        return f"<Backlog {len(self._keys)}>"

    def __len__(self) -> int:
        """How many are left."""
        return len(self._keys)

    def fill(self, keys: Iterable[str]) -> None:
        """Begin anew, with these."""
        self._keys = list(keys)

    def some(self, number: int) -> list[str]:
        """The next ones, at most so many, from the end; some may be gone."""
        left = max(0, len(self._keys) - number)
        found = self._keys[left:]
        del self._keys[left:]
        return found


class Round:
    """Goes through all keys, a few each time, and begins again when it is through."""

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._left: Iterator[str] = iter(())
        self._size = 0

    def some(self, keys: Collection[str]) -> list[str]:
        """The next ones: all of them come in so many turns."""
        found = list(islice(self._left, self._size))
        if len(found) < self._size or not self._size:
            self._size = ceil(len(keys) / self._turns)
            self._left = iter(list(keys))
        return found
