"""Redis Sentinel: where the master is, asked before each connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from txredisapi import RedisError
from zope.interface import implementer

from tcpsuite.errors import StoreFailed
from tcpsuite.stores.redis.connection import late

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime

    from tcpsuite.stores.redis.connection import RedisConnection


@implementer(IStreamClientEndpoint)
class SentinelEndpoint:
    """Connects to whichever server the sentinels call the master.

    The first of them that answers is believed, and is the first that is asked the next time: one that is down
    costs its time once.

    :param sentinels: where they are.
    :param master: what they call it.
    :param endpoint: makes the endpoint of a host and a port.
    :param connect: makes a connection to the sentinel at an endpoint.
    :param clock: an ``IReactorTime``.
    :param timeout: seconds that each of them may take.
    """

    def __init__(
        self,
        sentinels: Sequence[IStreamClientEndpoint],
        master: str,
        endpoint: Callable[[str, int], IStreamClientEndpoint],
        *,
        connect: Callable[[IStreamClientEndpoint], Deferred[RedisConnection]],
        clock: IReactorTime,
        timeout: float,
    ) -> None:
        self._sentinels = list(sentinels)
        self._master = master
        self._endpoint = endpoint
        self._connect_to = connect
        self._clock = clock
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<SentinelEndpoint {self._master} of {len(self._sentinels)}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the protocol, or fails as the endpoint of the master does; with
        :class:`~tcpsuite.errors.StoreFailed` when no sentinel knows one.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        faults = []
        for sentinel in tuple(self._sentinels):
            asked = Deferred.fromCoroutine(self._ask(sentinel))
            try:
                host, port = await asked.addTimeout(self._timeout, self._clock, late)
            except CancelledError:
                raise
            except Exception as error:  # whatever is wrong with one, there are others
                faults.append(str(error) or type(error).__name__)
            else:
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)
                return await self._endpoint(host, port).connect(factory)
        raise StoreFailed(f"no sentinel knows {self._master}: {'; '.join(faults)}")

    async def _ask(self, sentinel: IStreamClientEndpoint) -> tuple[str, int]:
        connection = await self._connect_to(sentinel)
        try:
            address: Any = await connection.sentinel_get_master_addr_by_name(self._master)
        except RedisError as error:
            raise StoreFailed(connection.why or str(error).strip()) from None
        finally:
            # Not in peace: over TLS one that is silent would keep it for ever.
            connection.transport.abortConnection()
        if address is None:
            raise StoreFailed("there is no such master")
        host, port = address
        return host.decode(), int(port)
