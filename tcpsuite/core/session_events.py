"""What a session manager tells who observes it: one small record for each thing that happened.

A session is named by its digest, which opens nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import frozen


@frozen
class Opened:
    """A session is stored."""

    digest: bytes
    user: str


@frozen
class Resumed:
    """Somebody goes on with a session."""

    digest: bytes
    user: str


@frozen
class Left:
    """The last connection of this process that had a session has left it: its idle time begins."""

    digest: bytes
    user: str


@frozen
class Destroyed:
    """A session is forgotten, since somebody who had it wanted that."""

    digest: bytes
    user: str


@frozen
class Expired:
    """Sessions were swept out."""

    sessions: int


@frozen
class Refused:
    """Somebody was given no session."""

    user: str
    code: str
    """As the answer has it: ``full``, ``no-session``, ``user``."""


Event = Opened | Resumed | Left | Destroyed | Expired | Refused


class EventCounts:
    """How much of each there was."""

    def __init__(self) -> None:
        self._sessions: Counter[type] = Counter()
        self._refused: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<EventCounts {self.figures()}>"

    def note(self, event: Event) -> None:
        """It happened."""
        if isinstance(event, Refused):
            self._refused[event.code] += 1
        else:
            self._sessions[type(event)] += event.sessions if isinstance(event, Expired) else 1

    def figures(self) -> dict[str, Any]:
        """Sessions that were ``opened``, ``resumed``, ``left``, ``destroyed`` and ``expired``, and how often
        any was ``refused``, by the code of the answer.
        """
        kinds = (Opened, Resumed, Left, Destroyed, Expired)
        counts = {kind.__name__.lower(): self._sessions[kind] for kind in kinds}
        return {**counts, "refused": dict(self._refused)}
