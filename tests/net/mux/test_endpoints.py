"""``mux:`` before an endpoint: connections are shared, made when they are wanted, and made again."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectError, NoProtocol
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import Closed
from tcpsuite.net.mux.connection import MuxConnection
from tcpsuite.net.mux.endpoints import IDLE, RETRY, Trunk
from tests.core.mux.wire import ACK, PING, WINDOW, wire
from tests.net.mux.ends import Echo, Ends, Heard, Made, Wire


class Dialled:
    """An endpoint whose connections the test makes."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Deferred[Any]]] = []

    def connect(self, factory: Factory) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.asked.append((factory, answer))
        return answer

    def made(self, answers: bool = True) -> MuxConnection:
        """The first one asked for is there, and its other side answers."""
        factory, answer = self.asked.pop(0)
        connection: MuxConnection = factory.buildProtocol(None)
        connection.makeConnection(Wire())
        answer.callback(connection)
        if answers:
            connection.dataReceived(wire(PING, ACK, 0, 1))
        return connection

    def failed(self) -> None:
        """It cannot be made."""
        self.asked.pop(0)[1].errback(ConnectError(string="nobody there"))


class TrunkTests(SynchronousTestCase):
    """Who gets which connection."""

    def setUp(self) -> None:
        self.dialled = Dialled()
        self.clock = Ends().clock

    def trunk(self, **how: Any) -> Any:
        """A trunk over connections made by hand."""
        dialled: Any = self.dialled
        return Trunk(dialled, self.clock, **how)

    def test_one(self) -> None:
        """Nothing is connected before somebody asks; all share what there is."""
        trunk = self.trunk()
        self.assertEqual(repr(trunk), "<Trunk connections=0 dialing=0 waiting=0>")
        first, second = trunk.open(Made(Heard)), trunk.open(Made(Heard))
        self.assertEqual(repr(trunk), "<Trunk connections=0 dialing=1 waiting=2>")
        self.dialled.made()
        self.assertEqual([self.successResultOf(each).transport.stream.id for each in (first, second)], [1, 3])
        self.successResultOf(trunk.open(Made(Heard)))
        self.assertEqual(self.dialled.asked, [])

    def test_several(self) -> None:
        """Another connection is made while the first is in use, and then the emptier one is taken."""
        trunk = self.trunk(connections=2)
        trunk.open(Made(Heard))
        first = self.dialled.made()
        self.successResultOf(trunk.open(Made(Heard)))
        second = self.dialled.made()
        for _ in range(3):
            self.successResultOf(trunk.open(Made(Heard)))
        self.assertEqual((len(first.mux.streams), len(second.mux.streams)), (3, 2))
        self.assertEqual(self.dialled.asked, [])

    def test_unproven(self) -> None:
        """One that has not answered yet is left alone while another has: it may have been refused.  When it
        has, none is made for a second.
        """
        trunk = self.trunk(connections=2)
        first = trunk.open(Made(Heard))
        self.dialled.made(answers=False)
        proven = self.successResultOf(first).transport._connection
        trunk.open(Made(Heard))
        refused = self.dialled.made(answers=False)
        proven.dataReceived(wire(PING, ACK, 0, 1))
        for _ in range(3):
            self.successResultOf(trunk.open(Made(Heard)))
        self.assertEqual((len(proven.mux.streams), len(refused.mux.streams)), (5, 0))
        refused.connectionLost()
        trunk.open(Made(Heard))
        self.assertEqual(self.dialled.asked, [])
        self.clock.advance(RETRY)
        trunk.open(Made(Heard))
        self.dialled.failed()
        trunk.open(Made(Heard))
        self.assertEqual(self.dialled.asked, [])
        self.clock.advance(RETRY)
        trunk.open(Made(Heard))
        self.assertEqual(len(self.dialled.asked), 1)

    def test_full(self) -> None:
        """No connection carries more streams than it may."""
        trunk = self.trunk(max_streams=2)
        opened = [trunk.open(Made(Heard)) for _ in range(3)]
        self.dialled.made()
        self.successResultOf(opened[1])
        self.failureResultOf(opened[2], Closed)
        self.failureResultOf(trunk.open(Made(Heard)), Closed)
        self.successResultOf(opened[0]).transport.abortConnection()
        self.successResultOf(trunk.open(Made(Heard)))

    def test_failure(self) -> None:
        """Who waits hears why no connection can be made; the next one has it tried again."""
        trunk = self.trunk()
        waiting = [trunk.open(Made(Heard)) for _ in range(2)]
        self.dialled.failed()
        for each in waiting:
            self.failureResultOf(each, ConnectError)
        again = trunk.open(Made(Heard))
        self.dialled.made()
        self.successResultOf(again)

    def test_failure_of_another(self) -> None:
        """One that fails harms nobody while another is being made."""
        trunk = self.trunk(connections=2)
        trunk.open(Made(Heard))
        first = self.dialled.made()
        trunk.open(Made(Heard))
        self.dialled.failed()
        self.successResultOf(trunk.open(Made(Heard)))
        self.assertEqual(len(first.mux.streams), 3)

    def test_lost(self) -> None:
        """A connection that is lost is made again for the next one who asks."""
        trunk = self.trunk()
        trunk.open(Made(Heard))
        self.dialled.made().connectionLost()
        again = trunk.open(Made(Heard))
        self.dialled.made()
        self.successResultOf(again)

    def test_going_away(self) -> None:
        """So is one whose other side takes no more streams; those on it go on."""
        trunk = self.trunk()
        trunk.open(Made(Heard))
        first = self.dialled.made()
        first.mux.gone = True
        again = trunk.open(Made(Heard))
        second = self.dialled.made()
        self.successResultOf(again)
        self.assertEqual((len(first.mux.streams), len(second.mux.streams)), (1, 1))

    def test_cancel(self) -> None:
        """Who waits may give up."""
        trunk = self.trunk()
        waiting = trunk.open(Made(Heard))
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        connection = self.dialled.made()
        self.assertEqual(connection.mux.streams, {})

    def test_close(self) -> None:
        """Closed, its connections end whatever is on them, and who waits hears so; it may be used again."""
        trunk = self.trunk(connections=2)
        opened = trunk.open(Made(Heard))
        first = self.dialled.made()
        self.successResultOf(opened)
        trunk.open(Made(Heard))
        closed = trunk.close()
        transport: Any = first.transport
        self.assertTrue(transport.closed)
        self.assertNoResult(closed)
        first.connectionLost()
        self.successResultOf(closed)
        self.successResultOf(trunk.close())
        waiting = trunk.open(Made(Heard))
        self.successResultOf(trunk.close())
        self.failureResultOf(waiting, CancelledError)
        self.dialled.asked.clear()
        again = trunk.open(Made(Heard))
        self.dialled.made()
        self.successResultOf(again)
        self.assertEqual(trunk.connections.status()["made"], 2)

    def test_idle(self) -> None:
        """A connection on which no stream was opened for long, and none is open, goes away."""
        trunk = self.trunk()
        protocol = trunk.open(Made(Heard))
        connection = self.dialled.made()
        transport: Any = connection.transport
        self.clock.advance(0)
        connection.dataReceived(wire(WINDOW, ACK, 1))
        self.pass_time(connection, 2 * IDLE)
        self.assertFalse(transport.closed)
        self.successResultOf(protocol).transport.abortConnection()
        self.successResultOf(trunk.open(Made(Heard))).transport.abortConnection()
        self.pass_time(connection, IDLE - 30)
        self.assertFalse(transport.closed)
        self.pass_time(connection, 60)
        self.assertTrue(transport.closed)
        again = trunk.open(Made(Heard))
        self.dialled.made()
        self.successResultOf(again)

    def pass_time(self, connection: MuxConnection, seconds: float) -> None:
        """While the other side answers."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            connection._missed = 0

    def test_no_protocol(self) -> None:
        """A factory that gives nothing is told so, as other endpoints do."""
        trunk = self.trunk()
        waiting = trunk.open(Made(lambda: None))
        self.dialled.made()
        self.failureResultOf(waiting, NoProtocol)


class StringTests(SynchronousTestCase):
    """What may be written."""

    def test_bad(self) -> None:
        """What cannot be is refused, and says what was expected."""
        for text, words in (
            ("mux:tcp:localhost:80:connections=0", "connections: expected a number from 1 on, got '0'"),
            ("mux:tcp:localhost:80:maxStreams=many", "maxStreams: expected a number from 1 on, got 'many'"),
        ):
            with pytest.raises(ValueError, match=words):
                clientFromString(reactor, text)
        with pytest.raises(ValueError, match="another endpoint behind mux:"):
            serverFromString(reactor, "mux:")

    def test_shared(self) -> None:
        """The same string means the same connections, another one others."""
        one = clientFromString(reactor, "mux:tcp:localhost:80").trunk
        self.assertIs(clientFromString(reactor, "mux:tcp:localhost:80").trunk, one)
        self.assertIsNot(clientFromString(reactor, "mux:tcp:localhost:80:connections=2").trunk, one)

    def test_nested(self) -> None:
        """What stands behind it is read as it was written."""
        endpoint = clientFromString(reactor, r"mux:unix:/tmp/a\:b:timeout=3").trunk.endpoint
        self.assertEqual((endpoint._path, endpoint._timeout), ("/tmp/a:b", 3))


@pytest_twisted.ensureDeferred
async def test_on_real_sockets():
    """A hundred streams cross one TCP connection, and when all is closed nothing is left."""
    factory = Factory.forProtocol(Echo)
    port = await serverFromString(reactor, "mux:tcp:0:interface=127.0.0.1").listen(factory)
    endpoint = clientFromString(reactor, f"mux:tcp:127.0.0.1:{port.getHost().port}")
    protocols = await gatherResults([endpoint.connect(Made(Waiting)) for _ in range(100)])
    for number, protocol in enumerate(protocols):
        protocol.expect = 100_000
        protocol.transport.write(bytes([number]) * 100_000)
    for number, protocol in enumerate(protocols):
        assert await protocol.there == bytes([number]) * 100_000
    (connection,) = endpoint.trunk.connections
    assert len(connection.mux.streams) == 100
    for protocol in protocols:
        protocol.transport.loseConnection()
    await gatherResults([protocol.gone for protocol in protocols])
    await port.stopListening()
    await endpoint.trunk.connections.when_empty()
    gc.collect()


class Waiting(Heard):
    """Tells when it has heard all."""

    expect = 0

    def __init__(self) -> None:
        super().__init__()
        self.there: Deferred[Any] = Deferred()
        self.gone: Deferred[Any] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if len(self.data) == self.expect:
            self.there.callback(self.data)

    def connectionLost(self, reason=None) -> None:
        self.gone.callback(None)
