"""The ``[upstream.NAME.health]`` table: how the servers are asked whether they are well."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import Duration, Provider, between, option


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
