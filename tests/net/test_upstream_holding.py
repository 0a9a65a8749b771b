"""Clients that are held while no server is up."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from tcpsuite.core.queueing import Queue
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
        """A client for which all have failed tries them again a second later, or one and a half: who restarts
        is not noticed.
        """
        self.down("a", up=True)
        client = self.client()
        self.endpoints["a"].refuse()
        self.clock.advance(0.9)
        self.assertEqual(self.endpoints["a"].connecting, 0)
        self.rest(0.7)
        self.endpoints["a"].refuse()
        self.rest(1.6)
        self.endpoints["a"].accept()
        self.served(client)
        refused = ("a", "connection refused")
        self.assertEqual(client.attempts, [refused, refused, ("a", "")])
        self.assertEqual(client.record.held_why, "none_up")

    def rest(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        self.clock.pump([0.1] * round(10 * seconds))

    def test_held_for_very_long(self):
        """However often it is held and tried again, it can leave at any moment, and nothing is left of it."""
        self.build(patience=Patience(hold_timeout=86_400.0))
        client = self.client()
        for _ in range(3000):
            for endpoint in self.endpoints.values():
                if endpoint.connecting:
                    endpoint.refuse()
            self.clock.advance(1.6)
        self.assertGreater(self.servers["a"].failures, 700)
        client.acquired.cancel()
        self.failureResultOf(client.acquired, CancelledError)

    def test_tried_again_in_vain(self):
        """It is not held for longer than any other, whether it tries, waits, or does both in turn."""
        self.down("a", up=True)
        client = self.client()
        for _ in range(3):
            self.endpoints["a"].refuse()
            self.rest(1.6)
        self.endpoints["a"].refuse()
        self.down("a")
        self.rest(3.1)
        self.assertEqual(self.upstream.status()["queue"]["waiting"], 1)
        self.clock.advance(0.2)
        failure = self.failureResultOf(client.acquired, ConnectFailed)
        self.assertEqual(str(failure.value), "a: connection refused")

    def test_the_last_try(self):
        """When its time is over behind a try that failed, it hears of that one."""
        self.build(patience=Patience(hold_timeout=0.5))
        client = self.client()
        for name in "abc":
            self.endpoints[name].refuse()
        self.clock.advance(0.5)
        self.failureResultOf(client.acquired, ConnectFailed)
        self.assertEqual(client.record.held, 0.5)

    def test_however_many_there_are(self):
        """It is held too when more servers than are tried for a client have failed it."""
        self.build("abcdef", patience=Patience(retries=1, hold_timeout=8.0))
        client = self.client()
        self.endpoints["a"].refuse()
        self.endpoints["b"].refuse()
        self.assertNoResult(client.acquired)
        self.rest(1.6)
        self.endpoints["a"].accept()
        self.served(client)

    def test_paused_meanwhile(self):
        """Who is to try again waits for the end of a pause as all others do, and counts in the queue."""
        self.build(queue=Queue(1), patience=Patience(hold_timeout=8.0))
        first, second = self.clients(2)
        for name in "abc":
            self.endpoints[name].refuse()
            self.endpoints[name].refuse()
        self.failureResultOf(second.acquired, ConnectFailed)
        self.upstream.pause()
        self.rest(3)
        self.assertEqual(self.endpoints["a"].connecting, 0)
        self.upstream.resume()
        self.endpoints["a"].accept()
        self.served(first)

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
