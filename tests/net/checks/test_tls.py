"""The check of a handshake, with servers that do not shake hands; real ones are in tests/integration."""

from __future__ import annotations

import ssl
import threading
from functools import partial
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.scripts.send_expect import SendExpect, literally
from tcpsuite.core.servers import Server
from tcpsuite.net.checks.naming import host_namer
from tcpsuite.net.checks.talk import TalkCheck
from tcpsuite.net.checks.tls import TLSCheck
from tcpsuite.testing.healthchecks import HealthCheckContract
from tests.net.checks.plays import Play, say
from tests.support.gateways import PATIENCE, accept, address, listening
from tests.support.sockets import write_certificate

TLS = partial(TLSCheck, host=host_namer(""))
BY_NAME = partial(TLSCheck, host=host_namer("server.example"))


GREETED = partial(TalkCheck, script=SendExpect(b"", literally("hello")))


class Greeter(Protocol):
    """Says hello."""

    transport: Any

    def connectionMade(self):
        self.transport.write(b"hello")


def end(how, player, data):
    """End the connection."""
    getattr(player.transport, how)()


class TLSContractTests(HealthCheckContract, SynchronousTestCase):
    """A check by a handshake."""

    def make_check(self, reactor, timeout):
        return TLS(reactor, timeout)


@pytest_twisted.ensureDeferred
async def test_silence():
    """A server that takes the connection and says nothing has failed when the time is over."""
    async with Play() as play:
        outcome = await play.check(TLS, timeout=0.1)
        assert (outcome.ok, outcome.error) == (False, "no answer within 0.1 s")


@pytest_twisted.ensureDeferred
async def test_no_tls():
    """A server that says something else is not well."""
    async with Play(begin=partial(say, b"220 hello\r\n")) as play:
        outcome = await play.check(TLS)
        assert (outcome.ok, outcome.error) == (False, "TLS: wrong version number")


@pytest_twisted.ensureDeferred
async def test_the_end_before_the_handshake():
    """A server that closes or resets is not well: either way TLS did not end as it should."""
    for leave in ("loseConnection", "abortConnection"):
        async with Play(answer=partial(end, leave)) as play:
            outcome = await play.check(TLS)
            assert (outcome.ok, outcome.error) == (
                False,
                "the connection was lost before the handshake was over",
            )


@pytest_twisted.ensureDeferred
async def test_a_server_is_asked_for_its_name():
    """The name of a server stands in what is said first; an address does not."""
    for check, asked in ((BY_NAME, True), (TLS, False)):
        async with Play(answer=partial(end, "loseConnection")) as play:
            await play.check(check)
            (player,) = play.factory.players
            assert (b"server.example" in player.heard) is asked
            assert b"127.0.0.1" not in player.heard


@pytest_twisted.ensureDeferred
async def test_nobody_there():
    """A refused connection is said in the system's words."""
    with listening() as server:
        gone = address(server)
    outcome = await TLS(reactor, 2.0).check(Server("a", gone))
    assert (outcome.ok, outcome.error) == (False, "connection refused")


@pytest_twisted.ensureDeferred
async def test_a_goodbye_that_is_not_answered(tmp_path):
    """A server that has shaken hands and does not close is well, when the time is over."""
    pem = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    over = threading.Event()

    def serve(server):
        with accept(server) as accepted, context.wrap_socket(accepted, server_side=True):
            over.wait(PATIENCE)

    with listening() as server:
        serving = deferToThread(serve, server)
        outcome = await TLS(reactor, 0.3).check(Server("a", address(server)))
        over.set()
        await serving
    assert (outcome.ok, outcome.error) == (True, "")
    assert 0 < outcome.seconds < 0.3


@pytest.mark.parametrize("build", [TLS, GREETED])
@pytest_twisted.ensureDeferred
async def test_certificates_are_read_once(tmp_path, build):
    """What an address trusts is read once, as for clients: a file that is gone later takes no server down."""
    pem = write_certificate(tmp_path)
    endpoint = serverFromString(reactor, f"ssl:0:interface=127.0.0.1:privateKey={pem}")
    port = await endpoint.listen(Factory.forProtocol(Greeter))
    server = Server("a", f"tls:localhost:{port.getHost().port}:trustRoots={tmp_path}")
    check = build(reactor, PATIENCE)
    assert (await check.check(server)).error == ""
    pem.unlink()
    assert (await check.check(server)).error == ""
    assert (await build(reactor, PATIENCE).check(server)).error == "TLS: certificate verify failed"
    await port.stopListening()
