"""Clients that are held while no server is up."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from tcpsuite.errors import Closed, ConnectFailed, NoServer
from tcpsuite.net.search import Patience
from tests.support.upstreams import UpstreamCase


class NoneUpTests(UpstreamCase):
    """Three servers, of which none is up."""

    def setUp(self):
        super().setUp()
        self.build(patience=Patience(hold_timeout=8.0))
        self.down("a", "b", "c")

    def test_held_until_one_is_up(self):
        """A client is held, and led to the first server that comes up."""
        client = self.client()
        self.assertFalse(self.upstream.ready)
        self.clock.advance(6)
        self.down("b", up=True)
        self.endpoints["b"].accept()
        self.served(client)
        self.assertEqual((client.record.held, client.record.held_why), (6.0, "none_up"))

    def test_held_in_vain(self):
        """At the end of its time it is told why there was none, and for how long."""
        client = self.client()
        self.clock.advance(8)
        failure = self.failureResultOf(client.acquired, NoServer)
        self.assertEqual(str(failure.value), "no server of db takes connections: of 3, 3 down, for 8 s")

    def test_who_comes_later_waits_for_the_same_reason(self):
        """Everybody waits as long as may be waited for a server to come up, and hears that none did."""
        first, second = self.clients(2)
        self.assertEqual([first.record.held_why, second.record.held_why], ["", ""])
        self.clock.advance(8)
        for client in (first, second):
            self.failureResultOf(client.acquired, NoServer)
            self.assertEqual((client.record.held, client.record.held_why), (8.0, "none_up"))

    def test_tried_again(self):
        """A client for which all have failed tries them again each second: who restarts is not noticed."""
        self.down("a", up=True)
        client = self.client()
        self.endpoints["a"].refuse()
        self.assertNoResult(client.acquired)
        self.clock.advance(1)
        self.endpoints["a"].refuse()
        self.clock.advance(1)
        self.endpoints["a"].accept()
        self.served(client)
        refused = ("a", "connection refused")
        self.assertEqual(client.attempts, [refused, refused, ("a", "")])
        self.assertEqual((client.record.held, client.record.held_why), (2.0, "none_up"))

    def test_tried_again_in_vain(self):
        """It is not held for longer than any other, whether it tries, waits, or does both in turn."""
        self.down("a", up=True)
        client = self.client()
        for _ in range(3):
            self.endpoints["a"].refuse()
            self.clock.advance(1)
        self.endpoints["a"].refuse()
        self.down("a")
        self.clock.advance(1)
        self.assertEqual(self.upstream.status()["queue"]["waiting"], 1)
        self.clock.advance(4)
        self.failureResultOf(client.acquired, NoServer)
        self.assertEqual(client.record.held, 8.0)

    def test_the_last_try(self):
        """When its time is over behind a try that failed, it hears of that one."""
        self.build(patience=Patience(hold_timeout=0.5))
        client = self.client()
        for name in "abc":
            self.endpoints[name].refuse()
        self.clock.advance(0.5)
        for name in "abc":
            self.endpoints[name].refuse()
        self.failureResultOf(client.acquired, ConnectFailed)
        self.assertEqual(client.record.held, 0.5)

    def test_gone_between_two_tries(self):
        """A client may leave while it rests."""
        self.down("a", up=True)
        client = self.client()
        self.endpoints["a"].refuse()
        client.acquired.cancel()
        self.failureResultOf(client.acquired, CancelledError)

    def test_closed_between_two_tries(self):
        """Who rests when the upstream is closed is told so."""
        self.down("a", up=True)
        client = self.client()
        self.endpoints["a"].refuse()
        self.successResultOf(Deferred.fromCoroutine(self.upstream.stop()))
        self.failureResultOf(client.acquired, Closed)
