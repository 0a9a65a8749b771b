"""A connection for a function, and what an upstream is asked besides."""

from __future__ import annotations

import gc
import random
import weakref

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from tcpsuite.core.balancing import STRATEGIES, First, LeastConnections, RoundRobin
from tcpsuite.core.choosing import Choice, LeftOut, Why
from tcpsuite.core.picks import Pick, Told
from tcpsuite.core.queueing import Queue, WhyHeld
from tcpsuite.core.servers import Administration, Server
from tcpsuite.errors import Closed, ConnectFailed, NoServer, PoolExhausted
from tcpsuite.interfaces import ILoadBalancer, ITimed
from tcpsuite.net.search import Patience
from tcpsuite.net.whatif import Whatif
from tests.support.upstreams import UpstreamCase


class Last(First):
    """Picks the last server."""

    def pick(self, servers, client, now):
        return servers[-1]


def figures(pick):
    """What the balancer went by."""
    return pick.basis.told(pick.choice, pick.server).figures


@implementer(ILoadBalancer)
class Silent:
    """Picks the first server, and does not say why."""

    def pick(self, servers, client, now):
        return servers[0]


class Stammering(First):
    """Breaks when it is to say why."""

    def because(self, servers, client):
        raise ValueError("w-what?")


class Refusing(First):
    """Picks nobody."""

    def pick(self, servers, client, now):
        return None


class ExecuteTests(UpstreamCase):
    """``execute``, by which a program has a connection for as long as it needs it."""

    def test_acquires_and_releases(self):
        """The function is called with the lease; when what it gave has fired the connection is closed."""
        answer: Deferred[str] = Deferred()
        leases = []

        def ask(lease):
            leases.append(lease)
            return answer

        done = self.upstream.execute(ask)
        transport = self.endpoints["a"].accept()
        self.assertEqual(leases[0].server.name, "a")
        self.assertNoResult(done)
        answer.callback("answer")
        self.assertEqual(self.successResultOf(done), "answer")
        self.assertTrue(transport.disconnecting)

    def test_releases_behind_an_error(self):
        """When the function fails, or its Deferred does, so does this, and the connection is closed."""

        def fail(lease):
            raise ZeroDivisionError

        done = self.upstream.execute(fail)
        transport = self.endpoints["a"].accept()
        self.failureResultOf(done, ZeroDivisionError)
        self.assertTrue(transport.disconnecting)

    def test_takes_coroutines(self):
        """The function may be a coroutine."""

        async def ask(lease):
            return lease.server.name

        done = self.upstream.execute(ask)
        self.endpoints["a"].accept()
        self.assertEqual(self.successResultOf(done), "a")

    def test_without_a_connection(self):
        """When there is none it fails as ``acquire`` does, and the function is not called."""
        self.down("a", "b", "c")
        self.failureResultOf(self.upstream.execute(lambda lease: self.fail("called")), NoServer)

    def test_cancelled(self):
        """Cancelling gives up the attempt, or what the function waits for, and closes the connection."""
        done = self.upstream.execute(lambda lease: Deferred())
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.endpoints["a"].cancelled, 1)
        done = self.upstream.execute(lambda lease: Deferred())
        transport = self.endpoints["a"].accept()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(transport.disconnecting)

    def test_a_strategy_of_its_own(self):
        """Named, a strategy picks for this call alone, and goes on where it was at the next; the upstream's
        own is not asked.
        """
        for _ in range(4):
            self.upstream.execute(lambda lease: None, "round_robin")
        self.assertEqual([self.endpoints[name].asked for name in "abc"], [2, 1, 1])
        self.upstream.execute(lambda lease: None)
        self.assertEqual(self.endpoints["a"].asked, 3)
        self.accept_all()

    def test_every_strategy(self):
        """Each that is built in may be named, chance and all."""
        for strategy in STRATEGIES:
            done = self.upstream.execute(lambda lease: lease.server.name, strategy, client="192.0.2.7")
            self.accept_all()
            self.assertIn(self.successResultOf(done), ["a", "b", "c"])

    def test_somebodys_own_balancer(self):
        """A balancer may be given; it is told what becomes of its picks."""
        done = self.upstream.execute(lambda lease: lease.server.name, Last(random.Random(1)))
        self.endpoints["c"].accept()
        self.assertEqual(self.successResultOf(done), "c")

    def accept_all(self):
        for endpoint in self.endpoints.values():
            while endpoint.connecting:
                endpoint.accept()


