"""Clients that wait for a server: for room, for one that is up, for the end of a pause."""

from __future__ import annotations

import random

from twisted.internet.defer import CancelledError, Deferred

from tcpsuite.core.balancing import First
from tcpsuite.core.choosing import Choice, LeftOut, Why
from tcpsuite.core.picks import Pick
from tcpsuite.core.queueing import Queue
from tcpsuite.core.retrying import RetryBudget
from tcpsuite.errors import Closed, ConnectFailed, NoServer, PoolExhausted
from tcpsuite.net.operating import Change
from tcpsuite.net.search import Patience
from tests.support.upstreams import UpstreamCase


class NoTimeTests(UpstreamCase):
    """Nobody may wait for room."""

    def setUp(self):
        super().setUp()
        self.build("a", patience=Patience(queue_timeout=0.0, hold_timeout=30.0))

    def test_who_asks_while_others_are_called(self):
        """There is room for one who asks in the answer of another that was held, and it is not refused."""
        self.down("a")
        first, behind = self.clients(2)
        asked = []

        def ask(lease):
            asked.append(self.client())
            return lease

        first.acquired.addCallback(ask)
        self.down("a", up=True)
        for _ in range(3):
            self.endpoints["a"].accept()
        for client in (first, behind, *asked):
            self.served(client)


