"""A protocol of this process that is to be attached: what becomes of it before it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import NoProtocol
from twisted.internet.protocol import Factory, Protocol

from tcpsuite.errors import ConnectFailed
from tcpsuite.net.attaching.client import AttachClient
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tests.support.attaching import FakeSuite

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress


class Unwilling(Factory):
    """Makes no protocol."""

    noisy = False

    def __init__(self, refuse: Callable[[], None]) -> None:
        self._refuse = refuse

    def buildProtocol(self, addr: IAddress | None) -> None:
        """None."""
        self._refuse()


@pytest.mark.parametrize("way", ["stop", "cut"])
@pytest_twisted.ensureDeferred
async def test_ended_before(way: str) -> None:
    """Who waits for a suite that is away is told when the client is stopped, or cut."""
    client = AttachClient(reactor, ScriptedEndpoint())
    waiting = connectProtocol(client, Protocol())
    ended = getattr(client, way)()
    assert waiting.called
    with pytest.raises(ConnectFailed, match="it was ended here"):
        await waiting
    if ended is not None:
        await ended
    assert not client.carried


@pytest_twisted.ensureDeferred
async def test_cancelled() -> None:
    """Who does not want to wait any more is told as ever."""
    endpoint = ScriptedEndpoint()
    client = AttachClient(reactor, endpoint)
    waiting = connectProtocol(client, Protocol())
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    assert (client.carried, endpoint.cancelled) == (set(), 1)


@pytest.mark.parametrize("error", [NoProtocol, ZeroDivisionError])
@pytest_twisted.ensureDeferred
async def test_no_protocol(error: type[Exception]) -> None:
    """A factory that makes no protocol, or fails to, leaves nothing behind."""

    def refuse() -> None:
        if error is not NoProtocol:
            raise error

    suite = FakeSuite(reactor)  # type: ignore[arg-type]
    client = AttachClient(reactor, suite)
    waiting = client.connect(Unwilling(refuse))
    while suite.visits[0].run():
        pass
    with pytest.raises(error):
        await waiting
    client.cut()
    suite.lose()
    suite.attached.cut()
