"""Makes what is kept in Redis, where its extra is installed: its library is imported when it is asked for."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from attrs import evolve

from tcpsuite.core.limits import Sharing
from tcpsuite.errors import StartError
from tcpsuite.stores.redis.extra import need_redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamClientEndpoint
    from twisted.python.failure import Failure

    from tcpsuite.stores.redis.client import RedisClient
    from tcpsuite.stores.redis.limits import RedisLimits
    from tcpsuite.stores.redis.options import RedisOptions
    from tcpsuite.stores.redis.sessions import RedisSessionStore


class InRedis:
    """What is kept in the Redis of the configuration; nothing is connected yet.

    :param endpoint: makes an endpoint of a Twisted client endpoint string.
    :param explain: why a connection was lost, in words.
    :param now: seconds since the epoch, by the clock that sessions go by here; compared with that of Redis.
    """

    def __init__(
        self,
        options: RedisOptions,
        reactor: Any,
        endpoint: Callable[[str], IStreamClientEndpoint],
        explain: Callable[[Failure], str],
        now: Callable[[], float],
    ) -> None:
        self._options = options
        self._reactor = reactor
        self._endpoint = endpoint
        self._explain = explain
        self._now = now

    def sessions(self) -> RedisSessionStore:
        """Where sessions are kept.

        :raises StartError: when the extra is not installed.
        """
        client = self._client("sessions.store", self._options)
        from tcpsuite.stores.redis.sessions import RedisSessionStore

        return RedisSessionStore(client, self._options.prefix)

    def limits(self) -> RedisLimits:
        """What asks about shared limits.

        :raises StartError: when the extra is not installed.
        """
        # One question is asked at a time.
        client = self._client("limits.shared", evolve(self._options, connections=1))
        from tcpsuite.stores.redis.limits import RedisLimits

        process = secrets.token_hex(8)
        return RedisLimits(Sharing(self._options.lease), client, self._reactor, process, self._options.prefix)

    def _client(self, wanted: str, options: RedisOptions) -> RedisClient:
        try:
            need_redis()
        except StartError as error:
            raise StartError(f"{wanted}: {error}") from None
        from tcpsuite.stores.redis.building import build_client

        return build_client(options, self._reactor, self._endpoint, self._explain, self._now)
