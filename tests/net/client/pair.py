"""A client and the message service, without a socket: the test carries what they say, and cuts it."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from tcpsuite.net.client import Client, ClientOptions
from tcpsuite.testing.endpoints import ScriptedEndpoint, ScriptedTransport
from tests.services.asking import Asking, Service

NEVER = 1 << 30


class Pair:
    """A client, and the service that each connection of it leads to.

    :param cut: bytes that are carried on the first connection, either way, before it is lost.
    :ivar links: the connections that there are: the client's transport, and the service's end.
    """

    def __init__(self, cut: int = NEVER, seed: int = 1, received: Any = None, **options: Any) -> None:
        self.service = Service()
        self.clock: Clock = self.service.clock
        self.endpoint = ScriptedEndpoint()
        self.client = Client(
            self.endpoint,
            self.clock,
            ClientOptions(**{"sign_of_life": 0.0, **options}),
            received=received,
            chance=Random(seed),
        )
        self.links: list[tuple[ScriptedTransport, Asking]] = []
        self._left = cut

    def start(self) -> Client:
        """Connected."""
        self.client.start().addErrback(lambda _: None)
        self.accept()
        return self.client

    def accept(self) -> None:
        """Accept whoever wants to connect."""
        while self.endpoint.connecting:
            far = self.service.connect()
            near = self.endpoint.accept()
            self.links.append((near, far))

    def carry(self) -> None:
        """Carry what is said, until nobody says more."""
        moved = True
        while moved:
            self.accept()
            moved = sum(self._carry(*link) for link in tuple(self.links)) > 0

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, and all that it brings."""
        self.clock.advance(seconds)
        self.carry()

    def lose(self, number: int = -1) -> None:
        """A connection is lost, at both ends."""
        near, far = self.links.pop(number)
        near.lose(ConnectionLost())
        far.transport.lose(ConnectionLost())

    def close(self) -> list[Any]:
        """Close the client; what its Deferred fired with."""
        closed: list[Any] = []
        self.client.close().addCallback(closed.append)
        self.carry()
        self.settle()
        return closed

    def _carry(self, near: ScriptedTransport, far: Asking) -> bool:
        moved = False
        for source, sink in ((near, far.transport), (far.transport, near)):
            data = source.value()[: self._left]
            source.clear()
            if not (data and near.connected and far.transport.connected):
                continue
            moved = True
            self._left -= len(data)
            sink.say(data)
            if not self._left:
                self._left = NEVER
                self.links.remove((near, far))
                near.lose(ConnectionLost())
                far.transport.lose(ConnectionLost())
                return True
        if near.disconnecting or near.disconnected or far.transport.disconnecting:
            self.links.remove((near, far))
            far.transport.lose()
            near.lose()
            return True
        return moved