class FullTests(UpstreamCase):
    """Two servers, each with room for one."""

    def setUp(self):
        super().setUp()
        self.build("ab", max_connections=1)

    def test_waits_for_room(self):
        """While both are full a client waits, and gets the first place that is free; the record tells why it
        waited, how long, and what it chose from at last.
        """
        _, first = self.join("a")
        self.join("b")
        third = self.client()
        self.assertNoResult(third.acquired)
        self.assertTrue(self.upstream.ready)
        self.clock.advance(2)
        first.lose()
        self.assertEqual(self.endpoints["a"].connecting, 1)
        self.endpoints["a"].accept()
        self.served(third)
        self.assertEqual((third.record.held, third.record.held_why), (2.0, "full"))
        (pick,) = third.record.picks
        self.assertEqual(pick.choice, Choice(("a",), (LeftOut("b", Why.FULL),), weights=(1,)))

    def test_in_the_order_in_which_they_came(self):
        """Places go to those who wait in their order, and never to more than there is room for."""
        open_ = [self.join(name)[1] for name in "ab"]
        waiting = self.clients(3)
        for transport in open_:
            transport.lose()
            self.assertLessEqual([server.active for server in self.servers.values()], [1, 1])
        self.assertEqual([client.record.held_why for client in waiting], ["full", "full", ""])
        self.served_by("a", waiting[0])
        self.served_by("b", waiting[1])
        self.assertNoResult(waiting[2].acquired)
        waiting[2].acquired.cancel()
        self.failureResultOf(waiting[2].acquired, CancelledError)

    def served_by(self, name, client):
        self.endpoints[name].accept()
        self.served(client)
        self.assertEqual(client.record.server, name)

    def test_waits_in_vain(self):
        """Who has waited for five seconds is told that the servers were full, and what they were is kept."""
        self.join("a")
        self.join("b")
        third = self.client()
        self.clock.advance(4.9)
        self.assertNoResult(third.acquired)
        self.clock.advance(0.1)
        failure = self.failureResultOf(third.acquired, PoolExhausted)
        self.assertEqual(str(failure.value), "the servers of db were full for 5 s")
        self.assertEqual(third.record.held, 5.0)
        full = Choice((), (LeftOut("a", Why.FULL), LeftOut("b", Why.FULL)))
        self.assertEqual(third.record.picks, (Pick(full),))
        self.assertEqual(self.upstream.status()["queue"]["timed_out"], 1)

    def test_no_time_to_wait(self):
        """With a queue time-out of 0 who finds all servers full is refused at once, and told before that
        it would be.
        """
        self.build("a", max_connections=1, patience=Patience(queue_timeout=0.0))
        self.join("a")
        self.assertIsNone(self.upstream.whatif().waits)
        failure = self.failureResultOf(self.client().acquired, PoolExhausted)
        self.assertEqual(str(failure.value), "the servers of db were full")
        self.assertEqual(self.upstream.status()["queue"]["timed_out"], 1)

    def test_a_full_queue(self):
        """When as many wait as may, who comes is refused at once."""
        self.build("a", max_connections=1, queue=Queue(1))
        self.join("a")
        second, third = self.clients(2)
        failure = self.failureResultOf(third.acquired, PoolExhausted)
        self.assertEqual(str(failure.value), "1 clients wait for upstream db already")
        self.assertEqual(self.upstream.status()["queue"]["refused"], 1)
        second.acquired.cancel()
        self.failureResultOf(second.acquired, CancelledError)

    def test_a_client_that_leaves_while_it_waits(self):
        """It has no place any more, and nothing is tried for it."""
        _, first = self.join("a")
        self.join("b")
        third = self.client()
        third.acquired.cancel()
        self.failureResultOf(third.acquired, CancelledError)
        first.lose()
        self.assertEqual(self.endpoints["a"].connecting, 0)

    def test_a_client_that_was_called_and_leaves(self):
        """One that leaves while it is connected to the server that it waited for gives the place on."""
        _, first = self.join("a")
        self.join("b")
        third, fourth = self.clients(2)
        first.lose()
        third.acquired.cancel()
        self.failureResultOf(third.acquired, CancelledError)
        self.assertEqual(self.servers["a"].active, 1)
        self.served_by("a", fourth)

    def test_a_server_that_refuses_passes_its_place_on(self):
        """A place at a server that fails for one is the next one's."""
        _, first = self.join("a")
        self.join("b")
        third, fourth = self.clients(2)
        first.lose()
        self.endpoints["a"].refuse()
        self.assertEqual(self.endpoints["a"].connecting, 1)
        self.assertNoResult(third.acquired)
        self.served_by("a", fourth)
        self.endpoints["b"].transports[0].lose()
        self.served_by("b", third)
        self.assertEqual(third.attempts, [("a", "connection refused"), ("b", "")])

    def test_who_cannot_go_keeps_nobody(self):
        """A client whom the only free server has failed waits for the other one; who comes behind it gets the
        free one at once.
        """
        _, first = self.join("a")
        _, second = self.join("b")
        first.lose()
        third = self.client()
        self.endpoints["a"].refuse()
        self.assertNoResult(third.acquired)
        fourth = self.client()
        self.served_by("a", fourth)
        self.assertEqual(fourth.record.held, 0.0)
        second.lose()
        self.served_by("b", third)

    def test_full_and_failed_is_not_waited_for(self):
        """When the server that has failed for a client is the only one with too few places, there is nothing
        to wait for.
        """
        self.servers["b"].max_connections = 0
        self.down("b")
        client, other = self.clients(2)
        self.endpoints["a"].refuse()
        self.failureResultOf(client.acquired, ConnectFailed)
        self.assertEqual(self.endpoints["a"].connecting, 1)
        self.served_by("a", other)

    def test_none_up_is_no_reason_to_wait(self):
        """Servers that are full and down are not waited for: they would take nobody."""
        self.join("a")
        self.join("b")
        self.down("a", "b")
        self.failureResultOf(self.client().acquired, NoServer)

    def test_a_backup_has_to_wait_too(self):
        """While a server is only full its clients wait, however free the backup is."""
        self.servers["b"].backup = True
        self.members.refresh()
        self.join("a")
        second = self.client()
        self.assertEqual(self.endpoints["b"].asked, 0)
        self.down("a")
        self.served_by("b", second)

    def test_without_room_by_health(self):
        """A server that comes up is room for those who wait."""
        self.down("b")
        self.join("a")
        second = self.client()
        self.down("b", up=True)
        self.served_by("b", second)

    def test_a_pool_that_answers_at_once(self):
        """Connections that are made, and end, in the very call keep every count right, and nobody waiting."""
        for endpoint in self.endpoints.values():
            self.at_once(endpoint)
        _, first = self.join_at_once()
        self.join_at_once()
        waiting = self.clients(5)
        for client in waiting:
            client.acquired.addCallback(self.give_back)
        first.lose()
        self.assertEqual([client.record.server for client in waiting], ["a", "", "", "", ""])
        for _ in range(4):
            self.endpoints["a"].settle()
        self.assertEqual([client.record.server for client in waiting], ["a"] * 5)
        for client in waiting:
            self.successResultOf(client.acquired)

    def give_back(self, lease):
        self.upstream.pools[lease.server.name].release(lease)

    def join_at_once(self):
        client = self.client()
        self.served(client)
        return client, self.endpoints[client.record.server].transports[-1]

    def at_once(self, endpoint):
        connect = endpoint.connect

        def connect_at_once(factory):
            attempt = connect(factory)
            endpoint.accept()
            return attempt

        endpoint.connect = connect_at_once

    def test_an_error_of_one_who_waited_is_its_own(self):
        """What a client makes of its lease keeps no other from being served."""
        open_ = [self.join(name)[1] for name in "ab"]
        third, fourth = self.clients(2)
        third.acquired.addCallback(lambda lease: 1 / 0)
        open_[0].lose()
        open_[1].lose()
        self.endpoints["a"].accept()
        self.failureResultOf(third.acquired, ZeroDivisionError)
        self.served_by("b", fourth)

    def test_retries_wait_too_and_hold_nothing(self):
        """A client that waits between two attempts takes no part of the retry budget."""
        self.build("ab", max_connections=1, budget=RetryBudget(0.0, 1))
        self.servers["a"].max_connections = 0
        _, other = self.join("a")
        self.client()
        self.join_b()
        self.endpoints["a"].refuse()
        self.assertEqual(self.upstream.status()["retries"], {"under_way": 0, "made": 0, "denied": 0})
        other.lose()
        self.endpoints["b"].transports[0].lose()
        self.assertEqual(self.upstream.status()["retries"], {"under_way": 1, "made": 1, "denied": 0})
        self.endpoints["b"].accept()

    def join_b(self):
        """Fill the second server, past the first."""
        lease = self.upstream.acquire("", None, Last(random.Random(1)))
        self.endpoints["b"].accept()
        self.successResultOf(lease)

    def test_closed_while_waiting(self):
        """Who waits when the upstream is closed is told so, and so is who comes behind that."""
        self.join("a")
        self.join("b")
        third = self.client()
        stopping = Deferred.fromCoroutine(self.upstream.stop(3.0))
        self.failureResultOf(third.acquired, Closed)
        self.failureResultOf(self.client().acquired, Closed)
        self.assertNoResult(stopping)
        self.clock.advance(3.0)
        for endpoint in self.endpoints.values():
            endpoint.settle()
        self.successResultOf(stopping)


