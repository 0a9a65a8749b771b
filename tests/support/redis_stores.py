"""Stores of sessions in a real Redis, for tests under pytest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor

from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.endpoints import failure_text
from tcpsuite.options import ClientEndpoint, Duration
from tcpsuite.stores.redis.building import build_client
from tcpsuite.stores.redis.options import RedisOptions
from tcpsuite.stores.redis.sessions import RedisSessionStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.stores.redis.client import RedisClient


def redis_client(port: int, now: Callable[[], float] = time.time, **options: Any) -> RedisClient:
    """A client of the Redis on that port of loopback; ``now`` is the clock of its machine."""
    given: dict[str, Any] = {
        "server": ClientEndpoint(f"tcp:127.0.0.1:{port}"),
        "timeout": Duration(5.0),
        **options,
    }
    return build_client(
        RedisOptions(**given), reactor, lambda text: server_endpoint(reactor, text), failure_text, now
    )


def redis_store(port: int, prefix: str = "tcpsuite:", **options: Any) -> RedisSessionStore:
    """An open store there."""
    store = RedisSessionStore(redis_client(port, **options), prefix)
    store.open()
    return store
