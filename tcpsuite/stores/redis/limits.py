"""Asks Redis, or Valkey, what a process may let in of limits that several count together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.logger import Logger

from tcpsuite.core.limits.places import REFRESH
from tcpsuite.core.limits.sharing import TURN, Answer, Heard
from tcpsuite.errors import StoreFailed
from tcpsuite.stores.redis import limit_scripts as scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from tcpsuite.core.limits.places import Claim
    from tcpsuite.core.limits.sharing import Question, Sharing
    from tcpsuite.core.limits.tokens import Purchase
    from tcpsuite.stores.redis.client import RedisClient

Number = TypeVar("Number", int, float)

PAUSE = 0.005
"""Seconds from one question to the next: what comes meanwhile is asked together, and a process under load
asks no more often."""
KEPT = 3 * REFRESH * TURN
"""Seconds after which Redis forgets a claim that was not made again."""
FORGOTTEN = "Redis does not know, or not yet again, what each has"


class RedisLimits:
    """Asks what is to be asked, one question at a time, and says which processes there are.

    :param sharing: what is to be asked, and who is told the answers.
    :param client: started by :meth:`start`, stopped by :meth:`stop`.
    :param clock: an ``IReactorTime``.
    :param process: a name that no other process has, nor had.
    :param prefix: what the names of all keys begin with.
    :ivar client: what it asks through.
    :ivar questions: how many there were.
    """

    log = Logger()

    def __init__(
        self,
        sharing: Sharing,
        client: RedisClient,
        clock: IReactorTime,
        process: str,
        prefix: str = "tcpsuite:",
    ) -> None:
        self.sharing = sharing
        self.questions = 0
        self.client = client
        self._clock = clock
        self._process = process
        self._prefix = f"{prefix}limits:"
        self._life = 0
        self._running = False
        self._asking = DeferredLock()
        self._asked_at = -PAUSE
        self._soon: IDelayedCall | None = None
        self._turning: IDelayedCall | None = None

    def __repr__(self) -> str:
        return f"<RedisLimits {self.sharing!r} {self.client!r}>"

    def start(self) -> None:
        """Connect, and begin to ask.  That Redis is away is no reason not to start."""
        self._running = True
        self.client.start()
        self._turn()

    def wake(self) -> None:
        """There may be something to ask.  It is asked soon, and nobody waits for that."""
        if self._soon is None and self.sharing.wanting:
            self._look_soon()

    def figures(self) -> dict[str, Any]:
        """How it stands with the others: ``alone_for`` seconds it has counted alone, ``None`` if it does not;
        how many ``others`` there are, as last heard; and how many ``questions`` there were.
        """
        since = self.sharing.standing.away_since
        return {
            "alone_for": None if since is None else round(self._clock.seconds() - since, 3),
            "others": len(self.sharing.peers),
            "questions": self.questions,
        }

    def stop(self) -> Deferred[Any]:
        """Give everything back, and close the connections.  Fires when that is done, or cannot be."""
        self._running = False
        for timer in (self._soon, self._turning):
            if timer is not None and timer.active():
                timer.cancel()
        return self._asking.run(lambda: Deferred.fromCoroutine(self._leave()))

    def _turn(self) -> None:
        now = self._clock.seconds()
        self._turn_on(self.sharing.turn(now), now + TURN)

    def _turn_on(self, steps: Iterator[None], due: float) -> None:
        """The next step, or the next turn; between two steps whatever else is waiting comes first."""
        self._look_soon()
        for _ in steps:
            self._turning = self._clock.callLater(0, self._turn_on, steps, due)
            return
        self._turning = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._turn)

    def _look_soon(self) -> None:
        if self._soon is None and self._running and not self._asking.locked:
            due = self._asked_at + PAUSE - self._clock.seconds()
            self._soon = self._clock.callLater(max(0.0, due), self._look)

    def _look(self) -> None:
        self._soon = None
        asked = self._asking.run(lambda: Deferred.fromCoroutine(self._ask()))
        asked.addErrback(lambda failure: self.log.failure("shared limits", failure))
        asked.addCallback(lambda _: self.wake())  # for what came meanwhile

    async def say(self, question: Question) -> Answer:
        """Put a question to Redis.

        :raises StoreFailed: when not all of it was answered in time.
        """
        # Both at once, for else one would wait for the other.
        asked: list[Deferred[Any]] = [
            Deferred.fromCoroutine(self._claim(question)),
            Deferred.fromCoroutine(self._spend(question.purchases)),
        ]
        told = await DeferredList(asked, consumeErrors=True)
        for done, failure in told:
            if not done:
                failure.raiseException()
        (heard, claims), purchases = (result for _, result in told)
        return Answer(heard, claims, purchases)

    async def _ask(self) -> None:
        self._asked_at = self._clock.seconds()
        question = self.sharing.ask(self._asked_at)
        if question is None:
            return
        self.questions += 1
        self._life = question.life
        away_since, fault = self.sharing.standing.away_since, FORGOTTEN
        try:
            answer = await self.say(question)
        except StoreFailed as error:
            fault = str(error)
            self.sharing.failed(question, self._clock.seconds())
        else:
            self.sharing.answered(question, answer, self._clock.seconds())
        self._tell(away_since, fault)

    def _tell(self, before: float | None, fault: str) -> None:
        since = self.sharing.standing.away_since
        if before is None and since is not None:
            self.log.warn("shared limits are counted by this process alone: {fault}", fault=fault)
        elif before is not None and since is None:
            self.log.info(
                "shared limits are counted together again, after {seconds:.1f} s; other processes: {number}",
                seconds=self._clock.seconds() - before,
                number=len(self.sharing.peers),
            )

    async def _claim(self, question: Question) -> tuple[Heard, list[tuple[int, int]]]:
        claims, peers = question.claims, sorted(question.peers)
        name = self._name(question.life)
        lease, kept = (str(int(seconds * 1000)) for seconds in (self.sharing.lease, KEPT))
        arguments = [
            name, str(question.number), str(question.acked), lease, f"{self._prefix}alive:", kept,
            str(int(question.whole)), str(len(peers)), *peers,
        ]  # fmt: skip
        for claim in claims:
            arguments += str(claim.used), str(claim.wanted), str(claim.most)
        keys = [self._prefix + each for each in (f"alive:{name}", "peers", "epoch", "awaited")]
        keys += self._names(claims)

        def read(reply: Any) -> tuple[Heard, list[tuple[int, int]]]:
            known, settled, living, *answers = reply
            others = (each.decode() for each in living)
            mine = f"{self._process}."  # a life before this one is nobody else
            peers = frozenset(each for each in others if not each.startswith(mine))
            return Heard(bool(known), bool(settled), peers), _pairs(answers, len(claims), int)

        told: tuple[Heard, list[tuple[int, int]]]
        told = await self.client.run(scripts.CLAIM, keys, arguments, read=read)
        return told

    async def _spend(self, purchases: Sequence[Purchase]) -> list[tuple[float, float]]:
        if not purchases:
            return []
        arguments: list[str] = []
        for each in purchases:
            arguments += repr(each.debt), repr(each.wanted), repr(each.rate), repr(each.burst)
        told: list[tuple[float, float]] = await self.client.run(
            scripts.SPEND,
            self._names(purchases),
            arguments,
            read=lambda reply: _pairs(reply, len(purchases), float),
        )
        return told

    async def _leave(self) -> None:
        if self.questions:
            name = self._name(self._life)
            keys = [self._prefix + each for each in (f"alive:{name}", "peers", "awaited")]
            with suppress(StoreFailed):  # the lease ends by itself
                await self.client.run(scripts.LEAVE, keys, [name])
        await self.client.stop()

    def _name(self, life: int) -> str:
        return f"{self._process}.{life}"

    def _names(self, things: Sequence[Claim] | Sequence[Purchase]) -> list[str]:
        return [f"{self._prefix}of:{each.table.name}:{each.key}" for each in things]


def _pairs(told: Sequence[Any], number: int, read: Callable[[Any], Number]) -> list[tuple[Number, Number]]:
    """What Redis told, two numbers of each of so many."""
    if len(told) != 2 * number:
        raise ValueError(f"{len(told)} numbers, not {2 * number}")
    numbers = [read(each) for each in told]
    return list(zip(numbers[::2], numbers[1::2], strict=True))
