"""Requests that have a stream, or connection, of their own: no small one waits behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from tcpsuite.core.pooling import PoolSettings
from tcpsuite.core.pooling.settings import MESSAGE
from tcpsuite.core.servers import Server
from tcpsuite.errors import TcpsuiteError
from tcpsuite.net.client.lane import Asked, Lane
from tcpsuite.net.pool import ConnectionPool

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamClientEndpoint

    from tcpsuite.net.client.client import Client


class Alone:
    """Lends each such request a connection of a pool, which is there from the first of them on.

    :param client: whose requests they are.
    """

    def __init__(self, client: Client, endpoint: IStreamClientEndpoint, reactor: Any) -> None:
        self._client = client
        self._endpoint = endpoint
        self._reactor = reactor
        self._pool: ConnectionPool | None = None

    def __repr__(self) -> str:
        return f"<Alone {self._pool!r}>"

    def ask(self, asked: Asked) -> None:
        """Send it when there is a connection for it."""
        Deferred.fromCoroutine(self._ask(asked))

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.close()

    async def _ask(self, asked: Asked) -> None:
        client = self._client
        pool = self._pool or self._make()
        try:
            lease = await pool.acquire(timeout=client.options.connect_timeout, holder="a large request")
        except TcpsuiteError as error:
            client.fail_unsent(asked, f"there was no connection for it: {error}")
            return
        if client.asked.get(asked.number) is not asked:  # its time is over, or it was cancelled
            pool.release(lease)
            return
        lane = Lane(client, client.options.max_message)
        lease.attach(lane)
        over: Deferred[bool] = Deferred()
        asked.over = over
        lane.ask(asked, self._reactor.seconds(), client.id)
        reusable = await over and not lane.retired
        if not lane.lost:
            lane.transport.unregisterProducer()
        pool.release(lease, reusable=reusable, ok=reusable)

    def _make(self) -> ConnectionPool:
        options = self._client.options
        settings = PoolSettings(MESSAGE, min_connections=0, max_connections=options.connections)
        self._pool = ConnectionPool(
            Server("alone", repr(self._endpoint)),
            self._endpoint,
            self._reactor,
            settings=settings,
            connect_timeout=options.connect_timeout,
        )
        self._pool.start()
        return self._pool
