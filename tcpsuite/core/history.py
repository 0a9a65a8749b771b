"""What the latest checks of a server, or connections to it, came to."""

from __future__ import annotations

from collections import deque
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tcpsuite.interfaces import Outcome

LENGTH = 100
"""Outcomes that are remembered: with checks every 5 s, those of more than 8 minutes."""


@frozen
class Failure:
    """One that failed: when, and why."""

    at: float
    error: str


class History:
    """The latest outcomes of one kind, of one server.

    :param length: how many are remembered.
    :ivar ok: how many were good, of all that there ever were.
    :ivar failed: how many were not.
    :ivar last_success: when the latest good one was, on the clock of whoever adds them; ``None`` when there
        was none.  It is remembered when it is no longer among the latest.
    :ivar last_failure: likewise, and why it failed.
    """

    def __init__(self, length: int = LENGTH) -> None:
        # Seconds of a good one, None for one that failed: that is all the figures need.
        self._latest: deque[float | None] = deque(maxlen=length)
        self.ok = 0
        self.failed = 0
        self.last_success: float | None = None
        self.last_failure: Failure | None = None

    def __repr__(self) -> str:
        return f"<History ok={self.ok} failed={self.failed}>"

    def add(self, outcome: Outcome, at: float) -> None:
        """One more, at that time: people read it, nothing is reckoned from it."""
        if outcome.ok:
            self.ok += 1
            self.last_success = at
            self._latest.append(outcome.seconds)
        else:
            self.failed += 1
            self.last_failure = Failure(at, outcome.error)
            self._latest.append(None)

    def report(self) -> dict[str, Any]:
        """What there is to say of the latest, as plain data.

        ``count`` of them; the share that was ``healthy``, from 0 to 1; the seconds that the good ones took
        (``latency``: ``mean``, ``p50``, ``p95``, ``max``); the time of the ``last_success``; of the
        ``last_failure`` its time (``at``) and ``error``.  What nobody knows yet is ``None``.
        """
        took = sorted(seconds for seconds in self._latest if seconds is not None)
        count, failure = len(self._latest), self.last_failure
        return {
            "count": count,
            "healthy": len(took) / count if count else None,
            "latency": None if not took else _figures(took),
            "last_success": self.last_success,
            "last_failure": None if failure is None else {"at": failure.at, "error": failure.error},
        }


def _figures(took: Sequence[float]) -> dict[str, float]:
    def share(part: float) -> float:
        return took[ceil(part * len(took)) - 1]

    return {"mean": fmean(took), "p50": share(0.5), "p95": share(0.95), "max": took[-1]}
