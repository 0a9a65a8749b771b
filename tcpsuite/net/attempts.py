"""Connections to one server while they are being made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory

from tcpsuite.net.endpoints import failure_text, lost_before
from tcpsuite.net.shortage import is_shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
    from twisted.python.failure import Failure

    from tcpsuite.net.deadlines import Deadline, Deadlines
    from tcpsuite.net.held import Held


class Failed(Protocol):
    """Is called when a connection could not be made."""

    def __call__(self, connection: int, why: str, *, shortage: bool) -> object:
        """Say which, why in words, and whether something of our own was short."""


class Attempts:
    """The attempts of one pool, by the number of the connection.

    :param endpoint: makes the connections.
    :param deadlines: keep each attempt's time.
    :param made: called with a connection that is made; over TLS, when the handshake is done.
    :param failed: called when one is not.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        deadlines: Deadlines,
        made: Callable[[Held], object],
        failed: Failed,
    ) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._made = made
        self._failed = failed
        self._under_way: dict[int, tuple[Deferred[Any], Deadline | None]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def __repr__(self) -> str:
        return f"<Attempts {len(self)} by {self._endpoint!r}>"

    def begin(self, held: Held, timeout: float) -> None:
        """Begin to connect; ``made`` or ``failed`` is called, perhaps at once, unless it is given up."""
        # An endpoint of somebody else's may raise what it should give as a failure.
        attempt = maybeDeferred(self._endpoint.connect, _Only(held))
        number = held.number
        self._under_way[number] = attempt, None
        attempt.addCallback(_shake_hands, held)
        attempt.addCallbacks(self._connected, self._refused, callbackArgs=(held,), errbackArgs=(number,))
        if number in self._under_way:
            deadline = self._deadlines.after(timeout, lambda: self._time_out(number, timeout))
            self._under_way[number] = attempt, deadline

    def give_up(self, connection: int) -> bool:
        """End an attempt; nothing is called for it any more.  Says whether there was one."""
        attempt = self._settle(connection)
        if attempt is not None:
            attempt.cancel()
        return attempt is not None

    def _settle(self, connection: int) -> Deferred[Any] | None:
        """An attempt is over, or is to be: whoever was given up is not listened to any more."""
        attempt, deadline = self._under_way.pop(connection, (None, None))
        if deadline is not None:
            deadline.cancel()
        return attempt

    def _connected(self, _protocol: Any, held: Held) -> None:
        self._settle(held.number)
        self._made(held)

    def _refused(self, failure: Failure, connection: int) -> None:
        if self._settle(connection) is not None:
            self._failed(connection, failure_text(failure), shortage=is_shortage(failure))

    def _time_out(self, connection: int, timeout: float) -> None:
        what = "TLS handshake" if self._under_way[connection][0].called else "answer"
        self.give_up(connection)
        self._failed(connection, f"no {what} within {round(timeout, 3):g} s", shortage=False)


def _shake_hands(_protocol: Any, held: Held) -> Deferred[None] | None:
    """Over TLS a connection is made when both know whom they speak to, and not before."""
    secured = held.secured()
    return secured and secured.addErrback(partial(lost_before, "the handshake was over"))


class _Only(Factory):
    """Gives its one protocol."""

    noisy = False

    def __init__(self, held: Held) -> None:
        self._held = held

    def buildProtocol(self, addr: IAddress | None) -> Held:
        return self._held
