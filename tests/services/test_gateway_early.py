"""What a gateway does before it has a server for its client, on transports of strings."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface.verify import verifyObject

from tcpsuite.core.connections import Reason
from tcpsuite.interfaces import IRecorded
from tcpsuite.services import gateway
from tests.services.test_gateway import GatewayCase


class EarlyTests(GatewayCase):
    """What happens before there is a server."""

    def test_is_what_a_listener_serves(self):
        """The protocol takes a record and honours half-close; the factory says where it leads."""
        self.assertTrue(verifyObject(IRecorded, self.client.protocol))
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.client.protocol))
        self.assertEqual(repr(self.factory), "<GatewayFactory to db>")

    def test_early_bytes_come_first(self):
        """What a client says before its server is there reaches it in one piece, before what comes later."""
        self.client.say(b"one ")
        self.client.say(b"two ")
        server = self.endpoint.accept()
        self.client.say(b"three")
        self.assertEqual(server.value(), b"one two three")

    def test_early_bytes_are_bounded(self):
        """At the limit the client is not read until its server is there."""
        self.client.say(b"x" * (16 * 1024 - 1))
        self.assertEqual(self.client.producerState, "producing")
        self.client.say(b"y")
        self.assertEqual(self.client.producerState, "paused")
        server = self.endpoint.accept()
        self.assertEqual(self.client.producerState, "producing")
        self.assertEqual(len(server.value()), 16 * 1024)

    def test_an_early_fin_is_relayed_behind_the_bytes(self):
        """A client that has finished before its server is there is served to the end."""
        self.client.say(b"question")
        self.client.finish()
        server = self.endpoint.accept()
        self.assertEqual(server.value(), b"question")
        self.assertTrue(server.finished)
        server.say(b"answer")
        server.finish()
        self.assertEqual(self.client.value(), b"answer")
        self.assertTrue(self.client.disconnecting)
        self.assertTrue(server.disconnecting)
        self.assertIs(self.record.reason, Reason.CLIENT_CLOSED)

    def test_a_client_that_leaves_takes_its_attempt_along(self):
        """A reset while the server is being connected to gives the attempt up."""
        self.client.say(b"question")
        self.client.lose(ConnectionLost())
        self.assertEqual((self.endpoint.connecting, self.endpoint.cancelled), (0, 1))
        self.assertEqual(self.server.active, 0)

    def test_a_server_that_cannot_be_reached_resets_the_client(self):
        """A client whose every attempt failed is reset, and the record says why."""
        self.endpoint.refuse()
        self.assertTrue(self.client.disconnected)
        self.assertIs(self.record.reason, Reason.CONNECT_FAILED)
        self.assertEqual(self.record.detail, "a: connection refused")

    def test_without_a_server_the_client_is_reset(self):
        """A client that comes while no server is up is reset at once."""
        self.endpoint.accept()
        self.server.up = False
        self.upstream.members.refresh()
        second = self.connect()
        self.assertTrue(second.disconnected)
        self.assertIs(self.record.reason, Reason.NO_SERVER)
        second.settle()

    def test_our_own_fault_is_logged(self):
        """An error of ours has its traceback in the log, and resets the client."""
        self.endpoint.accept()
        self.upstream.members.pools.clear()
        second = self.connect()
        self.assertTrue(second.disconnected)
        self.assertIs(self.record.reason, Reason.ERROR)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        second.settle()

    def test_our_own_fault_in_joining(self):
        """An error of ours between the two sides leaves neither of them behind."""

        def broken(*_: object, **__: object) -> None:
            raise MemoryError("no room for a relay")

        self.patch(gateway, "Relay", broken)
        server = self.endpoint.accept()
        self.assertEqual((self.client.disconnected, server.disconnected), (True, True))
        server.settle()
        self.assertEqual(self.server.active, 0)
        self.assertIs(self.record.reason, Reason.ERROR)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
