"""An upstream: several servers, and the next one for each client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from tcpsuite.core.balancing import STRATEGIES
from tcpsuite.core.connections import Attempt
from tcpsuite.core.health import RiseFall, Schedule
from tcpsuite.core.servers import Server
from tcpsuite.errors import ConnectFailed, NoServer, OutOfResources, RemoteError, StartError
from tcpsuite.interfaces import IHealthCheck, ILoadBalancer, Outcome
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.healthcheck import UNCHECKED, HealthChecker, TCPCheck
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.shortage import Complaints
from tcpsuite.options import import_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from random import Random

    from twisted.python.failure import Failure

    from tcpsuite.core.connections import Connection
    from tcpsuite.interfaces import IConnectionPool, ILease
    from tcpsuite.net.health_options import HealthOptions
    from tcpsuite.net.options import UpstreamOptions

CHECKS: Mapping[str, Callable[..., IHealthCheck]] = {"tcp": TCPCheck}
"""The built-in health checks, by the word in the file."""


@define
class _Search:
    """For whom a server is wanted, until when, and which have failed so far and why."""

    client: str
    connection: Connection
    deadline: float
    tried: dict[Server, str] = Factory(dict)


class Upstream:
    """Finds a server for each client, and keeps count of what became of it.

    It alone writes ``active``, ``connections`` and ``failures`` of its servers.

    :param name: the user's name for it.
    :param servers: in the order of the configuration.
    :param balancer: picks one of those that may be used.
    :param pools: by the server's name.
    :param clock: an ``IReactorTime``.
    :param checker: keeps ``up`` of the servers; ``None`` leaves them as they are.
    :param strategy: the balancer's name, for people.
    :param retries: how many other servers are tried for a client when the first one fails.
    :param connect_budget: seconds that all attempts for one client may take together.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        servers: Sequence[Server],
        balancer: ILoadBalancer,
        pools: Mapping[str, IConnectionPool],
        clock: Any,
        *,
        checker: HealthChecker | None = None,
        strategy: str = "",
        retries: int = 2,
        connect_budget: float = 10.0,
    ) -> None:
        self.name = name
        self.servers = tuple(servers)
        self.balancer = balancer
        self.pools = pools
        self.strategy = strategy
        self._clock = clock
        self._checker = checker
        self._retries = retries
        self._connect_budget = connect_budget
        self._complaints = Complaints(name, clock)

    def __repr__(self) -> str:
        up = sum(server.up for server in self.servers)
        active = sum(server.active for server in self.servers)
        return f"<Upstream {self.name} up={up} of {len(self.servers)} active={active}>"

    @property
    def ready(self) -> bool:
        """Whether some server takes new connections."""
        return bool(self.usable())

    def usable(self, tried: Collection[Server] = ()) -> list[Server]:
        """The servers that are up, have weight, and were not tried before."""
        return [server for server in self.servers if server.up and server.weight and server not in tried]

    def start(self) -> None:
        """Begin health checks, and warm connections if there are to be any."""
        for pool in self.pools.values():
            pool.start()
        if self._checker is not None:
            self._checker.start()

    async def stop(self, deadline: float = 0.0) -> None:
        """End health checks, take no new clients; connections have ``deadline`` seconds to end.  Done when
        none is left.
        """
        if self._checker is not None:
            self._checker.stop()
        await gatherResults([pool.close(deadline) for pool in self.pools.values()])

    def cut(self) -> None:
        """Reset every connection that somebody has; a stop under way is over with that."""
        for pool in self.pools.values():
            pool.cut()

    def acquire(self, client: str, connection: Connection) -> Deferred[ILease]:
        """A connection to one of the servers.

        :param client: the client's IP address; empty for a UNIX peer.
        :param connection: the client's record: every attempt, and the server at last, are noted there.
        :return: fires with the lease.  Fails with :class:`~tcpsuite.errors.ConnectFailed` when servers were
            tried in vain, :class:`~tcpsuite.errors.NoServer` when there was none to try,
            :class:`~tcpsuite.errors.OutOfResources` or :class:`~tcpsuite.errors.Closed`.  Cancelling it
            gives the attempt up.
        """
        return self._next(_Search(client, connection, self._clock.seconds() + self._connect_budget))

    def status(self) -> dict[str, Any]:
        """What there is to know now, as plain data."""
        return {
            "name": self.name,
            "strategy": self.strategy,
            "ready": self.ready,
            "servers": [self._server_status(server) for server in self.servers],
        }

    def _next(self, search: _Search) -> Deferred[ILease]:
        """Try the next server, if there is one and time for it."""
        now = self._clock.seconds()
        left = search.deadline - now
        try:
            server = None
            if len(search.tried) <= self._retries and left > 0:
                server = self._pick(search, now)
            if server is not None:
                return self._attempt(server, search, now, left)
        except Exception:
            return fail()
        if search.tried:
            tried = (f"{server.name}: {error}" for server, error in search.tried.items())
            return fail(ConnectFailed(", ".join(tried)))
        return fail(NoServer(self._why_none()))

    def _pick(self, search: _Search, now: float) -> Server | None:
        usable = self.usable(search.tried)
        return self.balancer.pick(usable, search.client, now) if usable else None

    def _attempt(self, server: Server, search: _Search, begun: float, timeout: float) -> Deferred[ILease]:
        server.active += 1
        self._tell(self.balancer.started, server, begun)
        try:
            acquired = self.pools[server.name].acquire(timeout)
        except Exception:
            acquired = fail()
        return acquired.addCallbacks(
            self._made,
            self._failed,
            callbackArgs=(server, search.connection, begun),
            errbackArgs=(server, search, begun),
        )

    def _made(self, lease: ILease, server: Server, connection: Connection, begun: float) -> ILease:
        server.connections += 1
        connection.server = server.name
        self._tried(server, connection, Outcome(True, seconds=self._clock.seconds() - begun))
        lease.ended().addCallback(self._finished, server)
        return lease

    def _failed(
        self, failure: Failure, server: Server, search: _Search, begun: float
    ) -> Failure | Deferred[ILease]:
        error = failure.value
        seconds = self._clock.seconds() - begun
        if isinstance(error, RemoteError):
            server.active -= 1
            server.failures += 1
            server.last_error = search.tried[server] = str(error)
            self._tried(server, search.connection, Outcome(False, str(error), seconds))
            return self._next(search)
        # Nobody's fault out there: the client left, we are closing, or have no descriptor left.
        if isinstance(error, OutOfResources):
            self._complaints.complain(str(error))
        why = "the client left" if isinstance(error, CancelledError) else str(error)
        search.connection.attempts += (Attempt(server.name, why, seconds),)
        self._finished(Outcome(True, seconds=seconds), server)
        return failure

    def _tried(self, server: Server, connection: Connection, outcome: Outcome) -> None:
        connection.attempts += (Attempt(server.name, outcome.error, outcome.seconds),)
        self._tell(self.balancer.connected, server, outcome, self._clock.seconds())

    def _finished(self, outcome: Outcome, server: Server) -> None:
        server.active -= 1
        self._tell(self.balancer.finished, server, outcome, self._clock.seconds())

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        """Tell the balancer; what goes wrong there must not touch our counts, nor lose a connection."""
        try:
            what(*arguments)
        except Exception:
            self.log.failure("the balancer of {upstream} is broken", upstream=self.name)

    def _why_none(self) -> str:
        if self.ready:
            return f"the balancer of {self.name} refused"
        down = sum(not server.up for server in self.servers)
        return f"no server of {self.name} takes connections: {down} of {len(self.servers)} down"

    def _server_status(self, server: Server) -> dict[str, Any]:
        health = UNCHECKED if self._checker is None else self._checker.status(server)
        return {
            "name": server.name,
            "address": server.address,
            "weight": server.weight,
            "up": server.up,
            "active": server.active,
            "connections": server.connections,
            "failures": server.failures,
            "last_error": server.last_error,
            **health,
            "pool": self.pools[server.name].stats(),
        }


