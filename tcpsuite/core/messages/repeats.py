"""The answers to requests that may be repeated, kept for a while: who asks again is told the same."""

from __future__ import annotations

from typing import Any

SECONDS = 60.0
"""How long an answer is kept: twice as long as a client waits between two tries to connect."""
MOST = 10_000
MAX_BYTES = 16 * 1024**2

Key = tuple[bytes, int]
"""The client's id, and the number of its request."""


class Repeatable:
    """One request that may be repeated.

    :ivar answer: what was answered; ``None`` while that is being found out.
    :ivar owner: whatever whoever answers it wants to find here.
    """

    __slots__ = ("answer", "kept_until", "key", "owner")

    def __init__(self, key: Key, owner: Any) -> None:
        self.key = key
        self.owner = owner
        self.answer: bytes | None = None
        self.kept_until = 0.0


class Repeats:
    """Those of all clients of one service.

    What does not fit any more is forgotten, the oldest first: a repeat of it is a new request.

    :param seconds: how long an answer is kept.
    :param most: how many are kept.
    :param max_bytes: how many bytes of them.
    :ivar repeated: requests that came again.
    """

    def __init__(self, seconds: float = SECONDS, most: int = MOST, max_bytes: int = MAX_BYTES) -> None:
        self.seconds = seconds
        self.repeated = 0
        self._most = most
        self._max_bytes = max_bytes
        self._running: dict[Key, Repeatable] = {}
        self._answered: dict[Key, Repeatable] = {}  # the oldest first
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Repeats running={len(self._running)} kept={len(self._answered)} bytes={self._bytes}>"

    def __len__(self) -> int:
        """Answers that are kept."""
        return len(self._answered)

    def find(self, key: Key, now: float) -> Repeatable | None:
        """The request of this key, if it has come before and is not forgotten."""
        self._expire(now)
        found = self._running.get(key) or self._answered.get(key)
        self.repeated += found is not None
        return found

    def begin(self, key: Key, owner: Any) -> Repeatable:
        """It has come for the first time."""
        request = self._running[key] = Repeatable(key, owner)
        return request

    def answered(self, request: Repeatable, answer: bytes, now: float) -> None:
        """It was answered, which is kept."""
        del self._running[request.key]
        request.answer, request.owner, request.kept_until = answer, None, now + self.seconds
        self._answered[request.key] = request
        self._bytes += len(answer)
        self._expire(now)
        while len(self._answered) > self._most or self._bytes > self._max_bytes:
            self._forget_oldest()

    def forget(self, request: Repeatable) -> None:
        """It will not be answered."""
        self._running.pop(request.key, None)

    def _expire(self, now: float) -> None:
        while self._answered and next(iter(self._answered.values())).kept_until <= now:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._answered.pop(next(iter(self._answered)))
        self._bytes -= len(oldest.answer or b"")
