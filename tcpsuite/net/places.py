"""Work in threads, so much of it at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DeferredSemaphore

from tcpsuite.net.shield import finished

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred


class Places:
    """Threads that one kind of work may take, so that it leaves some to the others.

    :param in_thread: calls a function with arguments in a thread, and gives a Deferred of its result.
    :param at_once: how many.
    """

    def __init__(self, in_thread: Callable[..., Deferred[Any]], at_once: int) -> None:
        self._in_thread = in_thread
        self._free = DeferredSemaphore(at_once)

    def __repr__(self) -> str:
        return f"<Places taken={self._free.limit - self._free.tokens} waiting={len(self._free.waiting)}>"

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What ``function`` returns, called in a thread when there is a place.

        Who is cancelled while it waits for a place takes none, and its arguments are let go at once.  Who is
        cancelled later is so only when the function has returned.
        """
        await self._free.acquire()
        try:
            return await finished(self._in_thread(function, *arguments))
        finally:
            self._free.release()
