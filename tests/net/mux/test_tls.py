"""TLS on a stream, by Twisted's own means: each stream may have its own."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, serverFromString, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.net.mux.ends import Echo, Heard
from tests.support.sockets import write_certificate

SAID = bytes(range(256)) * 8000


class Told(Heard):
    """Tells when it has heard all, and when it is over."""

    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.there: Deferred[None] = Deferred()
        self.gone: Deferred[str] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if len(self.data) == len(SAID):
            self.there.callback(None)

    def connectionLost(self, reason=None) -> None:
        self.gone.callback(type(reason.value).__name__)


@pytest.fixture
def way(tmp_path):
    """A port that serves TLS on streams, what leads there, and what trusts it."""
    pem: Any = write_certificate(tmp_path).read_text()
    factory = TLSMemoryBIOFactory(PrivateCertificate.loadPEM(pem).options(), False, Factory.forProtocol(Echo))
    listening = serverFromString(reactor, "mux:tcp:0:interface=127.0.0.1").listen(factory)
    port = pytest_twisted.blockon(listening)
    endpoint: Any = clientFromString(reactor, f"mux:tcp:127.0.0.1:{port.getHost().port}")
    yield endpoint, optionsForClientTLS("localhost", Certificate.loadPEM(pem))
    pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(endpoint.trunk.close())


@pytest_twisted.ensureDeferred
async def test_tls_on_streams(way: tuple[Any, Any]) -> None:
    """What is said in TLS on several streams of one connection comes back whole, and closes as TLS does."""
    endpoint, trust = way
    several: Any = await gatherResults(
        [wrapClientTLS(trust, endpoint).connect(Factory.forProtocol(Told)) for _ in range(5)]
    )
    (connection,) = endpoint.trunk.connections
    assert len(connection.mux.streams) == 5
    for each in several:
        each.transport.write(SAID)
    await gatherResults([each.there for each in several])
    assert all(each.data == SAID for each in several)
    assert several[0].transport.getPeerCertificate()
    for each in several:
        each.transport.loseConnection()
    assert await gatherResults([each.gone for each in several]) == ["ConnectionDone"] * 5


@pytest_twisted.ensureDeferred
async def test_a_stream_that_speaks_no_tls(way: tuple[Any, Any]) -> None:
    """Who speaks no TLS where it is wanted is let go, and others on the connection go on."""
    endpoint, trust = way
    good: Any = await wrapClientTLS(trust, endpoint).connect(Factory.forProtocol(Told))
    bad = await endpoint.connect(Factory.forProtocol(Told))
    bad.transport.write(b"GET / HTTP/1.0\r\n\r\n")
    await bad.gone
    good.transport.write(SAID)
    await good.there
    assert good.data == SAID
    good.transport.abortConnection()
    assert await good.gone == "ConnectionLost"  # as TLS calls it on a socket too
