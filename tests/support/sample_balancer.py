"""A balancer as somebody else might bring it: nothing in the package knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from tcpsuite.core.picks import Told
from tcpsuite.interfaces import ILoadBalancer, IReasoned, ITimed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server


@implementer(ILoadBalancer, IReasoned, ITimed)
class LastAnswer:
    """The server whose last answer was the quickest, to the millisecond; of equals the least loaded."""

    def __init__(self, chance: Random) -> None:
        self.last: dict[str, float] = {}

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        return min(
            servers,
            key=lambda server: (
                round(self.last.get(server.name, 0.0), 3),
                (server.active + 1) / server.weight,
            ),
        )

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        times = {server.name: self.last[server.name] for server in servers if server.name in self.last}
        return Told("the quickest last answer; of equals the least loaded", {"last_seconds": times})

    def answered(self, server: Server, seconds: float, now: float) -> None:
        self.last[server.name] = seconds
