"""A carrier without frames, whose client's bandwidth is bounded."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits.bandwidth import Bucket, Flow
from tcpsuite.net.attaching.raw_carrier import RawCarrier
from tcpsuite.net.throttle import Throttle
from tcpsuite.testing.endpoints import ScriptedTransport
from tests.support.carrying import End

RATE = 10_000


class ThrottledTests(SynchronousTestCase):
    """Ten thousand bytes a second."""

    def test_a_reset_of_the_server(self) -> None:
        """It comes behind all that the server has said."""
        clock: Any = Clock()
        end, client = End(1 << 20, 0, clock), ScriptedTransport()
        flows = Flow(), Flow()
        for flow in flows:
            flow.add(Bucket(RATE, 0.0))
        throttle = Throttle(client, *flows, clock, 1 << 16)
        carrier = RawCarrier(end.attached, throttle, clock)
        carrier.start(0, 0)
        end.say(b"x" * 5 * RATE)
        end.reset()
        clock.pump([0.02] * 245)
        self.assertFalse(client.disconnected)
        clock.pump([0.02] * 10)
        self.assertEqual((len(client.value()), client.disconnected), (5 * RATE, True))
        throttle.lost()
        self.assertEqual(clock.getDelayedCalls(), [])
