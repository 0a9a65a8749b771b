"""TLS on top of the transports: begun with the connection, or in the middle of a read."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from tcpsuite.net.stream import Stream
from tests.support.sockets import write_certificate
from tests.support.stage import FIN, RESET, Actor, Source

LARGE = b"".join(b"%08d" % number for number in range(1 << 19))
"""4 MiB, more than the kernel takes."""


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """What a server needs."""
    pem = str(write_certificate(tmp_path_factory.mktemp("tls")))
    return DefaultOpenSSLContextFactory(pem, pem)


class Client:
    """The peer's side of TLS.

    :ivar received: all that came so far.
    :ivar closed: whether the other side has said that it ends.
    """

    def __init__(self, stage, peer):
        self._stage = stage
        self._peer = peer
        self._seen = len(peer.received)
        self._wire_in, self._wire_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        settings.check_hostname = False
        settings.verify_mode = ssl.CERT_NONE
        self._tls = settings.wrap_bio(self._wire_in, self._wire_out)
        self.received = bytearray()
        self.closed = False
        self._until_done(self._tls.do_handshake)

    def send(self, data):
        """Send it all."""
        self._tls.write(data)
        self._pass()

    def until(self, reached):
        """Read until it is so."""

        def read():
            self._read()
            return reached()

        self._stage.until(read)

    def finish(self):
        """Say that nothing more comes."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._pass()

    def _read(self):
        self._pass()
        try:
            while data := self._tls.read(1 << 20):
                self.received += data
            self.closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.closed = True

    def _pass(self):
        self._wire_in.write(self._peer.received[self._seen :])
        self._seen = len(self._peer.received)
        self._peer.send(self._wire_out.read())

    def _until_done(self, step):
        def done():
            try:
                step()
            except ssl.SSLWantReadError:
                self._pass()
                return False
            self._pass()
            return True

        self._stage.until(done)


def _upgrading(stage, context, **deeds):
    """An actor that begins TLS when it is asked to, in the middle of what it has to say."""

    def upgrade(self, data):
        self.transport.write(b"go ")
        self.transport.writeSequence([b"a", b"head"])
        self.transport.startTLS(context)
        self.transport.write(b"welcome")
        if (then := deeds.get("dataReceived")) is None:
            del self.deeds["dataReceived"]
        else:
            self.deeds["dataReceived"] = then

    actor = Actor(stage, "it", **{**deeds, "dataReceived": upgrade})
    peer = stage.meet(actor)
    peer.send(b"STARTTLS")
    stage.until(lambda: len(peer.received) >= 8)
    assert peer.received[:8] == b"go ahead"
    # The plain words are no part of what the client of TLS reads.
    del peer.received[:8]
    return actor, peer, Client(stage, peer)


def test_tls_begun_in_a_read(same, context):
    """What was written before ``startTLS`` is plain and goes first; what comes behind it is not."""

    def scene(stage):
        actor, peer, client = _upgrading(
            stage, context, dataReceived=lambda self, data: self.transport.write(data)
        )
        client.until(lambda: client.received == b"welcome")
        client.send(LARGE)
        client.until(lambda: len(client.received) == len(LARGE) + 7)
        if isinstance(actor.transport, Stream):
            assert actor.transport.bytes_out == len(peer.received) + 8
            assert actor.transport.bytes_in > len(LARGE)
        client.finish()
        client.until(lambda: not actor.transport.connected)
        return client.received[7:] == LARGE, stage.told[-1]

    assert same(scene) == ((True, ("it", "lost", "ConnectionDone")), [])


@pytest.mark.parametrize("streaming", [True, False])
def test_a_producer_over_tls(same, context, streaming):
    """A producer of either kind sends all it has; behind it the connection is closed in TLS's way."""

    def produce(source):
        if source.asked <= 8:
            source.actor.transport.write(LARGE[: 1 << 19])
        else:
            source.actor.transport.unregisterProducer()
            source.actor.transport.loseConnection()

    def begin(self, _):
        source = Source(self.stage, self, resumeProducing=produce)
        self.transport.registerProducer(source, streaming)
        if streaming:
            source.resumeProducing()

    def scene(stage):
        _, peer, client = _upgrading(stage, context, dataReceived=begin)
        client.send(b"go")
        client.until(lambda: client.closed)
        client.finish()
        client.until(lambda: peer.end)
        return len(client.received), peer.end

    assert same(scene) == ((7 + 8 * (1 << 19), FIN), [])


@pytest.mark.parametrize(
    ("deed", "end", "reason"),
    [("loseConnection", FIN, "ConnectionDone"), ("abortConnection", RESET, "ConnectionLost")],
)
@pytest.mark.parametrize("place", ["a read", "a timer"])
def test_the_end_over_tls(same, context, deed, end, reason, place):
    """A close sends what was written before, and says so; an abort says nothing."""

    def finish(self, *_):
        self.transport.write(LARGE)
        getattr(self.transport, deed)()

    def scene(stage):
        actor, peer, client = _upgrading(stage, context, dataReceived=finish)
        client.until(lambda: client.received == b"welcome")
        if place == "a read":
            client.send(b"end")
        else:
            stage.reactor.callLater(0, finish, actor)
        if deed == "loseConnection":
            client.until(lambda: client.closed)
            client.finish()
        stage.until(lambda: peer.end)
        client.until(lambda: stage.told[-1][1] == "lost")
        return len(client.received) - 7 if client.closed else 0, peer.end, stage.told[-1]

    sent = len(LARGE) if deed == "loseConnection" else 0
    assert same(scene) == ((sent, end, ("it", "lost", reason)), [])


def test_a_protocol_that_raises_over_tls(same, context):
    """It costs the connection, and is logged once."""

    def scene(stage):
        def fail(*_):
            raise ZeroDivisionError

        actor, _, client = _upgrading(stage, context, dataReceived=fail)
        client.send(b"go")
        stage.until(lambda: not actor.transport.connected)
        return stage.told[-1]

    assert same(scene) == (("it", "lost", "ConnectionLost"), ["ZeroDivisionError"])
