"""Asks a Redis, over a few connections that are kept.

Each connection has a lane: what goes there is done in the order in which it was asked.  A connection that
is lost, or does not answer in time, is made anew, with growing pauses while that fails.  Who asks meanwhile
waits for the first attempt behind a loss, within its time; while attempts fail, nobody waits.
"""

from __future__ import annotations

import time
from random import random
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.logger import Logger
from txredisapi import RedisError

from tcpsuite.core.limits.rates import Rates
from tcpsuite.errors import Closed, StoreFailed
from tcpsuite.stores.redis.connection import late

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from tcpsuite.stores.redis.connection import RedisConnection

FIRST_PAUSE = 0.05
"""Seconds from the loss of a connection to the first attempt."""
LONGEST_PAUSE = 5.0
"""Seconds between two attempts, but for chance: a server that is back is found within so long."""
TIME = "return redis.call('TIME')"
SAID_A_SECOND = 1 / 60
"""How often what Redis refuses is logged, of each kind: a crowd asks a thousand times a second."""
SAID_OF_ONE_ABSENCE = 5
"""Different reasons why there is no connection that are logged until there is one again."""
LONGEST_REASON = 300
"""Characters that are told of a value that cannot be read."""
UNFIT = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH")
"""Errors of a server that is not what it was: to connect anew may lead to another one, or log in again."""


