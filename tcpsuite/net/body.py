"""Bytes that arrive when the peer likes, for a coroutine that takes them when it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_AHEAD = 256 * 1024
"""Bytes that may wait to be taken: past it the peer is not read, and one read more may be on its way."""


class Body:
    """What stands between a protocol, which feeds, and one coroutine, which reads.

    :param pause: called, again and again, while more arrives than there is room for.
    :param resume: called when there is room again.
    :ivar received: bytes that were fed.
    """

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.received = 0
        self._pause = pause
        self._resume = resume
        self._parts: list[bytes] = []
        self._held = 0
        self._complete = False
        self._fault: Exception | None = None
        self._reader: Deferred[None] | None = None

    def __repr__(self) -> str:
        state = "failed" if self._fault else "complete" if self._complete else "open"
        return f"<Body {state} received={self.received} held={self._held}>"

    @property
    def full(self) -> bool:
        """Whether no more should be fed now."""
        return self._held > MAX_AHEAD

    def feed(self, data: bytes) -> None:
        """More arrived.  What comes after a failure is dropped."""
        if not data or self._fault is not None:
            return
        self.received += len(data)
        self._held += len(data)
        self._parts.append(data)
        if self.full:
            self._pause()
        self._wake()

    def end(self) -> None:
        """That was all of it."""
        self._complete = True
        self._wake()

    def fail(self, fault: Exception) -> None:
        """The rest will never come: what is held is dropped, and the reader gets ``fault``.  The first one
        counts, and none does behind the end.
        """
        if not self._complete and self._fault is None:
            self._fault = fault
            self._take()
            self._wake()

    async def read(self) -> bytes:
        """All that is there, at least a byte of it; nothing at the end.

        :raises Exception: what :meth:`fail` was given.
        """
        while not self._parts and not self._complete and self._fault is None:
            self._reader = Deferred()
            await self._reader
        if self._fault is not None:
            raise self._fault
        return self._take()

    def _take(self) -> bytes:
        data, was_full = b"".join(self._parts), self.full
        self._parts.clear()
        self._held = 0
        if was_full:
            self._resume()
        return data

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.called:
            reader.callback(None)
