"""Connects, and connects again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from twisted.internet.protocol import Factory, Protocol

from tcpsuite.core.messages.back_off import Reconnecting

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
    from twisted.python.failure import Failure

    from tcpsuite.net.client.options import ClientOptions

Made = TypeVar("Made", bound=Protocol)


class Built(Factory, Generic[Made]):
    """A factory of whatever ``build`` gives."""

    noisy = False

    def __init__(self, build: Callable[[], Made]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> Made:
        """One connection."""
        return self._build()


class Redial(Generic[Made]):
    """One connection at a time, made again when :meth:`again` is called, after a wait.

    :param endpoint: makes it.
    :param reactor: an ``IReactorTime``.
    :param chance: says how long of each wait is waited.
    :param build: makes its protocol.
    :param connected: called with the protocol.
    :param refused: called with why an attempt failed.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        options: ClientOptions,
        chance: Random,
        build: Callable[[], Made],
        connected: Callable[[Made], object],
        refused: Callable[[Failure], object],
    ) -> None:
        self._endpoint = endpoint
        self._reactor = reactor
        self._options = options
        self._chance = chance
        self._build = build
        self._connected = connected
        self._refused = refused
        self._back_off = Reconnecting(options.first_wait, options.longest_wait, options.healthy)
        self._connecting: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._stopped = False

    def __repr__(self) -> str:
        state = "connecting" if self._connecting else "waiting" if self._timer else "at rest"
        return f"<Redial {state} {self._back_off!r}>"

    def now(self) -> None:
        """Connect."""
        self._timer = None
        connecting: Deferred[Any] = self._endpoint.connect(Built(self._build))
        self._connecting = connecting
        connecting.addTimeout(self._options.connect_timeout, self._reactor)
        connecting.addCallbacks(self._is_connected, self._is_refused)

    def again(self) -> None:
        """Connect, after a wait; nothing happens when that is under way already."""
        if not self._stopped and self._connecting is None and self._timer is None:
            wait = self._back_off.wait(self._reactor.seconds(), self._chance.random())
            self._timer = self._reactor.callLater(wait, self.now)

    def stop(self) -> None:
        """Connect no more."""
        self._stopped = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()

    def _is_connected(self, made: Made) -> None:
        self._connecting = None
        if self._stopped:
            made.transport.abortConnection()  # type: ignore[union-attr]
        else:
            self._back_off.connected(self._reactor.seconds())
            self._connected(made)

    def _is_refused(self, failure: Failure) -> None:
        self._connecting = None
        if not self._stopped:
            self._refused(failure)
