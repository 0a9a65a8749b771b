"""How many clients may be tried with another server at once, when theirs has failed."""

from __future__ import annotations

SHARE = 0.2
"""Of the connections that there are: so a retry never doubles the load on what is left."""
LEAST = 3
"""However few connections there are."""


class RetryBudget:
    """Bounds the retries that are under way.

    When all servers fail at once, every client would be tried with each of them in turn, and those that come
    back would be met by several times their load.

    :param share: retries under way at most, as a share of all connections.
    :param least: so many may always be.
    :ivar made: retries begun.
    :ivar denied: how often one had to wait, for others to be over.
    """

    def __init__(self, share: float = SHARE, least: int = LEAST) -> None:
        self.share = share
        self.least = least
        self.made = 0
        self.denied = 0
        self._under_way = 0

    def __repr__(self) -> str:
        return f"<RetryBudget under_way={self._under_way} made={self.made} denied={self.denied}>"

    def has_room(self, active: int) -> bool:
        """Whether one more may be made now, with ``active`` connections in all."""
        return self._under_way + 1 <= max(self.least, self.share * active)

    def begin(self, active: int) -> bool:
        """Whether one more is made, with ``active`` connections in all.  If so, :meth:`end` it."""
        if not self.has_room(active):
            self.denied += 1
            return False
        self._under_way += 1
        self.made += 1
        return True

    def end(self) -> None:
        """One that was begun is over, however."""
        self._under_way -= 1

    def stats(self) -> dict[str, int]:
        """Counts by name."""
        return {"under_way": self._under_way, "made": self.made, "denied": self.denied}
