"""Tells of what happens in a pool: the log of what somebody should look at, an observer of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from tcpsuite.core.pooling.events import Leaked
from tcpsuite.net.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.core.pooling.events import Event


class Witness:
    """Tells of one pool.

    :param server: the name of the server that it leads to, for the log.
    :param clock: an ``IReactorTime``.
    :param observer: called with each of :mod:`tcpsuite.core.pooling.events`, if there is one.
    """

    log = Logger()

    def __init__(self, server: str, clock: Any, observer: Callable[[Event], object] | None) -> None:
        self._server = server
        self._observer = observer
        self._seldom = Seldom(clock)

    def __repr__(self) -> str:
        return f"<Witness {self._server} {'observed' if self._observer else 'unobserved'}>"

    def tell(self, kind: Callable[..., Event], *arguments: Any) -> None:
        """Something happened: ``kind`` with these arguments is made only if somebody observes."""
        if self._observer is None:
            return
        try:
            self._observer(kind(*arguments))
        except Exception:  # what goes wrong there must not touch the pool
            if self._seldom.says("observer"):
                self.log.failure("the observer of {server}'s pool is broken", server=self._server)

    def not_prepared(self, why: str) -> None:
        """Say in the log, once in a while, why none gets ready: nobody may be waiting to be told."""
        if self._seldom.says("prepare"):
            self.log.warn("{server}: a new connection is of no use: {why}", server=self._server, why=why)

    def leaked(self, connection: int, holder: str, seconds: float) -> None:
        """Say in the log that a lease is held for long, and by whom."""
        self.log.warn(
            "{server}: connection {connection} is leased for {seconds} s already, by {holder}",
            server=self._server,
            connection=connection,
            seconds=f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}",
            holder=holder or "somebody who gave no name",
        )
        self.tell(Leaked, connection, holder, seconds)
