"""Limits that are shared in a real Redis."""

from __future__ import annotations

from random import Random
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent

from tcpsuite.core.limits import Limits, ResourceLimiter, Sharing, Terms
from tcpsuite.core.limits.sharing import TURN, Heard, Question
from tcpsuite.errors import StoreFailed
from tcpsuite.net.limit_options import LimitsOptions
from tcpsuite.net.sharing import SharedLimiter
from tcpsuite.options import Duration
from tcpsuite.stores.redis.limits import RedisLimits
from tests.integration.support.programs import PATIENCE, free_port
from tests.integration.support.redis import Redis
from tests.support.limit_store import Process, Store, TooLateError
from tests.support.redis_stores import redis_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tcpsuite.interfaces import Verdict
    from tcpsuite.stores.redis.client import RedisClient

CLIENT, OTHER = "192.0.2.1", "2001:db8::1"
FLUSH = "return redis.call('FLUSHALL')"

pytestmark = pytest.mark.usefixtures("redis_kind")


@pytest.fixture
def redis(tmp_path: Path, running: ExitStack) -> Redis:
    """A Redis of the test's own."""
    return running.enter_context(Redis(free_port(), tmp_path)).started()


@pytest_twisted.async_yield_fixture
async def client(redis: Redis) -> AsyncIterator[RedisClient]:
    """A client of it."""
    made = redis_client(redis.port, connections=1)
    made.start()
    yield made
    await made.stop()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    for _ in range(int(PATIENCE / 0.005)):
        if condition():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError(f"{what}: not in time")


class Twins:
    """Three processes, whose questions are put to Redis and to the model of it.

    :ivar answers: questions that were answered alike.
    :ivar late: those that both refused.
    """

    def __init__(self, client: RedisClient, chance: Random) -> None:
        self.answers = self.late = 0
        self._client = client
        self._chance = chance
        self._store = Store()
        self._processes = [Process(name, self._store, lease=40.0) for name in "abc"]
        self._real = [
            RedisLimits(process.sharing, client, reactor, name)
            for name, process in zip("abc", self._processes, strict=True)
        ]
        limits = Limits(connections_per_ip=12, message_rate=0.001, message_burst=15)
        terms = dict.fromkeys(("connections_per_ip", "message_rate"), Terms(batch=0.2, local_share=0.5))
        self._limiters = [
            ResourceLimiter(limits, shared=each.sharing.tables("l", terms)) for each in self._processes
        ]
        self._held: list[list[Verdict]] = [[], [], []]
        self._lost: list[tuple[int, Question]] = []

    async def step(self) -> None:
        """Something happens."""
        which, client = self._chance.randrange(3), self._chance.choice((CLIENT, OTHER))
        limiter, held = self._limiters[which], self._held[which]
        match self._chance.randrange(20):
            case 0 | 1 | 2 | 3:
                held += [limiter.admit(client, self._store.now) for _ in range(self._chance.randrange(4))]
            case 4 | 5:
                limiter.spend(client, 1, self._store.now)
            case 6 | 7 | 8 if held:
                limiter.release(held.pop(0))
            case 9 | 10:
                self._store.now += 0.05
                self._processes[which].turn()
            case 11 | 12 if (question := self._processes[which].lose()) is not None:
                self._lost.append((which, question))
            case 13 | 14 if self._lost:
                await self._come_late(*self._lost.pop(0))
            case 15 if self._chance.random() < 0.2:
                self._store.forget()
                await self._client.run(FLUSH, [], [])
            case _:
                await self._talk(which)

    async def _talk(self, which: int) -> None:
        process = self._processes[which]
        while (question := process.ask()) is not None:
            expected = process.send(question)
            found = await self._real[which].say(question)
            assert (found.heard, found.claims) == (expected.heard, expected.claims)
            for (given, left), (other, wanted) in zip(found.purchases, expected.purchases, strict=True):
                assert given == other
                assert abs(left - wanted) < PATIENCE
            process.receive(question, expected)
            self.answers += 1

    async def _come_late(self, which: int, question: Question) -> None:
        try:
            self._processes[which].send(question)
        except TooLateError:
            self.late += 1
            with pytest.raises(StoreFailed, match="asked too late"):
                await self._real[which].say(question)
        else:
            await self._real[which].say(question)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("seed", range(3))
async def test_as_the_model(client: RedisClient, seed: int) -> None:
    """Redis answers every question, on claims, on rates, of processes that it forgot or that come too late,
    as the store does against which all else is tested.
    """
    twins = Twins(client, Random(seed))
    for _ in range(400):
        await twins.step()
    assert twins.answers > 50
    assert twins.late > 2


