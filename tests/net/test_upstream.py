"""A server for each client, and the counts of what became of it."""

from __future__ import annotations

from errno import EMFILE

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectBindError, ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.choosing import Choice, LeftOut, Why
from tcpsuite.core.connections import Connection
from tcpsuite.core.picks import Pick
from tcpsuite.core.servers import Server
from tcpsuite.errors import Closed, ConnectFailed, NoServer, OutOfResources, PoolExhausted
from tcpsuite.interfaces import ILearning, ILoadBalancer
from tcpsuite.net.members import Members
from tcpsuite.net.pool import ConnectionPool
from tcpsuite.net.search import Patience
from tcpsuite.net.upstream import Upstream
from tcpsuite.testing.endpoints import ScriptedEndpoint
from tcpsuite.testing.pools import Taker


def record() -> Connection:
    """A client's record."""
    return Connection("1", "192.0.2.7:4711", "192.0.2.7", "gate", "gateway", 0.0, 0.0)


@implementer(ILoadBalancer, ILearning)
class Told:
    """Picks the first, and notes all that it is told."""

    refuses = broken = deaf = False

    def __init__(self):
        self.events = []

    def pick(self, servers, client, now):
        if self.broken:
            raise ZeroDivisionError
        self.events.append(("pick", "".join(server.name for server in servers), client))
        return None if self.refuses else servers[0]

    def started(self, server, now):
        self.note("started", server.name, server.active)

    def connected(self, server, outcome, now):
        self.note("connected", server.name, outcome.ok, outcome.error, outcome.seconds)

    def finished(self, server, outcome, now):
        self.note("finished", server.name, server.active, outcome.ok, outcome.seconds)

    def note(self, *event):
        if self.deaf:
            raise ZeroDivisionError
        self.events.append(event)


