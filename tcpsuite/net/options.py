"""The ``[upstream.NAME]`` table: servers, how one is chosen, and what holds for all of them."""

from __future__ import annotations

from attrs import NOTHING, frozen

from tcpsuite.net.health_options import HealthOptions
from tcpsuite.net.pool_options import PoolOptions
from tcpsuite.net.socket_options import SocketOptions
from tcpsuite.options import ClientEndpoint, Duration, OptionError, Provider, at_least, between, option


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


@frozen
class ServerOptions:
    """One server of an upstream."""

    name: str = option(NOTHING, "Your name for the server, unique in its upstream.", check=_text)
    address: ClientEndpoint = option(
        NOTHING, 'A Twisted client endpoint string, "tcp:10.0.0.1:5432".', check=_text
    )
    weight: int = option(1, "Its share of new connections; 0 takes none.", check=between(0, 256))


@frozen
class UpstreamOptions:
    """A set of servers that connections are balanced over."""

    servers: tuple[ServerOptions, ...] = option(NOTHING, "The servers; at least one.", check=_some)
    strategy: Provider = option(
        Provider("round_robin"),
        "How a server is picked: round_robin, least_connections, or module:attribute.",
        choices=("round_robin", "least_connections"),
    )
    pool: PoolOptions = option(PoolOptions(), "How connections are supplied.")
    health: HealthOptions = option(HealthOptions(), "How servers are checked.")
    socket: SocketOptions = option(SocketOptions(), "How the sockets to the servers are set up.")
    connect_timeout: Duration = option(
        Duration(5.0),
        "A server that has not answered for so long is given up.",
        check=between(0.01, 3600, "seconds"),
    )
    retries: int = option(
        2, "Other servers that are tried for a client when the first one fails.", check=at_least(0)
    )
    connect_budget: Duration = option(
        Duration(10.0),
        "All attempts for one client together end after so long.",
        check=between(0.01, 3600, "seconds"),
    )
