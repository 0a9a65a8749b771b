"""One connection to a Redis: how it logs in, waits for replies, and ends."""

from __future__ import annotations

from collections import deque
from hashlib import sha1
from typing import TYPE_CHECKING, Any, NoReturn, cast

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from txredisapi import RedisError, RedisProtocol

from tcpsuite.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint


@frozen
class Login:
    """Who logs in.  ``password`` is asked for each time, and may raise an OSError."""

    user: str = ""
    password: Callable[[], str] = str
    database: int = 0


class RedisConnection(RedisProtocol):  # type: ignore[misc]
    """One connection; replies are bytes as they came.

    Replies come in order, so one timer watches over all of them: when the oldest is late, whoever waits
    behind it waits in vain too.

    :ivar why: why it ended, when it has.
    """

    def __init__(self, explain: Callable[[Failure], str], clock: IReactorTime, timeout: float) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.why = ""
        self._explain = explain
        self._clock = clock
        self._timeout = timeout
        self._due: deque[float] = deque()
        self._timer: IDelayedCall | None = None

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[str]) -> Deferred[Any]:
        """Run a script.

        :return: fires with the reply; fails with a ``RedisError`` when there is none within the time-out from
            now, and when Redis has forgotten the script.
        """
        known = sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            # ``eval`` would send a forgotten script once more, behind what was asked after it.
            if known in self.script_hashes:
                reply: Deferred[Any] = self.evalsha(known, keys, arguments)
            else:
                reply = self.eval(script, keys, arguments)
        except RedisError:  # what cannot be said in UTF-8
            return fail()
        self._due.append(self._clock.seconds() + self._timeout)
        if self._timer is None:
            self._timer = self._clock.callLater(self._timeout, self._look)
        return reply.addBoth(self._replied)

    def connectionLost(self, why: Failure = connectionDone) -> None:
        """Who waits for a reply learns that there will be none."""
        # Twisted's words for these two tell of no fault, or of the same one in two ways.
        silent = why.check(ConnectionDone, ConnectionLost)
        self.why = self.why or ("it closed the connection" if silent else self._explain(why))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connectionLost(why)

    def _replied(self, reply: Any) -> Any:
        self._due.popleft()
        return reply

    def _look(self) -> None:
        self._timer = None
        if not self._due:
            return
        left = self._due[0] - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            self.why = f"no answer within {self._timeout:g} s"
            self.transport.abortConnection()


async def connect(
    endpoint: IStreamClientEndpoint,
    login: Login,
    new: Callable[[], RedisConnection],
    explain: Callable[[Failure], str],
    master: bool = False,
) -> RedisConnection:
    """A connection that is ready to be asked.

    :param new: makes one that is not connected yet.
    :param explain: why one could not be connected, in words.
    :param master: whether a server that is not the master is of no use.
    :raises StoreFailed: when it cannot be reached, refuses, or is not ready.
    """
    factory = Factory.forProtocol(new)
    try:
        connection: Any = await endpoint.connect(factory)
    except (StoreFailed, CancelledError):
        raise
    except Exception:
        raise StoreFailed(explain(Failure())) from None
    try:
        password = login.password()
        if password:
            await connection.auth(password, login.user or None)
        if login.database:
            await connection.select(login.database)
        await connection.ping()
        if master and (await connection.role())[0] != b"master":
            raise StoreFailed("it is not the master")  # noqa: TRY301
    except (RedisError, OSError) as error:
        connection.transport.abortConnection()
        raise StoreFailed(connection.why or str(error).strip()) from None
    except BaseException:
        connection.transport.abortConnection()
        raise
    return cast(RedisConnection, connection)


def late(_result: object, timeout: float) -> NoReturn:
    """For ``Deferred.addTimeout``.

    :raises StoreFailed: always.
    """
    raise StoreFailed(f"no answer within {timeout:g} s")