class UpstreamTests(SynchronousTestCase):
    """Four servers, of which the balancer picks the first that it may."""

    def setUp(self):
        self.clock = Clock()
        self.servers = [Server(name, f"tcp:192.0.2.1:{ord(name)}") for name in "abcd"]
        self.endpoints = {server.name: ScriptedEndpoint() for server in self.servers}
        self.balancer = Told()
        pools = {
            server.name: ConnectionPool(server, self.endpoints[server.name], self.clock)
            for server in self.servers
        }
        self.members = Members("db", self.servers, pools, self.clock)
        self.upstream = Upstream("db", self.members, self.balancer, self.clock)
        self.record = record()

    def acquire(self):
        return self.upstream.acquire("192.0.2.7", self.record)

    def counts(self, name):
        server = next(server for server in self.servers if server.name == name)
        return (server.active, server.connections, server.failures)

    def test_gives_a_connection_to_the_server_that_was_picked(self):
        """The lease leads to it; the record says which, and how long it took; the counts are exact."""
        acquired = self.acquire()
        self.assertEqual(self.counts("a"), (1, 0, 0))
        self.clock.advance(0.5)
        self.endpoints["a"].accept()
        lease = self.successResultOf(acquired)
        self.assertIs(lease.server, self.servers[0])
        self.assertEqual(self.record.server, "a")
        self.assertEqual(self.counts("a"), (1, 1, 0))
        attempt = self.record.attempts[0]
        self.assertEqual((attempt.server, attempt.error, attempt.seconds), ("a", "", 0.5))
        self.assertEqual(repr(self.upstream), "<Upstream db up=4 of 4 active=1>")

    def test_the_record_keeps_what_there_was_to_choose_from(self):
        """Each attempt has its choice: the candidates, and why each other server was left out."""
        self.servers[2].up = False
        self.members.refresh()
        self.acquire()
        self.endpoints["a"].refuse()
        self.endpoints["b"].accept()
        first, second = (pick.choice for pick in self.record.picks)
        self.assertEqual((first.candidates, first.left_out), (("a", "b", "d"), (LeftOut("c", Why.DOWN),)))
        self.assertEqual(second.candidates, ("b", "d"))
        self.assertEqual(second.left_out, (LeftOut("a", Why.TRIED), LeftOut("c", Why.DOWN)))

    def test_the_record_keeps_why_there_was_nobody(self):
        """A client for which there was no server has a choice of none, at once or when it has waited."""
        for server in self.servers:
            server.up = False
        self.members.refresh()
        self.failureResultOf(self.acquire(), NoServer)
        left_out = tuple(LeftOut(name, Why.DOWN) for name in "abcd")
        self.assertEqual(self.record.picks, (Pick(Choice((), left_out)),))

        for server in self.servers:
            server.up, server.max_connections, server.active = True, 1, 1
        self.members.refresh()
        self.record = record()
        waiting = self.acquire()
        self.assertEqual(self.record.picks, ())
        self.clock.advance(60)
        self.failureResultOf(waiting, PoolExhausted)
        left_out = tuple(LeftOut(name, Why.FULL) for name in "abcd")
        self.assertEqual(self.record.picks, (Pick(Choice((), left_out)),))

    def test_the_end_of_a_connection_is_told_once(self):
        """When the connection is gone, the server has one less, and the balancer hears how long it lasted."""
        acquired = self.acquire()
        transport = self.endpoints["a"].accept()
        self.successResultOf(acquired).attach(Taker())
        self.clock.advance(3)
        transport.lose()
        self.assertEqual(self.counts("a"), (0, 1, 0))
        self.assertEqual(
            self.balancer.events,
            [
                ("pick", "abcd", "192.0.2.7"),
                ("started", "a", 1),
                ("connected", "a", True, "", 0.0),
                ("finished", "a", 0, True, 3.0),
            ],
        )

    def test_a_server_that_resets_is_at_fault(self):
        """The outcome of a connection that the server reset is no good one, and its status says so."""
        acquired = self.acquire()
        transport = self.endpoints["a"].accept()
        self.successResultOf(acquired).attach(Taker())
        transport.lose(ConnectionLost())
        self.assertEqual(self.balancer.events[-1], ("finished", "a", 0, False, 0.0))
        server = self.servers[0]
        self.assertEqual((server.resets, server.last_error), (1, "reset by the server"))

    def test_tries_another_when_one_fails(self):
        """Each attempt is on a server that was not tried before, and is noted."""
        acquired = self.acquire()
        self.clock.advance(0.1)
        self.endpoints["a"].refuse()
        self.endpoints["b"].accept()
        self.assertEqual(self.successResultOf(acquired).server.name, "b")
        tried = [(attempt.server, attempt.error) for attempt in self.record.attempts]
        self.assertEqual(tried, [("a", "connection refused"), ("b", "")])
        self.assertEqual([self.counts(name) for name in "ab"], [(0, 0, 1), (1, 1, 0)])
        self.assertEqual(self.servers[0].last_error, "connection refused")
        self.assertEqual(self.record.server, "b")
        picks = [event[1] for event in self.balancer.events if event[0] == "pick"]
        self.assertEqual(picks, ["abcd", "bcd"])
        self.assertIn(("connected", "a", False, "connection refused", 0.1), self.balancer.events)

    def test_gives_up_behind_three(self):
        """When as many servers have failed as may, no other is tried, and the error names each and why."""
        patience = Patience(retries=2)
        self.upstream = Upstream("db", self.members, self.balancer, self.clock, patience=patience)
        acquired = self.acquire()
        for name in "abc":
            self.endpoints[name].refuse()
        failure = self.failureResultOf(acquired, ConnectFailed)
        self.assertEqual(
            str(failure.value), "a: connection refused, b: connection refused, c: connection refused"
        )
        self.assertEqual(self.endpoints["d"].asked, 0)
        self.assertEqual(len(self.record.attempts), 3)
        self.assertEqual([self.counts(name) for name in "abcd"], [(0, 0, 1)] * 3 + [(0, 0, 0)])
        self.assertEqual(self.record.server, "")

    def test_all_attempts_share_a_budget(self):
        """When two silent servers have used the time up no third is tried."""
        acquired = self.acquire()
        self.clock.advance(5)
        self.assertNoResult(acquired)
        self.clock.advance(5)
        failure = self.failureResultOf(acquired, ConnectFailed)
        self.assertEqual(str(failure.value), "a: no answer within 5 s, b: no answer within 5 s")
        self.assertEqual(self.endpoints["c"].asked, 0)

    def test_the_last_attempt_has_what_is_left_of_the_budget(self):
        """An attempt that begins late is given up when the budget ends, not later."""
        acquired = self.acquire()
        self.clock.advance(4.5)
        self.endpoints["a"].refuse()
        self.clock.advance(4.5)
        self.endpoints["b"].refuse()
        self.clock.advance(0.9)
        self.assertNoResult(acquired)
        self.clock.advance(0.2)
        self.assertIn("c: no answer within 1 s", str(self.failureResultOf(acquired, ConnectFailed).value))

    def test_only_the_usable_are_offered(self):
        """A server that is down, or without weight, is not offered to the balancer."""
        self.servers[0].up = False
        self.servers[2].weight = 0
        acquired = self.acquire()
        self.assertEqual(self.balancer.events[0], ("pick", "bd", "192.0.2.7"))
        self.endpoints["b"].accept()
        self.successResultOf(acquired)

    def test_without_a_server_it_says_so(self):
        """When none may be used nothing is tried, and it is not ready."""
        for server in self.servers:
            server.up = False
        self.assertFalse(self.upstream.ready)
        failure = self.failureResultOf(self.acquire(), NoServer)
        self.assertEqual(str(failure.value), "no server of db takes connections: of 4, 4 down")
        self.assertEqual(self.upstream.nobody, str(failure.value))
        self.assertEqual(self.record.attempts, ())

    def test_a_balancer_may_refuse(self):
        """A balancer that picks none leaves the client without a server."""
        self.balancer.refuses = True
        self.assertTrue(self.upstream.ready)
        failure = self.failureResultOf(self.acquire(), NoServer)
        self.assertEqual(str(failure.value), "the balancer of db refused")

    def test_a_client_that_leaves_is_no_fault_of_the_server(self):
        """Giving up leaves no count, blames nobody, and the balancer hears of the end."""
        acquired = self.acquire()
        self.clock.advance(1)
        acquired.cancel()
        self.failureResultOf(acquired, CancelledError)
        self.assertEqual(self.counts("a"), (0, 0, 0))
        self.assertEqual(self.endpoints["a"].cancelled, 1)
        self.assertEqual(self.endpoints["b"].asked, 0)
        self.assertEqual(self.balancer.events[-1], ("finished", "a", 0, True, 1.0))
        self.assertEqual(self.record.attempts[0].error, "the client left")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_shortage_here_is_no_fault_of_the_server(self):
        """Without a descriptor left no server is blamed and no other one tried; the record says it each time,
        the log once a minute.
        """
        with capturedLogs() as events:
            for seconds in (59, 1, 0):
                acquired = self.acquire()
                self.endpoints["a"].refuse(ConnectBindError(EMFILE, "Too many open files"))
                failure = self.failureResultOf(acquired, OutOfResources)
                self.assertEqual(str(failure.value), "too many open files")
                self.clock.advance(seconds)
        self.assertEqual([event["upstream"] for event in events], ["db", "db"])
        self.assertEqual(self.counts("a"), (0, 0, 0))
        self.assertEqual(self.servers[0].last_error, "")
        self.assertEqual(self.endpoints["b"].asked, 0)
        self.assertEqual(self.record.attempts[0].error, "too many open files")
        self.assertEqual(self.balancer.events[-1], ("finished", "a", 0, True, 0.0))

    def test_a_broken_balancer_is_an_error(self):
        """What a balancer raises is what the Deferred fails with."""
        self.balancer.broken = True
        self.failureResultOf(self.acquire(), ZeroDivisionError)

    def test_a_balancer_that_breaks_behind_its_pick_changes_no_count(self):
        """What a balancer raises when it is told something is logged as our side's fault, and all goes on."""

        self.balancer.deaf = True
        acquired = self.acquire()
        transport = self.endpoints["a"].accept()
        self.successResultOf(acquired).attach(Taker())
        self.assertEqual(self.counts("a"), (1, 1, 0))
        transport.lose()
        self.assertEqual(self.counts("a"), (0, 1, 0))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stopping_turns_clients_away(self):
        """Behind a stop whoever waits, or comes, is told that it is closed; no count is left."""
        self.upstream.start()
        waiting = self.acquire()
        self.clock.pump([0])
        self.assertEqual(self.counts("a"), (1, 0, 0))
        stopping = self.stop()
        self.failureResultOf(waiting, Closed)
        self.failureResultOf(self.acquire(), Closed)
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(stopping))
        self.assertEqual(self.counts("a"), (0, 0, 0))

    def stop(self):
        return Deferred.fromCoroutine(self.upstream.stop())

    def test_status_is_plain_data(self):
        """All that the admin page shows, without a checker."""
        status = self.upstream.status()
        servers = status.pop("servers")
        self.assertEqual([server["name"] for server in servers], list("abcd"))
        self.assertEqual(
            status,
            {
                "name": "db", "strategy": "", "ready": True, "paused": False, "resuming": 0.0,
                "pause_timeout": 30.0,
                "queue": {"waiting": 0, "longest_wait": 0.0, "timed_out": 0, "refused": 0},
                "retries": {"under_way": 0, "made": 0, "denied": 0},
                "affinity": None,
            },
        )  # fmt: skip
