"""The gateway, for a client whose bandwidth is bounded."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from tcpsuite.core.connections import Counted, Reason
from tcpsuite.core.limits.bandwidth import Bucket, Flow
from tcpsuite.net import relay
from tcpsuite.net.throttle import Throttle
from tests.services.test_gateway import GatewayCase

RATE = 10_000
"""Bytes a second."""


class ThrottledTests(GatewayCase):
    """A client whose bandwidth is bounded, and a server that has said much and reset, or is about to."""

    def wrapped(self, transport):
        flows = Flow(), Flow()
        for flow in flows:
            flow.add(Bucket(RATE, 0.0))
        self.throttle = Throttle(transport, *flows, self.clock, 1 << 20)
        self.record.held_back = self.throttle.held_back
        return self.throttle

    def setUp(self):
        super().setUp()
        self.far = self.endpoint.accept()
        self.far.say(b"x" * 100 * RATE)

    def tearDown(self):
        self.client.settle()
        self.throttle.lost()
        super().tearDown()

    def pass_on(self, seconds):
        """So many seconds go by."""
        self.clock.pump([0.01] * round(seconds * 100))

    def test_a_reset_comes_behind_what_waits(self):
        """However long that takes: what the server said moves, and nobody's patience is over."""
        self.far.lose(ConnectionLost())
        self.pass_on(99)
        self.assertFalse(self.client.disconnected)
        self.pass_on(2)
        self.assertEqual((len(self.client.value()), self.client.disconnected), (100 * RATE, True))
        self.assertIs(self.record.reason, Reason.SERVER_RESET)

    def test_a_client_that_stops_taking(self):
        """A client that takes nothing more is reset as behind a FIN."""
        self.far.lose(ConnectionLost())
        self.pass_on(10)
        self.record.traffic = Counted(0, 10 * RATE)
        self.client.producer.pauseProducing()
        self.pass_on(29)
        self.assertFalse(self.client.disconnected)
        self.pass_on(31)
        self.assertTrue(self.client.disconnected)
        self.assertIs(self.record.reason, Reason.SERVER_RESET)

    def test_a_reset_that_nobody_reads(self):
        """A reset that only a look shows counts when nothing that was said waits for bandwidth any more."""
        self.patch(relay, "was_reset", lambda transport: transport is self.far)
        self.factory.doStart()
        self.far.finish()
        self.pass_on(99)
        self.assertFalse(self.client.disconnected)
        self.pass_on(8)
        self.assertTrue(self.client.disconnected)
        self.assertEqual(len(self.client.value()), 100 * RATE)
        self.factory.doStop()

    def test_silence_behind_a_fin(self):
        """What waits for bandwidth behind a FIN is not silence, though no figure moves."""
        self.record.traffic = Counted()
        self.far.finish()
        self.pass_on(95)
        self.assertFalse(self.client.disconnected or self.client.finished)
        self.pass_on(6)
        self.assertTrue(self.client.finished)
        self.pass_on(61)
        self.assertIs(self.record.reason, Reason.FIN_TIMEOUT)
