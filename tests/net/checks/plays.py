"""Servers that the tests of the checks play."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol, connectionDone

from tcpsuite.core.servers import Server
from tests.support.gateways import turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.task import LoopingCall

    from tcpsuite.interfaces import IHealthCheck, Outcome


class Player(Protocol):
    """A server that the test plays."""

    factory: Any
    drip: LoopingCall | None = None

    def connectionMade(self) -> None:
        self.heard = b""
        self.factory.players.append(self)
        self.factory.begin(self)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.factory.answer(self, data)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        self.factory.ends.append(reason.type.__name__)
        if self.drip is not None:
            self.drip.stop()


def nothing(player: Any, data: bytes = b"") -> None:
    """Say nothing."""


def say(words: bytes, player: Any) -> None:
    """Say something at once."""
    player.transport.write(words)


class Play:
    """A server on a port of loopback: what it does when a connection begins, and when something comes."""

    def __init__(
        self, begin: Callable[[Any], None] = nothing, answer: Callable[[Any, bytes], None] = nothing
    ) -> None:
        factory: Any = Factory.forProtocol(Player)
        factory.players, factory.ends, factory.begin, factory.answer = [], [], begin, answer
        self.factory = factory

    async def __aenter__(self) -> Play:
        self._port = cast("Any", reactor).listenTCP(0, self.factory, interface="127.0.0.1")
        self.server = Server("a", f"tcp:127.0.0.1:{self._port.getHost().port}")
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._port.stopListening()
        for player in self.factory.players:
            player.transport.abortConnection()
        await self.ended()

    async def ended(self) -> list[str]:
        """How the connections ended, once all have."""
        while len(self.factory.ends) < len(self.factory.players):
            await turn()
        return self.factory.ends  # type: ignore[no-any-return]

    async def check(self, check: Callable[[Any, float], IHealthCheck], timeout: float = 10.0) -> Outcome:
        """Ask it once, by a check that is built with a reactor and a time-out."""
        return await check(reactor, timeout).check(self.server)
