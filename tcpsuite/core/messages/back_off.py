"""When to connect again."""

from __future__ import annotations


class Reconnecting:
    """Waits, for each failure in a row twice as long at most; how long of that, chance says.

    So those who have lost the same server come back spread over all of the time, not in step.

    :param first: seconds, the longest of the first wait.
    :param longest: seconds, of any wait.
    :param healthy: seconds after which a connection counts as one that was well: its loss is a first failure.
    """

    def __init__(self, first: float = 0.1, longest: float = 30.0, healthy: float = 30.0) -> None:
        self._first = first
        self._longest = longest
        self._healthy = healthy
        self._failures = 0
        self._since: float | None = None

    def __repr__(self) -> str:
        return f"<Reconnecting failures={self._failures}{'' if self._since is None else ' connected'}>"

    def connected(self, now: float) -> None:
        """There is a connection."""
        self._since = now

    def wait(self, now: float, chance: float) -> float:
        """There is none, or none any more.

        :param chance: from 0 up to 1.
        :return: seconds until the next try.
        """
        if self._since is not None and now - self._since >= self._healthy:
            self._failures = 0
        self._since = None
        # The exponent is bounded: a float overflows long before a server is given up.
        longest = min(self._longest, self._first * 2.0 ** min(self._failures, 100))
        self._failures += 1
        return chance * longest
