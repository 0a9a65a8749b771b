"""The ``[upstream.NAME]`` table: servers, how one is chosen, and what holds for all of them."""

from __future__ import annotations

from ipaddress import ip_network

from attrs import NOTHING, frozen

from tcpsuite.core.affinity import ENTRIES, TIMEOUT
from tcpsuite.core.balancing import STRATEGIES
from tcpsuite.core.retrying import SHARE
from tcpsuite.net.health_options import HealthOptions
from tcpsuite.net.pool_options import PoolOptions
from tcpsuite.net.search import Patience
from tcpsuite.net.socket_options import SocketOptions
from tcpsuite.options import ClientEndpoint, Duration, OptionError, Provider, at_least, between, option

_PATIENCE = Patience()
DAY = 86400


def _some(servers: tuple[ServerOptions, ...]) -> None:
    if not servers:
        raise OptionError("at least one server", servers)
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise OptionError("servers with a name each of their own", name)


def _text(value: str) -> None:
    if not value.strip():
        raise OptionError("some text", value)


def _networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise OptionError(f"networks such as 10.0.0.0/24 ({error})", network) from None


def _bound(factor: float) -> None:
    if factor and not 1 <= factor <= 100:
        raise OptionError("0, or a value from 1 to 100", factor)


@frozen
class ServerOptions:
    """One server of an upstream."""

    name: str = option(NOTHING, "Your name for the server, unique in its upstream.", check=_text)
    address: ClientEndpoint = option(
        NOTHING, 'A Twisted client endpoint string, "tcp:10.0.0.1:5432".', check=_text
    )
    weight: int = option(1, "Its share of new connections; 0 takes none.", check=between(0, 256))
    max_connections: int = option(
        0,
        "Connections that it has at once; while all servers have theirs, clients wait; 0: no limit.",
        check=between(0, 1_000_000),
    )
    backup: bool = option(False, "Whether it is used only while no other server may be.")


@frozen
class UpstreamOptions:
    """A set of servers that connections are balanced over."""

    servers: tuple[ServerOptions, ...] = option(NOTHING, "The servers; at least one.", check=_some)
    strategy: Provider = option(
        Provider("round_robin"),
        "How a server is picked: round_robin, least_connections, least_time, random, power_of_two, ip_hash, "
        "first, or module:attribute.",
        choices=tuple(STRATEGIES),
    )
    affinity: str = option(
        "off",
        "What a client is known by, to be led to the server that it had before: ip, its address; or off.",
        choices=("off", "ip"),
    )
    affinity_timeout: Duration = option(
        Duration(TIMEOUT),
        "A client that has had no connection for so long is forgotten.",
        check=between(1, 30 * DAY, "seconds"),
    )
    affinity_entries: int = option(
        ENTRIES,
        "Clients that are remembered at once; past it the one that was here longest ago is forgotten.",
        check=between(1, 10_000_000),
    )
    pool: PoolOptions = option(PoolOptions(), "How connections are supplied.")
    health: HealthOptions = option(HealthOptions(), "How servers are checked.")
    socket: SocketOptions = option(SocketOptions(), "How the sockets to the servers are set up.")
    connect_timeout: Duration = option(
        Duration(5.0),
        "A server that has not answered for so long is given up; over TLS, that has not shaken hands; and "
        "with pool.prepare, that is not ready.",
        check=between(0.01, 3600, "seconds"),
    )
    retries: int = option(
        _PATIENCE.retries,
        "Other servers that are tried for a client when the first one fails.",
        check=at_least(0),
    )
    retry_budget: float = option(
        SHARE,
        "Clients that are tried with another server at once, as a share of all connections; 3 always may.",
        check=between(0, 1),
    )
    connect_budget: Duration = option(
        Duration(_PATIENCE.connect_budget),
        "All attempts for one client together end after so long.",
        check=between(0.01, 3600, "seconds"),
    )
    queue_timeout: Duration = option(
        Duration(_PATIENCE.queue_timeout),
        "A client waits so long for a server with room, when all are full; 0: it is refused at once.",
        check=between(0, DAY, "seconds"),
    )
    max_queue: int = option(
        1000, "Clients that wait at once; who comes when so many do is refused.", check=between(0, 1_000_000)
    )
    hold_timeout: Duration = option(
        Duration(_PATIENCE.hold_timeout),
        "A client waits so long for a server to come up, when none is; 0: it is refused at once.",
        check=between(0, DAY, "seconds"),
    )
    pause_timeout: Duration = option(
        Duration(_PATIENCE.pause_timeout),
        "A client waits so long while the upstream is paused.",
        check=between(0, DAY, "seconds"),
    )
    slow_start: Duration = option(
        Duration(0.0),
        "A server that comes back gets a growing share of its weight for so long; 0: all of it at once.",
        check=between(0, DAY, "seconds"),
    )
    cut_when_down: bool = option(
        False, "Whether the connections of a server that goes down are reset; else they stay as they can."
    )
    bounded_load: float = option(
        0.0,
        "With ip_hash, no server has more than so many times the average of connections: 1.5; 0: no bound.",
        check=_bound,
    )
    networks: tuple[str, ...] = option(
        (),
        'Where servers that are added while it runs may be: ["10.0.0.0/24"]; empty: nowhere.',
        check=_networks,
    )
