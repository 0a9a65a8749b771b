"""A thread that a test has in its hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, execute

if TYPE_CHECKING:
    from collections.abc import Callable


class HeldThread:
    """A thread that runs nothing until it is told."""

    def __init__(self) -> None:
        self.held: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, function: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.held.append((function, done))
        return done

    def run(self) -> None:
        """Run the one function that is held."""
        ((function, done),) = self.held
        self.held.clear()
        execute(function).chainDeferred(done)
