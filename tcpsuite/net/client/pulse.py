"""A sign of life, from time to time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall


class Pulse:
    """Calls ``beat`` every so many seconds, 0 for never, while it runs.

    :param reactor: an ``IReactorTime``.
    """

    def __init__(self, reactor: Any, seconds: float, beat: Callable[[], object]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._beat = beat
        self._timer: IDelayedCall | None = None

    def __repr__(self) -> str:
        return f"<Pulse every {self._seconds:g} s{'' if self._timer else ' stopped'}>"

    def start(self) -> None:
        """From now on."""
        if self._seconds:
            self._timer = self._reactor.callLater(self._seconds, self._on_time)

    def stop(self) -> None:
        """No more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _on_time(self) -> None:
        self.start()
        self._beat()
