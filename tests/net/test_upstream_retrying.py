"""Clients that are tried with another server, since theirs has failed or was taken away."""

from __future__ import annotations

import random
from errno import EMFILE

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectBindError

from tcpsuite.core.balancing import First
from tcpsuite.core.connections import Reason
from tcpsuite.core.retrying import RetryBudget
from tcpsuite.errors import ConnectFailed, OutOfResources, PoolExhausted
from tcpsuite.net.operating import Operator
from tcpsuite.net.search import Patience
from tests.support.upstreams import UpstreamCase


class RetryTests(UpstreamCase):
    """What is tried again, and how often."""

    def test_within_the_budget(self):
        """Of clients whose server fails at once no more than three are tried with another one at a time; the
        others wait for their turn.
        """
        clients = self.clients(5)
        for _ in clients:
            self.endpoints["a"].refuse()
        self.assertEqual(self.endpoints["b"].connecting, 3)
        self.assertEqual(self.upstream.status()["retries"], {"under_way": 3, "made": 3, "denied": 2})
        for client in clients:
            self.endpoints["b"].accept()
            self.assertLessEqual(self.endpoints["b"].connecting, 3)
            self.served(client)
        self.assertEqual(self.upstream.status()["retries"]["under_way"], 0)
        self.assertEqual([client.record.held_why for client in clients], ["", "", "", "retries", "retries"])

    def test_no_turn_in_time(self):
        """Who waits for its turn in vain hears why its server failed."""
        self.build(patience=Patience(queue_timeout=1.0))
        clients = self.clients(4)
        for _ in clients:
            self.endpoints["a"].refuse()
        self.clock.advance(1.1)
        failure = self.failureResultOf(clients[3].acquired, ConnectFailed)
        self.assertEqual(str(failure.value), "a: connection refused")
        for client in clients[:3]:
            self.endpoints["b"].accept()
            self.served(client)

    def test_one_client_is_one_retry(self):
        """A client that is tried with several takes one part of the budget."""
        self.build(budget=RetryBudget(0.0, 1))
        client = self.client()
        self.endpoints["a"].refuse()
        self.endpoints["b"].refuse()
        self.endpoints["c"].accept()
        self.served(client)
        self.assertEqual(self.upstream.status()["retries"], {"under_way": 0, "made": 1, "denied": 0})

    def test_whatever_ends_a_retry(self):
        """Its part of the budget is free again when its client leaves, when nothing here is left to connect
        with, and when a balancer refuses or breaks.
        """
        self.build(budget=RetryBudget(0.0, 1), balancer=(balancer := Moody(random.Random(1))))

        def leave(client):
            client.acquired.cancel()
            self.failureResultOf(client.acquired, CancelledError)

        def run_short(client):
            self.endpoints["b"].refuse(ConnectBindError(EMFILE, "Too many open files"))
            self.failureResultOf(client.acquired, OutOfResources)

        for end in (leave, run_short):
            client = self.client()
            self.endpoints["a"].refuse()
            self.assertEqual(self.upstream.status()["retries"]["under_way"], 1)
            end(client)
            self.assertEqual(self.upstream.status()["retries"]["under_way"], 0)
        for mood, error in (("refuse", ConnectFailed), ("break", ZeroDivisionError)):
            client = self.client()
            balancer.mood = mood
            self.endpoints["a"].refuse()
            self.failureResultOf(client.acquired, error)
            balancer.mood = ""
            self.assertEqual(self.upstream.status()["retries"]["under_way"], 0)

    def test_a_pool_that_raises(self):
        """What a pool raises is the client's error; the server has no connection more, and no blame."""

        def acquire(timeout, holder):
            raise ZeroDivisionError

        self.patch(self.members.pools["a"], "acquire", acquire)
        client = self.client()
        self.failureResultOf(client.acquired, ZeroDivisionError)
        server = self.servers["a"]
        self.assertEqual((server.active, server.failures, server.last_error), (0, 0, ""))

    def test_a_pool_that_has_lent_all(self):
        """A pool with no connection to spare is no fault of its server: another one is tried."""

        def acquire(timeout, holder):
            raise PoolExhausted("all 10 connections are lent")

        self.patch(self.members.pools["a"], "acquire", acquire)
        client = self.client()
        self.endpoints["b"].accept()
        self.served(client)
        self.assertEqual(client.attempts, [("a", "all 10 connections are lent"), ("b", "")])
        server = self.servers["a"]
        self.assertEqual((server.active, server.failures, server.last_error), (0, 0, ""))


class Moody(First):
    """Refuses, or breaks, when it is to."""

    mood = ""

    def pick(self, servers, client, now):
        if self.mood == "refuse":
            return None
        if self.mood == "break":
            raise ZeroDivisionError
        return super().pick(servers, client, now)


class RemovedTests(UpstreamCase):
    """A server is taken away while clients want it."""

    def setUp(self):
        super().setUp()
        self.operator = Operator(self.members)

    def test_while_connecting(self):
        """A client that is being connected to it gets another one, and nobody is blamed."""
        client = self.client()
        self.operator.remove("a", force=True)
        self.assertEqual(self.endpoints["a"].cancelled, 1)
        self.endpoints["b"].accept()
        self.served(client)
        self.assertEqual(client.attempts, [("a", "it was removed"), ("b", "")])
        self.assertEqual((self.servers["a"].active, self.servers["a"].failures), (0, 0))

    def test_while_others_wait_for_it(self):
        """The places that its clients leave behind are nobody's: who waits goes on waiting for the others."""
        self.build("ab", max_connections=1)
        self.operator = Operator(self.members)
        joined, transport = self.join("a")
        _, other = self.join("b")
        waiting = self.client()
        self.operator.remove("a", force=True)
        transport.settle()
        self.assertIs(joined.record.reason, Reason.CUT)
        self.assertEqual(joined.record.detail, "the operator removed a")
        self.assertEqual(self.endpoints["a"].connecting, 0)
        self.assertNoResult(waiting.acquired)
        other.lose()
        self.endpoints["b"].accept()
        self.served(waiting)

    def test_the_last_that_was_up(self):
        """When only servers are left that are down, who was being connected is refused."""
        self.down("b", "c")
        client = self.client()
        self.operator.remove("a", force=True)
        failure = self.failureResultOf(client.acquired, ConnectFailed)
        self.assertEqual(str(failure.value), "a: it was removed")
