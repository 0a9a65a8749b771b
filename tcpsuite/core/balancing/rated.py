"""What the rules share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tcpsuite.core.servers import Server

KNOWN = 4096
"""Servers of which something is remembered by name, some 400 KB of them, though they may have been removed:
far more than are worth balancing over.  Who was heard of longest ago is forgotten first."""

Known = TypeVar("Known")


def forget_oldest(known: dict[str, Known], heard: Callable[[Known], float]) -> None:
    """When more is known of servers than should be, forget half of it, that of which was heard longest ago:
    to forget one at a time would cost as much, each time.
    """
    if len(known) > KNOWN:
        for name in sorted(known, key=lambda name: heard(known[name]))[: len(known) // 2]:
            del known[name]


class Rated:
    """The servers of a sequence that have weight, and their weights: what a rule prepares from them holds
    until one of them changes.

    :ivar servers: those with weight, in their order.
    :ivar weights: theirs, in the same order.
    """

    def __init__(self) -> None:
        self.servers: tuple[Server, ...] = ()
        self.weights: list[float] = []
        self._seen: tuple[Server, ...] = ()
        self._seen_weights: list[float] = []

    def changed(self, servers: Sequence[Server]) -> bool:
        """Look at ``servers``: whether one of them, or a weight, is another than the last time."""
        # A list made and compared is cheaper than a loop, and right whoever changes what in place.
        weights = [server.weight for server in servers]
        seen = tuple(servers)
        if weights == self._seen_weights and seen == self._seen:
            return False
        self._seen, self._seen_weights = seen, weights
        self.servers = tuple(server for server in servers if server.weight > 0)
        self.weights = [weight for weight in weights if weight > 0]
        return True
