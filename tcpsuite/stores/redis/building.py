"""Makes a client of Redis as the configuration describes it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument

from tcpsuite.stores.redis.client import RedisClient
from tcpsuite.stores.redis.connection import Login, RedisConnection, connect
from tcpsuite.stores.redis.sentinel import SentinelEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IStreamClientEndpoint
    from twisted.python.failure import Failure

    from tcpsuite.stores.redis.options import RedisOptions


def build_client(
    options: RedisOptions,
    reactor: Any,
    endpoint: Callable[[str], IStreamClientEndpoint],
    explain: Callable[[Failure], str],
    now: Callable[[], float] = time.time,
) -> RedisClient:
    """A client as the configuration describes it; nothing is connected yet.

    :param endpoint: makes an endpoint of a Twisted client endpoint string.
    :param explain: why a connection was lost, in words.
    :param now: seconds since the epoch, by this machine's clock.
    """

    def connected(to: IStreamClientEndpoint, login: Login, master: bool = False) -> Deferred[RedisConnection]:
        new = partial(RedisConnection, explain, reactor, options.timeout)
        return Deferred.fromCoroutine(connect(to, login, new, explain, master))

    login = Login(options.user, partial(_password, options), options.database)
    to: IStreamClientEndpoint
    if options.sentinels:
        watchers = Login(password=lambda: str(options.sentinel_password))
        to = SentinelEndpoint(
            [endpoint(sentinel) for sentinel in options.sentinels],
            options.master,
            lambda host, port: endpoint(_address(options, host, port)),
            connect=lambda sentinel: connected(sentinel, watchers),
            clock=reactor,
            timeout=options.timeout / (len(options.sentinels) + 1),
        )
        name = f"redis {options.master}"
    else:
        to, name = endpoint(options.server), f"redis {options.server}"
    return RedisClient(
        lambda: connected(to, login, bool(options.sentinels)),
        reactor,
        name=name,
        lanes=options.connections,
        timeout=options.timeout,
        now=now,
    )


def _password(options: RedisOptions) -> str:
    if options.password_file:
        return Path(options.password_file).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    return str(options.password)


def _address(options: RedisOptions, host: str, port: int) -> str:
    if not options.master_tls:
        return f"tcp:{quoteStringArgument(host)}:{port}"
    roots = f":trustRoots={quoteStringArgument(options.trust_roots)}" if options.trust_roots else ""
    return f"tls:{quoteStringArgument(host)}:{port}{roots}"