class Last(First):
    """Picks the last server."""

    def pick(self, servers, client, now):
        return servers[-1]


class PausedTests(UpstreamCase):
    """An operator holds clients back."""

    def test_pause_and_resume(self):
        """While it is paused clients are held, and connections go on; resumed, all are served at once."""
        _, transport = self.join("a")
        self.upstream.pause()
        self.assertTrue(self.upstream.paused)
        self.assertEqual(self.upstream.changes(), [Change("", "paused", False, True)])
        waiting = self.clients(3)
        self.clock.advance(1)
        self.assertEqual(self.endpoints["a"].asked, 1)
        self.assertTrue(transport.connected)
        self.upstream.resume()
        self.assertEqual(self.upstream.changes(), [])
        for client in waiting:
            self.endpoints["a"].accept()
            self.served(client)
            self.assertEqual((client.record.held, client.record.held_why), (1.0, "paused"))

    def test_resumed_at_a_rate(self):
        """At two a second one is served at once and one each half second; who comes meanwhile is held behind
        them, for as long as a pause may hold, and who comes behind the last is not.
        """
        self.upstream.pause()
        self.clients(3)
        self.upstream.resume(2.0)
        late = self.client()
        asked = []
        for _ in range(4):
            asked.append(self.endpoints["a"].asked)
            self.clock.advance(0.5)
        self.assertEqual(asked, [1, 2, 3, 4])
        self.client()
        self.assertEqual(self.endpoints["a"].asked, 5)
        self.assertEqual((late.record.held, late.record.held_why), (1.5, "paused"))
        self.abandon("a")

    def abandon(self, name):
        while self.endpoints[name].connecting:
            self.endpoints[name].accept()

    def test_paused_for_too_long(self):
        """A client is held for thirty seconds, or as long as the pause says, and told so."""
        self.upstream.pause()
        usual = self.client()
        self.clock.advance(29.9)
        self.assertNoResult(usual.acquired)
        self.clock.advance(0.1)
        failure = self.failureResultOf(usual.acquired, PoolExhausted)
        self.assertEqual(str(failure.value), "upstream db held clients back for 30 s")
        self.upstream.pause(2.0)
        short = self.client()
        self.clock.advance(2.0)
        failure = self.failureResultOf(short.acquired, PoolExhausted)
        self.assertEqual(str(failure.value), "upstream db held clients back for 2 s")

    def test_the_limit_of_a_pause_is_its_own(self):
        """A pause without a limit has the configured one, whatever the last one had."""
        self.upstream.pause(2.0)
        self.upstream.resume()
        self.upstream.pause()
        client = self.client()
        self.clock.advance(29)
        self.assertNoResult(client.acquired)
        self.upstream.resume()
        self.endpoints["a"].accept()
        self.served(client)

    def test_paused_and_stopped(self):
        """A stop ends the waiting of those who are held back."""
        self.upstream.pause()
        client = self.client()
        stopping = Deferred.fromCoroutine(self.upstream.stop())
        self.failureResultOf(client.acquired, Closed)
        self.failureResultOf(self.client().acquired, Closed)
        self.successResultOf(stopping)
        self.upstream.resume(5.0)

    def test_resumed_with_nobody_up(self):
        """Those who were held back wait on for a server, up to the end of their time."""
        self.down("a", "b", "c")
        self.upstream.pause()
        client = self.client()
        self.upstream.resume()
        self.assertNoResult(client.acquired)
        self.down("a", up=True)
        self.endpoints["a"].accept()
        self.served(client)
