"""What a server says to one piece of bytes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

PATIENCE = 20.0
"""Seconds until a server that does not close has failed the test."""


class _Client(Protocol):
    def __init__(self) -> None:
        self.got = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.got)


async def exchange(address: str, data: bytes) -> bytes:
    """All that the server at ``host:port`` answers to ``data`` until it closes; all of ``data`` is sent,
    whatever it says meanwhile.
    """
    from twisted.internet import reactor

    host, port = address.rsplit(":", 1)
    client: Any = await connectProtocol(TCP4ClientEndpoint(reactor, host, int(port)), _Client())
    client.transport.write(data)
    answer: bytes = await client.ended.addTimeout(PATIENCE, reactor)
    return answer
