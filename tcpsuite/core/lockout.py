"""Who has failed to log in too often."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

FAILURES = 10
"""Failures a minute: more than a person's fingers make, too few to search a password."""
WINDOW = 60.0
"""Seconds in which so many failures are forgotten again, one by one."""
CAPACITY = 10_000
"""Addresses that are remembered, about 2 MB.  Past it the one that was seen longest ago is forgotten."""


class Lockout:
    """Counts attempts by address, in a bucket that leaks ``failures`` a ``window``.

    An attempt counts as a failure from its start, so that a thousand at once are not all let in before the
    first has failed; one that was none is taken back.  An IPv6 address counts with the rest of its /64: who
    has one has all.
    """

    def __init__(self, failures: int = FAILURES, window: float = WINDOW, capacity: int = CAPACITY) -> None:
        self.failures = failures
        self.window = window
        self.capacity = capacity
        self._buckets: dict[str, tuple[float, float]] = {}  # address: how full, as of when; oldest first

    def __repr__(self) -> str:
        return f"<Lockout {len(self._buckets)} addresses>"

    def __len__(self) -> int:
        return len(self._buckets)

    def attempt(self, host: str, now: float) -> float:
        """May ``host`` try now?

        :param host: an IP address; empty for the peers of UNIX sockets, who count together.
        :return: 0 if so, and it counts as failed until :meth:`take_back`; else the seconds until it may.
        """
        address = _network(host)
        level = self._level(address, now)
        if level + 1 > self.failures:
            return (level + 1 - self.failures) * self.window / self.failures
        self._keep(address, level + 1, now)
        return 0.0

    def take_back(self, host: str, now: float) -> None:
        """An attempt was no failure: it no longer counts.  Other ones do."""
        address = _network(host)
        self._keep(address, self._level(address, now) - 1, now)

    def _level(self, address: str, now: float) -> float:
        level, at = self._buckets.get(address, (0.0, now))
        return max(0.0, level - (now - at) * self.failures / self.window)

    def _keep(self, address: str, level: float, now: float) -> None:
        self._buckets.pop(address, None)
        if level <= 0:
            return
        if len(self._buckets) >= self.capacity:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[address] = (level, now)


def _network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.exploded[:19]  # four groups of four digits, and the colons between them