class AskedTests(UpstreamCase):
    """What an upstream tells, and what it is told, without a connection."""

    def test_whatif_is_what_the_next_client_gets(self):
        """Whoever it names is picked next, with every strategy, and however often it is asked."""
        for name, make in STRATEGIES.items():
            self.build(balancer=make(random.Random(1)))
            self.servers["b"].weight = 3
            for number in range(6):
                client = f"192.0.2.{number}"
                told = {self.upstream.whatif(client).pick.server for _ in range(3)}
                lease = self.upstream.acquire(client)
                asked = {name for name, server in self.servers.items() if self.endpoints[name].connecting}
                self.assertEqual(told, asked, name)
                self.endpoints[asked.pop()].accept()
                self.release(self.successResultOf(lease))
            self.settle()

    def release(self, lease):
        self.upstream.pools[lease.server.name].release(lease)

    def settle(self):
        for endpoint in self.endpoints.values():
            endpoint.settle()

    def test_whatif_with_chance_of_the_system(self):
        """A balancer that draws from the system's chance can be asked too."""
        chance = random.SystemRandom()
        self.build(balancer=STRATEGIES["power_of_two"](chance), chance=chance)
        whatif = self.upstream.whatif("192.0.2.7")
        self.assertIn(whatif.pick.server, ["a", "b", "c"])
        self.assertEqual(whatif.reason, "")

    def test_whatif_says_why_nobody(self):
        """It tells why there is no server, or that the balancer refuses, and who was left out."""
        self.build(balancer=Refusing(random.Random(1)))
        whatif = self.upstream.whatif()
        self.assertEqual((whatif.pick.server, whatif.reason), ("", "the balancer of db refused"))
        self.down("a", "b", "c")
        down = Choice((), tuple(LeftOut(name, Why.DOWN) for name in "abc"))
        expected = Whatif(Pick(down), "no server of db takes connections: of 3, 3 down")
        self.assertEqual(self.upstream.whatif(), expected)

    def test_whatif_it_had_to_wait(self):
        """It says for what a client would have to wait: the end of a pause, room, a server that is up."""
        self.build("a", max_connections=1, patience=Patience(hold_timeout=1.0))
        self.assertIsNone(self.upstream.whatif().waits)
        self.upstream.pause()
        whatif = self.upstream.whatif()
        self.assertEqual((whatif.pick.server, whatif.waits), ("a", WhyHeld.PAUSED))
        self.upstream.resume()
        _, other = self.join("a")
        self.assertEqual(self.upstream.whatif().waits, WhyHeld.FULL)
        other.lose()
        self.down("a")
        self.assertEqual(self.upstream.whatif().waits, WhyHeld.NONE_UP)

    def test_whatif_nobody_more_may_wait(self):
        """A client that would find the queue full is not told to wait, but what it would be refused with."""
        for most, crowd in ((1, "1 clients wait for upstream db already"), (0, "0 clients wait")):
            self.build("a", max_connections=1, queue=Queue(most))
            _, other = self.join("a")
            waiting = self.clients(most)
            for pause in (False, True):
                if pause:
                    self.upstream.pause()
                whatif = self.upstream.whatif()
                self.assertEqual((whatif.pick.server, whatif.waits), ("", None))
                refused = self.failureResultOf(self.client().acquired, PoolExhausted)
                self.assertEqual(whatif.reason, str(refused.value))
                self.assertIn(crowd, whatif.reason)
            self.assertEqual([left.why for left in whatif.pick.choice.left_out], [Why.FULL])
            for client in waiting:
                client.acquired.cancel()
                self.failureResultOf(client.acquired, CancelledError)
            other.lose()

    def test_whatif_says_why_this_one(self):
        """It says by which strategy, and what that went by; or nothing, where the balancer does not say."""
        self.build(balancer=RoundRobin(random.Random(1)), strategy="round_robin")
        whatif = self.upstream.whatif()
        self.assertEqual((whatif.pick.server, whatif.strategy), ("a", "round_robin"))
        self.assertEqual(figures(whatif.pick), {"earned": {"a": 1, "b": 1, "c": 1}})
        self.build(balancer=Silent())
        self.assertEqual(self.upstream.whatif().pick, Pick(self.members.choice, "a"))
        self.build(balancer=Stammering(random.Random(1)))
        broken = Told("it cannot say why: w-what?")
        self.assertEqual(self.upstream.whatif().pick, Pick(self.members.choice, "a", broken))

    def test_an_unknown_strategy(self):
        """A strategy that there is not is named beside those that there are."""
        with self.assertRaisesRegex(ValueError, "expected one of round_robin, .*, got 'fair'"):
            self.upstream.execute(lambda lease: None, "fair")

    def test_drained(self):
        """When the process is about to end, who waits for the end of a pause is told so at once; who waits
        for room may still get it.
        """
        self.build("a", max_connections=1)
        _, other = self.join("a")
        waiting = self.client()
        self.upstream.drain()
        self.assertNoResult(waiting.acquired)
        self.upstream.pause()
        self.upstream.drain()
        self.failureResultOf(waiting.acquired, Closed)
        other.lose()

    def test_whatif_of_what_cannot_be_copied(self):
        """A balancer that cannot be copied is not asked, and this is said."""

        class Stubborn(First):
            def __deepcopy__(self, memo):
                raise TypeError("not me")

        self.build(balancer=Stubborn(random.Random(1)))
        reason = self.upstream.whatif().reason
        self.assertEqual(reason, "its balancer cannot be asked without a pick: not me")

    def test_choices_in_the_record(self):
        """For each attempt the record has what there was to choose from, and why each other was left out; who
        chose from the same shares it.
        """
        self.servers["c"].administration = Administration.DRAIN
        self.members.refresh()
        first, second = self.clients(2)
        self.endpoints["a"].refuse()
        draining = LeftOut("c", Why.DRAINING)
        choice = Choice(("a", "b"), (draining,), weights=(1, 1))
        again = Choice(("b",), (LeftOut("a", Why.TRIED), draining), weights=(1,))
        self.assertEqual([pick.choice for pick in first.record.picks], [choice, again])
        self.assertIs(first.record.picks[0].choice, second.record.picks[0].choice)
        self.endpoints["a"].accept()
        self.endpoints["b"].accept()

    def test_why_in_the_record(self):
        """Each attempt has who was picked, and what the balancer compared then: for the next one others are
        left, and in between connections have come.
        """
        self.build(balancer=LeastConnections(random.Random(1)), strategy="least_connections")
        self.servers["a"].weight = 4
        self.members.refresh()
        first = self.client()
        second = self.client()
        self.endpoints["a"].refuse()
        self.assertEqual(
            (first.record.strategy, first.attempts), ("least_connections", [("a", "connection refused")])
        )
        self.assertEqual([pick.server for pick in first.record.picks], ["a", "b"])
        loads = [figures(pick)["load"] for pick in first.record.picks]
        self.assertEqual(loads, [{"a": 0.25, "b": 1, "c": 1}, {"b": 1, "c": 1}])
        (pick,) = second.record.picks
        self.assertEqual(figures(pick)["active"], {"a": 1, "b": 0, "c": 0})
        for name in "ab":
            self.endpoints[name].accept()

    def test_a_balancer_for_one_client(self):
        """Who picks by a balancer of its own has its name in the record."""
        record = self.client().record
        self.assertEqual(record.strategy, "")
        self.upstream.acquire("", record, Last(random.Random(1)))
        self.assertEqual((record.strategy, record.picks[-1].server), ("Last", "c"))
        self.endpoints["a"].accept()
        self.endpoints["c"].accept()

    def test_a_server_that_was_removed_is_forgotten(self):
        """Nothing holds a server that was removed, once another was picked, whatever is known of it: that it
        refused, was slow, or was in its slow start.
        """
        for name, make in STRATEGIES.items():
            self.build(balancer=make(random.Random(1)), slow_start=20.0)
            gone = Server("gone", "tcp:192.0.2.1:1", 200)
            self.members.add(gone, self.pool(gone))
            self.down("a", "b", "c")
            self.members.weights.begin(gone)
            _, transport = self.join("gone")
            transport.lose()
            client = self.client()
            self.endpoints["gone"].refuse()
            self.failureResultOf(client.acquired, ConnectFailed)
            self.members.remove(gone, "it was removed")
            self.down("a", "b", "c", up=True)
            client = self.client()
            self.endpoints[client.record.picks[0].server].refuse()
            client.acquired.cancel()
            self.failureResultOf(client.acquired, CancelledError)
            seen = weakref.ref(gone)
            del gone, self.endpoints["gone"], transport
            gc.collect()
            self.assertIsNone(seen(), name)
            self.members.weights.stop()

    def test_answers_are_told_to_who_is_timed(self):
        """A balancer that wants to know how soon servers answer is told; for any other nobody looks."""
        self.assertFalse(self.upstream.times_answers)
        self.build(balancer=(balancer := Listening()))
        self.assertTrue(self.upstream.times_answers)
        self.clock.advance(7)
        self.upstream.answered(self.servers["b"], 0.25)
        self.assertEqual(balancer.told, [("b", 0.25, 7.0)])

    def test_which_built_in_ones_are_timed(self):
        """Of the built-in ones least_time wants to know, and it alone."""
        timed = []
        for name, make in STRATEGIES.items():
            self.build(balancer=make(random.Random(1)))
            if self.upstream.times_answers:
                timed.append(name)
        self.assertEqual(timed, ["least_time"])

    def test_a_timed_balancer_that_breaks(self):
        """What goes wrong there is logged, and nothing else comes of it."""
        self.build(balancer=(balancer := Listening()))
        balancer.told = None  # type: ignore[assignment]
        self.upstream.answered(self.servers["b"], 0.25)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


@implementer(ILoadBalancer, ITimed)
class Listening(First):
    """Notes what it is told of answers."""

    def __init__(self):
        self.told = []

    def answered(self, server, seconds, now):
        self.told.append((server.name, seconds, now))
