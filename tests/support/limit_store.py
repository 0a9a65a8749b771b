"""What Redis does for shared limits, without Redis: the same steps, on a clock of the test's own."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Any

from attrs import define, field

from tcpsuite.core.limits.places import Claim
from tcpsuite.core.limits.sharing import Answer, Heard, Question, Sharing
from tcpsuite.core.limits.tokens import Purchase

if TYPE_CHECKING:
    from collections.abc import Iterator


class TooLateError(Exception):
    """A question that was asked before one that was heard."""


@define
class Store:
    """Keeps claims and what was paid for."""

    now: float = 0.0
    living: dict[str, tuple[int, float]] = field(factory=dict)
    peers: set[str] = field(factory=set)
    epoch: bool = False
    awaited: set[str] = field(factory=set)
    awaited_until: float = 0.0
    reserved: dict[str, dict[str, int]] = field(factory=dict)
    paid: dict[str, float] = field(factory=dict)

    def forget(self) -> None:
        """It lost all that it had."""
        self.__init__(self.now)  # type: ignore[misc]

    def lives(self, name: str) -> bool:
        """Whether the lease of that process has not ended."""
        return name in self.living and self.living[name][1] > self.now

    def answer(self, name: str, question: Question, lease: float) -> Answer:
        """Do what a process asks for.

        :raises TooLateError: when a later question of it was heard already; what it spent is paid for though.
        """
        purchases = [self._purchase(each) for each in question.purchases]
        stored = self.living[name][0] if self.lives(name) else 0
        if stored >= question.number:
            raise TooLateError
        known = stored == question.acked
        self.living[name] = (question.number, self.now + lease)
        if not self.epoch:
            self.epoch = True
            self.awaited = {peer for peer in question.peers if not self.lives(peer)}
            if self.awaited:
                self.awaited.add(name)
            self.awaited_until = self.now + lease
        if self.awaited_until <= self.now:
            self.awaited.clear()
        if known and question.whole:
            self.awaited.discard(name)
        settled = not self.awaited
        self.peers = {peer for peer in self.peers | {name} if self.lives(peer)}
        claims = [self._claim(name, claim, known and settled) for claim in question.claims]
        return Answer(
            Heard(known, settled, frozenset(self.peers - {name})),
            claims,
            purchases,
        )

    def _claim(self, name: str, claim: Claim, grows: bool) -> tuple[int, int]:
        kept = self.reserved.setdefault(f"{claim.table.name}:{claim.key}", {})
        for other in [other for other in kept if not self.lives(other)]:
            del kept[other]
        others = sum(places for other, places in kept.items() if other != name)
        allowed = max(0, min(claim.wanted if grows else claim.used, claim.most - others))
        kept[name] = max(claim.used, allowed)
        return allowed, claim.most - others - kept[name] if grows else 0

    def _purchase(self, asked: Purchase) -> tuple[float, float]:
        name, longest = f"{asked.table.name}:{asked.key}", asked.burst / asked.rate
        paid = min(max(self.now, self.paid.get(name, 0.0)), self.now + 2 * longest)
        paid = max(self.now, paid + asked.debt / asked.rate)
        free = floor((self.now + longest - paid) * asked.rate + 1e-6)
        given = max(0.0, min(asked.wanted, free))
        self.paid[name] = paid + given / asked.rate
        return float(floor(given)), self.paid[name] - self.now


class Counted(dict[str, None]):
    """Counts how often somebody begins to go through it.

    :ivar begun: so often.
    """

    begun = 0

    def __iter__(self) -> Iterator[str]:
        self.begun += 1
        return super().__iter__()


class Process:
    """One of several that share limits by a store.

    :ivar sharing: its shared limits.
    """

    def __init__(self, name: str, store: Store, lease: float = 9.0) -> None:
        self.sharing = Sharing(lease)
        self._name = name
        self._store = store

    def ask(self) -> Question | None:
        """What it asks now."""
        return self.sharing.ask(self._store.now)

    def send(self, question: Question) -> Answer:
        """The store hears a question."""
        return self._store.answer(f"{self._name}.{question.life}", question, self.sharing.lease)

    def receive(self, question: Question, answer: Answer) -> None:
        """It hears the answer."""
        self.sharing.answered(question, answer, self._store.now)

    def talk(self) -> int:
        """Ask until there is nothing to ask; how many questions that took."""
        number = 0
        while (question := self.ask()) is not None:
            self.receive(question, self.send(question))
            number += 1
        return number

    def turn(self) -> int:
        """A turn passes; in how many steps."""
        return 1 + sum(1 for _ in self.sharing.turn(self._store.now))

    def lose(self) -> Any:
        """Ask once, and get no answer."""
        if (question := self.ask()) is not None:
            self.sharing.failed(question, self._store.now)
        return question
