"""Asking Redis about shared limits: what is no answer, and what a turn leaves room for."""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tcpsuite.core.limits import Sharing
from tcpsuite.core.limits.sharing import TURN
from tcpsuite.core.limits.standing import STEP
from tcpsuite.net.limit_options import LimitsOptions
from tcpsuite.net.sharing import SharedLimiter
from tcpsuite.stores.redis.client import RedisClient
from tcpsuite.stores.redis.limits import PAUSE, RedisLimits
from tests.stores.test_redis_client import TIMEOUT, ClientCase

CLIENT = "192.0.2.1"
NOTHING = b"*3\r\n:1\r\n:1\r\n*0\r\n"
"""The answer to who has claimed nothing: it is known, all have been heard, and there are no others."""
CLAIMED = b"*5\r\n:1\r\n:1\r\n*0\r\n:20\r\n:80\r\n"
BOUGHT = b"*2\r\n:20\r\n$3\r\n0.2\r\n"


class LimitsCase(ClientCase):
    """A process that shares limits, on a connection made by hand."""

    def setUp(self) -> None:
        """It has begun, and waits for its connection."""
        self.clock = Clock()
        self.wanted = []
        self.client = RedisClient(
            self.connect, self.clock, name="redis", lanes=1, timeout=TIMEOUT, chance=lambda: 0.0
        )
        self.asking = RedisLimits(Sharing(9.0), self.client, self.clock, "a")
        options = LimitsOptions(shared=("connections_per_ip", "message_rate"))
        self.limiter = SharedLimiter(options, "l", self.asking)
        self.asking.start()
        self.clock.advance(0)

    @property
    def alone(self) -> bool:
        """Whether it counts alone."""
        return self.asking.figures()["alone_for"] is not None


class AnswersTests(LimitsCase):
    def test_no_answers(self) -> None:
        """What is no answer to what was asked is none: the process counts alone, says why, and asks again."""
        for claimed, bought in (
            (b":1\r\n", BOUGHT),
            (b"*0\r\n", BOUGHT),
            (NOTHING, BOUGHT),
            (CLAIMED[:1] + b"4" + CLAIMED[2:-5], BOUGHT),
            (b"*3\r\n:1\r\n:1\r\n*1\r\n$1\r\n\xff\r\n", BOUGHT),
            (CLAIMED.replace(b":20", b"$1\r\nx"), BOUGHT),
            (CLAIMED, b"*0\r\n"),
            (CLAIMED, BOUGHT.replace(b"0.2", b"one")),
        ):
            self.setUp()
            connection, _ = self.connected()
            connection.dataReceived(NOTHING)
            self.limiter.admit(CLIENT, self.clock.seconds())
            self.limiter.spend(CLIENT, 1, self.clock.seconds())
            self.clock.advance(PAUSE)
            with capturedLogs() as told:
                connection.dataReceived(claimed + bought)
            self.assertTrue(self.alone, claimed)
            said = [formatEvent(event) for event in told if event["log_namespace"].endswith("RedisLimits")]
            (line,) = said
            self.assertIn("counted by this process alone: redis: strange value: ", line)
            self.clock.advance(TURN)
            connection.dataReceived(NOTHING)
            self.clock.advance(PAUSE)
            connection.dataReceived(CLAIMED + BOUGHT)
            self.assertFalse(self.alone, claimed)


class TurnTests(LimitsCase):
    def test_others_come_between(self) -> None:
        """Who has something else to do never waits longer than until so many keys were looked at."""
        table = self.limiter.shared.message_rate
        assert table is not None
        number = 3 * STEP + 1
        for each in range(number):
            table.spend(f"k{each}", 1, 100, 100, 0.0)
        table.asks.clear()
        seen = [0]

        def look() -> None:
            seen.append(len(table.asks))
            if seen[-1] < number:
                self.clock.callLater(0, look)

        self.clock.advance(TURN)
        self.clock.callLater(TURN, look)
        self.clock.advance(TURN)
        self.assertEqual(seen[-1], number)
        self.assertLessEqual(max(after - before for before, after in pairwise(seen)), STEP)
        self.clock.advance(TURN)
        self.assertEqual(self.asking.sharing.standing.away_since, TIMEOUT)
