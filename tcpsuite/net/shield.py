"""Work that goes on when whoever waits for it has left."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


def shield(work: Deferred[T]) -> Deferred[T]:
    """Fires as ``work`` does.  Cancelling it only gives up waiting; nobody then learns how ``work`` ends."""
    waiter: Deferred[T] = Deferred()
    work.chainDeferred(waiter)
    return waiter
