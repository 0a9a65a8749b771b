"""The ``[upstream.NAME]`` table: servers, how one is chosen, how connections to them are made and checked."""

from __future__ import annotations

from attrs import NOTHING, frozen

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
class PoolOptions:
    """How the connections to each server are supplied."""

    mode: str = option(
        "on_demand",
        "on_demand connects when a client comes; preconnect keeps a few warm connections, each used once.",
        choices=("on_demand", "preconnect"),
    )
    warm: int = option(2, "Warm connections to each server, with preconnect.", check=between(1, 1000))
    warm_max_age: Duration = option(
        Duration(5.0),
        "A warm connection that nobody took for so long is replaced: servers cut silent ones.",
        check=between(0.1, 3600, "seconds"),
    )
    max_connections: int = option(
        100,
        "No warm connection is made to a server that has so many already; clients' own are never refused.",
        check=between(1, 1_000_000),
    )


@frozen
class HealthOptions:
    """How the servers are asked whether they are well."""

    type: Provider = option(
        Provider("tcp"),
        "tcp connects and closes; none asks nothing, and every server counts as up; or module:attribute.",
        choices=("tcp", "none"),
    )
    interval: Duration = option(
        Duration(5.0),
        "Time between two checks of a server; a second at most while the last one speaks against its state.",
        check=between(0.1, 86400, "seconds"),
    )
    timeout: Duration = option(
        Duration(2.0), "A check that takes longer has failed.", check=between(0.01, 3600, "seconds")
    )
    rise: int = option(2, "So many good checks in a row bring a server up.", check=between(1, 1000))
    fall: int = option(
        3,
        "So many failed checks in a row take a server down; the very first one does so alone.",
        check=between(1, 1000),
    )


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
