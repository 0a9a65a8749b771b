"""Programs that share a session have its connection one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import DeferredLock

from tcpsuite.errors import ConnectFailed

if TYPE_CHECKING:
    from tcpsuite.net.attaching.attached import Attached

OVERLAP = 1.0
"""Seconds in which the program before may be seen to have closed: the next one is often started at once."""


class Succession:
    """Of one session's connection.

    :param clock: an ``IReactorTime``.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._lock = DeferredLock()
        self._holder: Attached | None = None

    async def begin(self, program: Attached, patience: float) -> None:
        """Wait until the program before is done with it, ``patience`` seconds at most; then :meth:`end` it.

        :raises ConnectFailed: when that takes longer; soon, when that program is not about to end.
        """
        try:
            await self._lock.acquire().addTimeout(OVERLAP, self._clock, _in_use)
        except ConnectFailed:
            if self._holder is not None and self._holder.outgoing.last is None:
                raise
            await self._lock.acquire().addTimeout(patience, self._clock, _in_use)
        self._holder = program

    def end(self, program: Attached) -> None:
        """It is done, or its turn never came."""
        if self._holder is program:
            self._holder = None
            self._lock.release()


def _in_use(_result: object, _timeout: float) -> NoReturn:
    raise ConnectFailed("the session's one connection is in use")
