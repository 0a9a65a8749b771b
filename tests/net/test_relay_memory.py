"""What is left of a relayed connection when it is over: nothing that only a garbage collection finds."""

from __future__ import annotations

import gc

import pytest
import pytest_twisted

from tcpsuite.net.held import Held
from tcpsuite.net.relay import Relay, Side
from tcpsuite.net.stream import Stream
from tcpsuite.options import Provider
from tests.support.gateways import Gateway, finish, listening, read_all, turn

COUNTED = (Held, Relay, Side, Stream)


def _play(client, server) -> None:
    client.sendall(b"question")
    assert server.recv(100) == b"question"
    server.sendall(b"answer")
    finish(server)
    assert read_all(client) == b"answer"
    finish(client)
    assert read_all(server) == b""


def _alive() -> list[str]:
    return sorted(type(each).__name__ for each in gc.get_objects() if isinstance(each, COUNTED))


def _say_nothing(client, server) -> None:
    client.sendall(b"question")
    assert server.recv(100) == b"question"
    finish(client)
    assert read_all(server) == b""
    finish(server)
    assert read_all(client) == b""


@pytest.mark.parametrize("strategy", ["round_robin", "least_time"])
@pytest.mark.parametrize("play", [_play, _say_nothing])
@pytest_twisted.ensureDeferred
async def test_forgotten_at_once(play, strategy):
    """When a connection is over all that served it is gone, without a collection."""
    with listening() as server:
        async with Gateway(server, strategy=Provider(strategy)) as gateway:
            gc.collect()
            before = _alive()
            gc.disable()
            try:
                for _ in range(5):
                    await gateway.play(play, server)
                for _ in range(5):
                    await turn()
                left = _alive()
            finally:
                gc.enable()
    assert left == before
