"""Makes an upstream as the configuration describes it."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from attrs import fields

from tcpsuite.core.affinity import StickTable
from tcpsuite.core.balancing import STRATEGIES
from tcpsuite.core.queueing import Queue
from tcpsuite.core.retrying import RetryBudget
from tcpsuite.core.servers import Server
from tcpsuite.errors import StartError
from tcpsuite.interfaces import IConnectionPool, ILoadBalancer
from tcpsuite.net.checks import build_checker, build_ejector, build_second_look
from tcpsuite.net.connecting import server_endpoint
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.fenced import FencedPool
from tcpsuite.net.members import Members
from tcpsuite.net.operating import Operator
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.pool_options import HOOKS
from tcpsuite.net.providing import provide
from tcpsuite.net.resets import RESETS
from tcpsuite.net.search import Patience
from tcpsuite.net.upstream import Upstream
from tcpsuite.options import OptionError, import_provider

if TYPE_CHECKING:
    from random import Random

    from tcpsuite.net.options import ServerOptions, UpstreamOptions
    from tcpsuite.net.pool_options import PoolOptions


def build_upstream(name: str, options: UpstreamOptions, reactor: Any, chance: Random) -> Upstream:
    """An upstream as the configuration describes it.

    :param reactor: makes the connections, and tells the time.
    :param chance: for the balancer, and to spread what would happen at once.
    :raises StartError: when a provider of somebody's own cannot be built, or is none.
    """
    servers = [build_server(server) for server in options.servers]
    make_pool = partial(_build_pool, name, options, reactor, chance, Deadlines(reactor))
    members = Members(
        name,
        servers,
        {server.name: make_pool(server) for server in servers},
        reactor,
        watch=partial(build_checker, name, servers, options.health, reactor, chance),
        ejector=build_ejector(servers, options.health),
        second_look=build_second_look(name, options.health, reactor),
        slow_start=options.slow_start,
        cut_when_down=options.cut_when_down,
    )
    return Upstream(
        name,
        members,
        build_balancer(name, options, chance),
        reactor,
        strategy=options.strategy,
        patience=_patience(options),
        budget=RetryBudget(options.retry_budget),
        queue=Queue(options.max_queue),
        operator=Operator(members, options.networks, make_pool),
        chance=chance,
        stick_table=build_stick_table(options),
    )


def build_stick_table(options: UpstreamOptions) -> StickTable | None:
    """Where clients are remembered; ``None`` where they are not."""
    if options.affinity == "off":
        return None
    return StickTable(options.affinity_timeout, options.affinity_entries)


def build_server(options: ServerOptions) -> Server:
    """A server as the configuration describes it, of which nothing is known yet."""
    return Server(
        options.name,
        options.address,
        options.weight,
        max_connections=options.max_connections,
        backup=options.backup,
    )


def _patience(options: UpstreamOptions) -> Patience:
    said: dict[str, Any] = {own.name: getattr(options, own.name, None) for own in fields(Patience)}
    # In the other modes who has no connection is having one made, for which there is connect_timeout.
    said["acquire_timeout"] = options.pool.acquire_timeout if options.pool.settings().reuses else inf
    return Patience(**said)


def _build_pool(
    upstream: str,
    options: UpstreamOptions,
    reactor: Any,
    chance: Random,
    deadlines: Deadlines,
    server: Server,
) -> IConnectionPool:
    own = options.pool.provider
    endpoint = server_endpoint(reactor, server.address, options.socket)
    said = {
        "settings": options.pool.settings(),
        "connect_timeout": options.connect_timeout,
        **_hooks(upstream, options.pool),
    }
    if not own:
        return ConnectionPool(server, endpoint, reactor, chance=chance, deadlines=deadlines, **said)
    pool: IConnectionPool = provide(IConnectionPool, upstream, own, {}, server, endpoint, reactor, **said)
    return FencedPool(pool, f"server {server.name} of upstream {upstream}", reactor)


def _hooks(upstream: str, pool: PoolOptions) -> dict[str, Any]:
    """What asks the connections of a pool, by name.

    What the mode does not look at is a warning of the file's check, and no reason not to start.
    """
    hooks: dict[str, Any] = {}
    for option, modes in HOOKS.items():
        name = getattr(pool, option)
        if name and pool.mode in modes:
            try:
                hooks[option] = RESETS.get(name) or import_provider(name)
            except OptionError as error:
                raise StartError(f"upstream {upstream}: {name} cannot be used: {error}") from error
    return hooks


def build_balancer(upstream: str, options: UpstreamOptions, chance: Random) -> ILoadBalancer:
    """The balancer of an upstream, of that name, as the configuration describes it.

    :raises StartError: when somebody's own cannot be built, or is none.
    """
    strategy = options.strategy
    extra = {"bounded_load": options.bounded_load} if strategy == "ip_hash" else {}
    balancer: ILoadBalancer = provide(ILoadBalancer, upstream, strategy, STRATEGIES, chance, **extra)
    return balancer
