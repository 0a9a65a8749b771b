"""Echo, on a transport of strings and on real sockets."""

from __future__ import annotations

import select
import socket
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.services.echo import EchoFactory, EchoOptions, build

reactor: Any = _reactor


class EchoTests(SynchronousTestCase):
    """One connection."""

    def setUp(self):
        self.transport: Any = StringTransport()
        echo: Any = EchoFactory().buildProtocol(None)
        self.echo = echo
        self.echo.makeConnection(self.transport)

    def test_gives_back_what_comes(self):
        """What comes goes back."""
        self.echo.dataReceived(b"one")
        self.echo.dataReceived(b"two")
        self.assertEqual(self.transport.value(), b"onetwo")

    def test_does_not_read_from_a_peer_that_does_not_read(self):
        """A full transport pauses its own reading, and goes on when it has drained."""
        self.transport.producer.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.transport.producer.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_half_close_ends_it_after_the_last_byte(self):
        """A peer's FIN closes the connection behind what is queued."""
        self.echo.dataReceived(b"last")
        self.echo.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.transport.value(), b"last")


def _exchange(port: int, payload: bytes) -> bytes:
    """Send it all, say that this was all, read what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.setblocking(False)
        answer, view = bytearray(), memoryview(payload)
        while True:
            # Beyond the kernel's buffers, one who sends all before reading any would wait for ever.
            readable, writable, _ = select.select([peer], [peer] if view else [], [], 20)
            if writable:
                view = view[peer.send(view[:65536]) :]
                if not view:
                    peer.shutdown(socket.SHUT_WR)
            if readable:
                data = peer.recv(65536)
                answer += data
                if not data:
                    return bytes(answer)


@pytest.mark.parametrize("size", [1, 65_537, 8 << 20])
@pytest_twisted.ensureDeferred
async def test_real_sockets_get_everything_back(size):
    """Of any size, with a half-close behind it."""
    context: Any = None
    port: Any = reactor.listenTCP(0, build(EchoOptions(), context), interface="127.0.0.1")
    payload = bytes(range(256)) * (size // 256 + 1)
    try:
        answer = await deferToThread(_exchange, port.getHost().port, payload[:size])
    finally:
        await port.stopListening()
    assert answer == payload[:size]
