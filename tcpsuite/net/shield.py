"""Work that goes on when whoever waits for it has left, or ends in time whatever it does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def shield(work: Deferred[T]) -> Deferred[T]:
    """Fires as ``work`` does.  Cancelling it only gives up waiting; nobody then learns how ``work`` ends."""
    waiter: Deferred[T] = Deferred()
    work.chainDeferred(waiter)
    return waiter


def within(clock: Any, seconds: float, work: Deferred[T], late: Callable[[], T]) -> Deferred[T]:
    """Fires as ``work`` does, or after so many seconds with what ``late`` gives, or fails as that raises.

    When it is over, or is cancelled, ``work`` is cancelled; one that goes on all the same is not heard any
    more.

    :param clock: an ``IReactorTime``.
    """

    def over(result: Any) -> Any:
        work.cancel()
        return result

    def said(result: Any) -> None:
        if not answer.called:
            answer.callback(result)

    answer: Deferred[Any] = Deferred()
    answer.addTimeout(seconds, clock, onTimeoutCancel=lambda *_: late())
    answer.addBoth(over)
    work.addBoth(said)
    return answer


async def finished(work: Deferred[T], stop: Callable[[], None] | None = None) -> T:
    """What ``work`` gives.  Who is cancelled here is so only when ``work`` has ended.

    :param stop: called when nobody waits for its result any more.
    """
    ended = False

    def mark(result: T) -> T:
        # ``work.called`` does not say it: a Deferred that waits for another one was called already.
        nonlocal ended
        ended = True
        return result

    work.addBoth(mark)
    try:
        return await shield(work)
    except CancelledError:
        if stop is not None:
            stop()
        while not ended:
            with suppress(CancelledError):
                await shield(work)
        raise