def build_upstream(
    name: str,
    options: UpstreamOptions,
    reactor: Any,
    chance: Random,
) -> Upstream:
    """An upstream as the configuration describes it.

    :param reactor: makes the connections, and tells the time.
    :param chance: for the balancer, and to spread what would happen at once.
    :raises StartError: when a provider of somebody's own cannot be built, or is none.
    """
    servers = [Server(server.name, server.address, server.weight) for server in options.servers]
    deadlines = Deadlines(reactor)
    balancer = _provide(ILoadBalancer, name, options.strategy, STRATEGIES, chance)
    return Upstream(
        name,
        servers,
        balancer,
        {server.name: _build_pool(server, options, reactor, chance, deadlines) for server in servers},
        reactor,
        checker=_build_checker(name, servers, options.health, reactor, chance),
        strategy=options.strategy,
        retries=options.retries,
        connect_budget=options.connect_budget,
    )


def _build_pool(
    server: Server, options: UpstreamOptions, reactor: Any, chance: Random, deadlines: Deadlines
) -> ConnectionPool:
    pool = options.pool
    return ConnectionPool(
        server,
        server_endpoint(reactor, server.address, options.socket),
        reactor,
        settings=pool.settings(),
        connect_timeout=options.connect_timeout,
        chance=chance,
        deadlines=deadlines,
    )


def _build_checker(
    name: str,
    servers: Sequence[Server],
    options: HealthOptions,
    reactor: Any,
    chance: Random,
) -> HealthChecker | None:
    if options.type == "none":
        return None
    return HealthChecker(
        name,
        servers,
        _provide(IHealthCheck, name, options.type, CHECKS, reactor, options.timeout),
        reactor,
        health=lambda: RiseFall(options.rise, options.fall),
        schedule=Schedule(options.interval),
        chance=chance,
    )


def _provide(
    interface: Any, upstream: str, provider: str, built_in: Mapping[str, Callable[..., Any]], *arguments: Any
) -> Any:
    """Build the provider of that name, and see that it is one."""
    try:
        provided = (built_in.get(provider) or import_provider(provider))(*arguments)
        verifyObject(interface, provided)
    except Exception as error:  # somebody's own code runs here, and may raise anything
        raise StartError(f"upstream {upstream}: {provider} cannot be used: {error}") from error
    return provided
