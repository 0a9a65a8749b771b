"""The ``[upstream.NAME.health]`` table: how it is found out whether the servers are well."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import Duration, Provider, between, option


@frozen
class HealthOptions:
    """How it is found out whether the servers are well."""

    mode: str = option(
        "hybrid",
        "active asks the servers, passive judges by how real connections to them go, hybrid does both; "
        "none does neither, and every server counts as well.",
        choices=("active", "passive", "hybrid", "none"),
    )
    type: Provider = option(
        Provider("tcp"),
        "How a server is asked: tcp connects and closes; or module:attribute.",
        choices=("tcp",),
    )
    interval: Duration = option(
        Duration(5.0), "Time between two checks of a server.", check=between(0.1, 86400, "seconds")
    )
    fast_interval: Duration = option(
        Duration(1.0),
        "Time between two checks while the last one speaks against what the server counts as; the interval, "
        "if that is shorter.",
        check=between(0.1, 86400, "seconds"),
    )
    down_interval: Duration = option(
        Duration(0.0),
        "Time between two checks of a server that is down; 0: twice the interval, 10 s as it stands.",
        check=between(0, 86400, "seconds"),
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
    ejection_errors: int = option(
        5,
        "So many real connections in a row that could not be made, or that the server reset, eject it: it "
        "gets no new ones for a while. At most half of the servers are ejected at once.",
        check=between(1, 10_000),
    )
    ejection_time: Duration = option(
        Duration(10.0),
        "How long a server is ejected; each further time twice as long.",
        check=between(0.1, 86400, "seconds"),
    )
    max_ejection_time: Duration = option(
        Duration(300.0),
        "No ejection is longer; for each stretch as long as the last one in which no fault came, a doubling "
        "is taken back.",
        check=between(0.1, 86400, "seconds"),
    )

    @property
    def active(self) -> bool:
        """Whether the servers are asked."""
        return self.mode in ("active", "hybrid")

    @property
    def passive(self) -> bool:
        """Whether real connections tell how the servers are."""
        return self.mode in ("passive", "hybrid")
