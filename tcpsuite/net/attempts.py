"""Connections to one server while they are being made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory

from tcpsuite.errors import ConnectFailed, OutOfResources
from tcpsuite.net.endpoints import failure_text, lost_before
from tcpsuite.net.hooks import NotPrepared
from tcpsuite.net.shortage import is_shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
    from twisted.python.failure import Failure

    from tcpsuite.net.deadlines import Deadline, Deadlines
    from tcpsuite.net.held import Held


class Attempts:
    """The attempts of one pool, by the number of the connection.

    :param endpoint: makes the connections.
    :param deadlines: keep each attempt's time.
    :param prepare: called with each connection; what it gives, if it does, fires when that is ready.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        deadlines: Deadlines,
        prepare: Callable[[Held], Deferred[None] | None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._prepare = prepare
        self._under_way: dict[int, tuple[Deferred[Any], Deadline | None]] = {}
        self._given_up: dict[int, Exception] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def __contains__(self, connection: int) -> bool:
        return connection in self._under_way

    def __repr__(self) -> str:
        return f"<Attempts {len(self)} by {self._endpoint!r}>"

    def begin(self, held: Held, timeout: float) -> Deferred[Held]:
        """Begin to connect.

        :param timeout: seconds.
        :return: fires with ``held`` when it is connected, which may be at once; over TLS, when the handshake
            is done; and when it is prepared.  Fails with :class:`~tcpsuite.errors.ConnectFailed` or
            :class:`~tcpsuite.errors.OutOfResources`; with ``CancelledError`` when it was cancelled, which
            ends the attempt; with what :meth:`give_up` said.
        """
        number = held.number
        try:
            attempt: Deferred[Any] = self._endpoint.connect(_Only(held))
        except Exception:  # an endpoint of somebody else's may raise what it should give as a failure
            attempt = fail()
        self._under_way[number] = attempt, None
        attempt.addCallbacks(self._connected, self._refused, callbackArgs=(held,), errbackArgs=(number,))
        if number in self._under_way:
            deadline = self._deadlines.after(timeout, lambda: self._time_out(held, timeout))
            self._under_way[number] = attempt, deadline
        return attempt

    def give_up(self, connection: int, error: Exception) -> bool:
        """End an attempt, which fails with ``error``.  Says whether there was one."""
        if connection not in self._under_way:
            return False
        attempt = self._settle(connection)
        self._given_up[connection] = error
        attempt.cancel()
        return True

    def close(self, error: Exception) -> None:
        """End all of them, which fail with ``error``."""
        for connection in tuple(self._under_way):
            self.give_up(connection, error)

    def _settle(self, connection: int) -> Deferred[Any]:
        attempt, deadline = self._under_way.pop(connection)
        if deadline is not None:
            deadline.cancel()
        return attempt

    def _connected(self, _protocol: Any, held: Held) -> Held | Deferred[Held]:
        """Over TLS a connection is made when both know whom they speak to, and not before."""
        secured = held.secured()
        if secured is None:
            return self._secured(None, held)
        secured.addErrback(partial(lost_before, "the handshake was over"))
        return secured.addCallbacks(
            self._secured, self._refused, callbackArgs=(held,), errbackArgs=(held.number,)
        )

    def _secured(self, _: None, held: Held) -> Held | Deferred[Held]:
        preparing = None if self._prepare is None else self._prepare(held)
        if preparing is None:
            return self._made(None, held)
        return preparing.addCallbacks(
            self._made, self._refused, callbackArgs=(held,), errbackArgs=(held.number,)
        )

    def _made(self, _prepared: None, held: Held) -> Held:
        error = self._given_up.pop(held.number, None)
        if error is not None:
            # Given up by its own preparation: from in there it could not be cancelled.
            held.cut()
            raise error
        self._settle(held.number)
        return held

    def _refused(self, failure: Failure, connection: int) -> Failure:
        error = self._given_up.pop(connection, None)
        if error is not None:
            raise error
        self._settle(connection)
        if failure.check(CancelledError, ConnectingCancelledError):
            raise CancelledError
        if failure.check(NotPrepared):
            return failure
        raise (OutOfResources if is_shortage(failure) else ConnectFailed)(failure_text(failure))

    def _time_out(self, held: Held, timeout: float) -> None:
        time = f"within {round(timeout, 3):g} s"
        if held.asked is not None:
            self.give_up(held.number, NotPrepared(f"it was not prepared {time}"))
            return
        what = "TLS handshake" if self._under_way[held.number][0].called else "answer"
        self.give_up(held.number, ConnectFailed(f"no {what} {time}"))


class _Only(Factory):
    """Gives its one protocol."""

    noisy = False

    def __init__(self, held: Held) -> None:
        self._held = held

    def buildProtocol(self, addr: IAddress | None) -> Held:
        return self._held
