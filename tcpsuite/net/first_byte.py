"""Times the first byte of a server's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


MOST_ASKED = 64 * 1024
"""Bytes of a client behind which nobody waits for an answer any more: that is an upload, or one way only."""


class FirstByte:
    """How long it takes a server to answer: from its connection, or from the first that its client says to it
    if that is later, to its own first byte.

    It stands between two sides until then, and passes on what they say.

    :param clock: an ``IReactorTime``.
    :param answered: called with the seconds when the first byte is there.
    :param over: called, once, when nobody need stand between the two any more: behind ``answered``, or when
        the client has said more than :data:`MOST_ASKED` bytes without an answer.
    """

    def __init__(self, clock: Any, answered: Callable[[float], None], over: Callable[[], None]) -> None:
        self._clock = clock
        self._answered = answered
        self._over: Callable[[], None] | None = over
        self._since = clock.seconds()
        self._asked = 0

    def __repr__(self) -> str:
        return f"<FirstByte {'over' if self._over is None else 'asked' if self._asked else 'connected'}>"

    @property
    def is_over(self) -> bool:
        return self._over is None

    def to_server(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """What to call with what the client says; ``write`` passes it on."""

        def said(data: bytes) -> None:
            if not self._asked:
                self._since = self._clock.seconds()
            self._asked += len(data)
            write(data)
            if self._asked > MOST_ASKED:
                self.end()

        return said

    def to_client(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """What to call with what the server says; ``write`` passes it on."""

        def said(data: bytes) -> None:
            write(data)
            if self._over is not None:
                self._answered(self._clock.seconds() - self._since)
                self.end()

        return said

    def end(self) -> None:
        """Nobody waits for an answer any more."""
        if self._over is not None:
            over, self._over = self._over, None
            over()