class Shared:
    """A process of those that share, on the real clock."""

    def __init__(self, name: str, port: int, lease: float = 5.0) -> None:
        client = redis_client(port, connections=1, timeout=Duration(0.5))
        self.asking = RedisLimits(Sharing(lease), client, reactor, name)
        self.limiter = SharedLimiter(
            LimitsOptions(connections_per_ip=20, shared=("connections_per_ip",), batch=0.2), "l", self.asking
        )
        self.asking.start()

    @property
    def alone(self) -> bool:
        return self.asking.figures()["alone_for"] is not None

    def come(self) -> bool:
        return self.limiter.admit(CLIENT, reactor.seconds()).allowed

    async def come_until_full(self) -> int:
        """One by one, until none is let in for a while; how many were."""
        count = refused = 0
        while refused < 30:
            came = self.come()
            count, refused = count + came, 0 if came else refused + 1
            await deferLater(reactor, 0.01)
        return count


@pytest_twisted.ensureDeferred
async def test_stops_in_good_order(redis: Redis) -> None:
    """Whoever stops gives back at once what he has."""
    one, two = Shared("a", redis.port), Shared("b", redis.port)
    assert await one.come_until_full() == 20
    assert await two.come_until_full() == 1, "on credit"
    await one.asking.stop()
    assert await two.come_until_full() == 19
    assert two.asking.figures()["others"] == 0
    assert repr(two.asking).startswith(
        "<RedisLimits <Sharing <Standing together> peers=0 tables=1> <RedisClient "
    )
    await two.asking.stop()


STRANGE = """
for _, key in ipairs(KEYS) do
  redis.call('DEL', key)
  if ARGV[1] == 'text' then redis.call('SET', key, 'x')
  elseif ARGV[1] == 'set' then redis.call('SADD', key, 'x')
  else redis.call('HSET', key, 'a.0', ARGV[1], 'b.0', ARGV[1]) end
end
"""


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("value", ["text", "set", "x", "nan", "-5", "1e300"])
async def test_strange_values(client: RedisClient, value: str) -> None:
    """Whatever somebody else has put in a place of ours, each process is answered as if nothing were there;
    and what is in the other places counts.
    """
    terms = dict.fromkeys(("connections_per_ip", "message_rate"), Terms(batch=0.2))
    names = ["alive:a.0", "peers", "awaited", *(f"of:l:{limit}:{CLIENT}" for limit in terms)]
    for name, places, peers, free in (
        ("a", names, (), 7),
        ("b", names[3:], ("a.0",), 7),
        ("c", ["peers"], (), 4),  # what b has
    ):
        sharing = Sharing(9.0)
        limiter = ResourceLimiter(
            Limits(connections_per_ip=10, message_rate=1, message_burst=10), shared=sharing.tables("l", terms)
        )
        asking = RedisLimits(sharing, client, reactor, name)
        assert limiter.admit(CLIENT, 0.0).allowed
        assert limiter.spend(CLIENT, 1, 0.0).allowed
        await client.run(STRANGE, [f"tcpsuite:limits:{each}" for each in places], [value])
        question = sharing.ask(0.0)
        assert question is not None
        answer = await asking.say(question)
        assert answer.heard == Heard(True, True, frozenset(peers))
        assert answer.claims == [(3, free)]
        ((given, _),) = answer.purchases
        assert given == 2
        left = await client.run(HELD, [f"tcpsuite:limits:{each}" for each in names[3:]], [f"{name}.0"])
        assert left[0] == b"3"
        assert float(left[1]) > 0


HELD = "return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('GET', KEYS[2])}"


@pytest_twisted.ensureDeferred
async def test_silent(redis: Redis) -> None:
    """A Redis that says nothing holds nobody up: within its time-out one counts alone, which is logged once,
    and once when it is over.
    """
    one = Shared("a", redis.port)
    await until(lambda: one.asking.questions, "it asked")
    with capturedLogs() as logs:
        redis.signal(SIGSTOP)
        try:
            assert one.come()
            await until(lambda: one.alone, "it found out")
            assert sum(one.come() for _ in range(30)) == 7 - 1, "0.34 of 20"
            await deferLater(reactor, 3 * TURN)
        finally:
            redis.signal(SIGCONT)
        await until(lambda: not one.alone, "it counted with the others")
    told = [formatEvent(event) for event in logs if event["log_namespace"].endswith("RedisLimits")]
    assert [line.partition(":")[0].partition(", after")[0] for line in told if line] == [
        "shared limits are counted by this process alone",
        "shared limits are counted together again",
    ]
    await one.asking.stop()


@pytest_twisted.ensureDeferred
async def test_stops_while_it_is_away(redis: Redis) -> None:
    """A stop does not wait for a Redis that is gone, and one that never began has nothing to give back."""
    one, never = Shared("a", redis.port), Shared("b", free_port())
    await until(lambda: one.asking.questions, "it asked")
    redis.end()
    one.come()
    await one.asking.stop()
    await never.asking.stop()
    assert never.asking.figures()["others"] == 0