class RedisClient:
    """Runs scripts.

    :param connect: makes a connection; cancelled when it takes too long.
    :param clock: an ``IReactorTime``.
    :param name: what it leads to, for the log.
    :param lanes: how many connections are kept.
    :param timeout: seconds that anything may take.
    :param now: seconds since the epoch, by this machine's clock.
    :ivar fault: why no connection could be made when that was last tried; empty when there is one.
    :ivar ahead: seconds that the clock of Redis is ahead of that, as far as is known.
    """

    log = Logger()

    def __init__(
        self,
        connect: Callable[[], Deferred[RedisConnection]],
        clock: IReactorTime,
        *,
        name: str,
        lanes: int = 2,
        timeout: float = 2.0,
        chance: Callable[[], float] = random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.timeout = timeout
        self._connect = connect
        self.ahead = 0.0
        self._now = now
        self._clock = clock
        self._name = name
        self.fault = ""
        self._said = Rates(100)  # by the first word of what is refused, as Redis tells them apart
        self._reasons: set[str] = set()
        pauses = backoffPolicy(2 * FIRST_PAUSE, LONGEST_PAUSE, 2.0, lambda: chance() * FIRST_PAUSE)
        self.lanes = [
            _Lane(lambda: Deferred.fromCoroutine(self._ready()), clock, pauses, self._noted, timeout)
            for _ in range(lanes)
        ]

    def __repr__(self) -> str:
        up = sum(lane.connection is not None for lane in self.lanes)
        return f"<RedisClient {self._name} connections={up} of {len(self.lanes)}>"

    async def compare_clocks(self) -> None:
        """Look how far Redis is ahead, as is done with each new connection too.

        :raises StoreFailed: when there is no answer.
        """
        self._compared(self._now(), await self.run(TIME, [], []))

    def start(self) -> None:
        """Begin to connect; that it fails is logged, and tried again."""
        for lane in self.lanes:
            lane.start()

    def stop(self) -> Deferred[Any]:
        """Close all connections.  Fires when they are gone, which takes no longer than the time-out."""
        return gatherResults([lane.stop() for lane in self.lanes])

    def run(
        self,
        script: str,
        keys: Sequence[str],
        arguments: Sequence[str],
        lane: int = 0,
        read: Callable[[Any], Any] = lambda reply: reply,
    ) -> Deferred[Any]:
        """Run a script in Lua, whole or not at all.

        :param lane: what is asked with the same number is done in order.
        :param read: what the reply means; a ValueError or the like if that is nothing, for others may write
            there.
        :return: fires with what was read; fails with :class:`~tcpsuite.errors.StoreFailed` within the
            time-out.  Cancelling it gives up waiting for the reply.
        """
        answer: Deferred[Any] = Deferred()
        chosen = self.lanes[lane % len(self.lanes)]

        def ask(connection: RedisConnection) -> Deferred[Any]:
            return connection.run(script, keys, arguments).addErrback(_unfit, connection)

        if chosen.connection is not None:
            asked = ask(chosen.connection)
        else:
            asked = chosen.soon().addTimeout(self.timeout, self._clock, late).addCallback(ask)
            # Some of its time is over by then: that it is late at the end is not the fault of the connection.
            answer.addTimeout(self.timeout, self._clock, late)
        asked.chainDeferred(answer)
        return answer.addCallback(_understand, read).addErrback(self._name_it)

    async def _ready(self) -> RedisConnection:
        connection = await self._connect().addTimeout(self.timeout, self._clock, late)
        try:
            asked, told = self._now(), connection.time().addErrback(_unfit, connection)
            self._compared(asked, await told.addTimeout(self.timeout, self._clock, late))
        except BaseException:
            connection.transport.abortConnection()
            raise
        return connection

    def _compared(self, asked: float, told: Sequence[bytes]) -> None:
        """Redis has told its time, half way between the question and now, as far as anybody knows."""
        seconds, microseconds = map(int, told)
        self.ahead = seconds + microseconds / 1e6 - (asked + self._now()) / 2

    def _name_it(self, failure: Failure) -> NoReturn:
        failure.trap(StoreFailed)
        why = str(failure.value)
        # That there is no connection was said when it could not be made.
        kind, now = why.partition(" ")[0], self._clock.seconds()
        known = why == self.fault or why in self._reasons
        if not known and not self._said.spend(kind, 1, SAID_A_SECOND, 1, now):
            self.log.error("{name}: {why}", name=self._name, why=why)
        raise StoreFailed(f"{self._name}: {why}") from None

    def _noted(self, fault: str) -> None:
        """A connection was made, or could not be.  It is said once for all lanes, whatever comes between."""
        if fault:
            if fault not in self._reasons and len(self._reasons) < SAID_OF_ONE_ABSENCE:
                self._reasons.add(fault)
                self.log.error("{name}: {fault}", name=self._name, fault=fault)
        elif self.fault:
            self.log.info("{name}: it works again", name=self._name)
            self._reasons.clear()
            self.fault = ""
            for lane in self.lanes:
                lane.hurry()
        self.fault = fault


class _Lane:
    """One connection, made anew whenever it is lost.

    :param timeout: seconds that its end may take.
    :ivar connection: it, while it is there.
    """

    def __init__(
        self,
        connect: Callable[[], Deferred[RedisConnection]],
        clock: IReactorTime,
        pauses: Callable[[int], float],
        noted: Callable[[str], None],
        timeout: float,
    ) -> None:
        self.connection: RedisConnection | None = None
        self._connect = connect
        self._clock = clock
        self._pauses = pauses
        self._noted = noted
        self._timeout = timeout
        self._fault = ""
        self._stopped = False
        self._waiting: list[Deferred[RedisConnection]] = []
        self._keeping: Deferred[None] | None = None
        self._resting: Deferred[None] | None = None

    def start(self) -> None:
        self._keeping = Deferred.fromCoroutine(self._keep())

    def stop(self) -> Deferred[Any]:
        self._stopped = True
        connection, self.connection = self.connection, None
        if self._keeping is not None:
            self._keeping.addErrback(lambda failure: failure.trap(CancelledError))
            self._keeping.cancel()
        self._tell_waiters(Closed("the connection is closed"))
        if connection is None:
            return succeed(None)
        gone: Deferred[Any] = connection.whenDisconnected()
        connection.transport.loseConnection()
        # Over TLS that waits until the other side has said farewell: one that is frozen never does.
        end = self._clock.callLater(self._timeout, connection.transport.abortConnection)
        return gone.addCallback(lambda _: end.cancel() if end.active() else None)

    def soon(self) -> Deferred[RedisConnection]:
        """The connection, or the next one if that may be there in a moment."""
        if self.connection is not None:
            return succeed(self.connection)
        if self._stopped or self._fault:
            return fail(StoreFailed(self._fault or "the connection is closed"))
        waiter: Deferred[RedisConnection] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def hurry(self) -> None:
        """The server is back, as another lane has found: try now, and have who asks wait for that."""
        if self._resting is not None:
            self._fault = ""
            self._resting.callback(None)

    async def _rest(self, seconds: float) -> None:
        self._resting = Deferred()
        timer = self._clock.callLater(seconds, self._resting.callback, None)
        try:
            await self._resting
        finally:
            self._resting = None
            if timer.active():
                timer.cancel()

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._connect()
            except Exception as error:
                if self._stopped:
                    return
                failures += 1
                self._failed(str(error) or type(error).__name__)
                await self._rest(self._pauses(failures))
                continue
            failures = 0
            self._connected(connection)
            if connection.connected:
                await connection.whenDisconnected()
            self.connection = None
            await self._rest(FIRST_PAUSE)

    def _connected(self, connection: RedisConnection) -> None:
        self._fault = ""
        self._noted("")
        while self._waiting:  # who asks meanwhile comes behind them
            self._waiting.pop(0).callback(connection)
        self.connection = connection

    def _failed(self, fault: str) -> None:
        self._fault = fault
        self._noted(fault)
        self._tell_waiters(StoreFailed(fault))

    def _tell_waiters(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(error)


def _unfit(failure: Failure, connection: RedisConnection) -> NoReturn:
    """Nothing came of it: say why, and have a connection made anew that may lead to another server then."""
    failure.trap(RedisError)
    why = connection.why or str(failure.value).strip()
    if why.startswith(UNFIT):
        connection.transport.abortConnection()
    raise StoreFailed(why) from None


def _understand(reply: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(reply)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise StoreFailed(f"strange value: {str(error)[:LONGEST_REASON]}") from None
