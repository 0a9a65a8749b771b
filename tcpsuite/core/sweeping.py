"""When sessions that several processes share may be taken for idle.

A process tells the store at each of its sweeps what it has in use.  While the store is away none can: behind
that all that is in use elsewhere looks as if nobody had used it.
"""

from __future__ import annotations

SWEEPS = 3
"""In an idle time-out, at least: a sweep stores that what is in use is used, lest another process sweeps it
out."""
FOUND_AGAIN = 15.0
"""Seconds in which every process finds a store that is back: they try it each 5 s, and give up after 2 s."""


class Settling:
    """Whether the others have had time to say what they use, since the store was last away.

    A process that begins does not know whether it was: it waits too.

    :param interval: seconds from one sweep of theirs to the next.
    """

    def __init__(self, interval: float) -> None:
        self._time = FOUND_AGAIN + interval
        self._answers_since: float | None = None

    def __repr__(self) -> str:
        return f"<Settling answers_since={self._answers_since}>"

    def answered(self, now: float) -> None:
        """The store has answered a sweep, at ``now`` (seconds)."""
        if self._answers_since is None:
            self._answers_since = now

    def failed(self) -> None:
        """It has not."""
        self._answers_since = None

    def is_over(self, now: float) -> bool:
        """They have."""
        return self._answers_since is not None and now - self._answers_since >= self._time
