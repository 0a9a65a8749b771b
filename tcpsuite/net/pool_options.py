"""The ``[upstream.NAME.pool]`` table: how the connections to each server are supplied."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import Duration, between, option


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
