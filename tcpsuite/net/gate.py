"""Lets bytes pass when their bandwidth allows it, and sees that everybody has a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from tcpsuite.core.limits.bandwidth import Flow


class Gate:
    """Stands before what passes one way on one connection.

    Only those whose turn is next in a bucket have a timer; the others are told by who had it before.

    :param flow: decides.
    :param clock: an ``IReactorTime``.
    :param again: called when something may pass for which there was too little.
    """

    __slots__ = ("_again", "_clock", "_flow", "_timer", "_wanted")

    def __init__(self, flow: Flow, clock: Any, again: Callable[[], object]) -> None:
        self._flow = flow
        self._clock = clock
        self._again = again
        self._timer: IDelayedCall | None = None
        self._wanted = 0
        flow.who = self

    def __repr__(self) -> str:
        return f"<Gate {'shut' if self.waits else 'open'}>"

    @property
    def waits(self) -> bool:
        """Whether something waits for bandwidth here."""
        return self._flow.waits

    @property
    def timed(self) -> bool:
        """Whether nothing can pass before a time that is set already."""
        return self._timer is not None

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` bytes pass now.  When it is none, ``again`` will be called."""
        self._wanted = wanted
        size = self._flow.take(wanted, self._clock.seconds())
        if not size:
            self.look()
        self._tell()
        return size

    def look(self) -> None:
        """It may be its turn: set a timer for that."""
        if (
            self._timer is None
            and (seconds := self._flow.wait(self._wanted, self._clock.seconds())) is not None
        ):
            self._timer = self._clock.callLater(seconds, self._fire)

    def rest(self) -> None:
        """Nothing is to pass for now."""
        self._flow.rest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell()

    def end(self) -> None:
        """Nothing is to pass any more."""
        self.rest()
        # Who knows each other in a circle is not forgotten at once.
        self._flow.who = None
        self._again = _nothing

    def _tell(self) -> None:
        for gate in self._flow.next():
            gate.look()

    def _fire(self) -> None:
        self._timer = None
        self._again()


def _nothing() -> None:
    """What is done behind the end."""
