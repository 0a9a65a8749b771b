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
    """Counts failures by address, in a bucket that leaks ``failures`` a ``window``.

    Only what has failed counts.  But what is under way may fail yet: so no more attempts of an address are
    under way than may all fail, or a thousand at once would be let in before the first has failed.  An IPv6
    address counts with the rest of its /64: who has one has all.
    """

    def __init__(self, failures: int = FAILURES, window: float = WINDOW, capacity: int = CAPACITY) -> None:
        self.failures = failures
        self.window = window
        self.capacity = capacity
        self._buckets: dict[str, tuple[float, float]] = {}  # address: how full, as of when; oldest first
        self._under_way: dict[str, int] = {}  # never forgotten: each ends

    def __repr__(self) -> str:
        return f"<Lockout {len(self)} failed, {sum(self._under_way.values())} under way>"

    def __len__(self) -> int:
        """Addresses that have failed."""
        return len(self._buckets)

    def wait(self, host: str, now: float) -> float:
        """Seconds until ``host`` may fail once more; 0 when it may now.

        :param host: an IP address; empty for the peers of UNIX sockets, who count together.
        """
        level = self._level(network(host), now)
        return max(0.0, (level + 1 - self.failures) * self.window / self.failures)

    def begin(self, host: str, now: float) -> bool:
        """Whether ``host`` may try now; if so the attempt is under way until :meth:`end`.

        It may not while it has to wait, nor while too many of its attempts are under way.
        """
        address = network(host)
        under_way = self._under_way.get(address, 0)
        if self._level(address, now) + 1 + under_way > self.failures:
            return False
        self._under_way[address] = under_way + 1
        return True

    def end(self, host: str, now: float, *, failed: bool) -> None:
        """An attempt that was begun has ended."""
        address = network(host)
        self._under_way[address] -= 1
        if not self._under_way[address]:
            del self._under_way[address]
        if failed:
            self._keep(address, self._level(address, now) + 1, now)

    def _level(self, address: str, now: float) -> float:
        level, at = self._buckets.get(address, (0.0, now))
        return max(0.0, level - (now - at) * self.failures / self.window)

    def _keep(self, address: str, level: float, now: float) -> None:
        self._buckets.pop(address, None)
        if len(self._buckets) >= self.capacity:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[address] = (level, now)


def network(host: str) -> str:
    """What ``host`` is counted as; of that, it is itself."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex(":", 2)  # without the zone, which such an address may name
