"""Times the first byte of a server's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class FirstByte:
    """How long it takes a server to answer: from its connection, or from the first that its client says to it
    if that is later, to its own first byte.

    It stands between two sides until then, and passes on what they say.

    :param clock: an ``IReactorTime``.
    :param answered: called with the seconds, once, when the first byte is there.
    """

    def __init__(self, clock: Any, answered: Callable[[float], None]) -> None:
        self._clock = clock
        self._answered: Callable[[float], None] | None = answered
        self._since = clock.seconds()
        self._asked = False

    def __repr__(self) -> str:
        return f"<FirstByte {'over' if self._answered is None else 'asked' if self._asked else 'connected'}>"

    def to_server(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """What to call with what the client says; ``write`` passes it on."""

        def said(data: bytes) -> None:
            if not self._asked:
                self._asked = True
                self._since = self._clock.seconds()
            write(data)

        return said

    def to_client(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """What to call with what the server says; ``write`` passes it on."""

        def said(data: bytes) -> None:
            write(data)
            if self._answered is not None:
                answered, self._answered = self._answered, None
                answered(self._clock.seconds() - self._since)

        return said
