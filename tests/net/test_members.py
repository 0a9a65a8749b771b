"""The servers of an upstream: who may be picked, and what moves them in and out."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from zope.interface import implementer

from tcpsuite.core.choosing import Choice, LeftOut, Why
from tcpsuite.core.connections import Reason
from tcpsuite.core.ejection import Ejector
from tcpsuite.core.health import RiseFall, Schedule, Transition
from tcpsuite.core.servers import Administration, Server
from tcpsuite.errors import ChangeRefused
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.healthcheck import HealthChecker
from tests.support.upstreams import UpstreamCase

DRAIN, MAINT, READY = Administration.DRAIN, Administration.MAINT, Administration.READY


@implementer(IHealthCheck)
class Asked:
    """Notes who was asked, and answers when the test does."""

    def __init__(self):
        self.names = []
        self.answers = []

    def check(self, server):
        self.names.append(server.name)
        asked: Deferred[Outcome] = Deferred()
        self.answers.append(asked)
        return asked


class MembersCase(UpstreamCase):
    """Servers that go up and down as the test says."""

    def move(self, name, up, reason="3 failed checks: refused"):
        self.servers[name].up = up
        self.members.moved(self.servers[name], Transition(up, self.clock.seconds(), reason))

    def names(self):
        return "".join(server.name for server in self.members.usable)


class UsableTests(MembersCase):
    """Who may be picked."""

    def test_one_list_until_something_changes(self):
        """It is the same object until a server changes, so that a balancer may go by that."""
        before = self.members.usable
        self.assertIs(self.members.usable, before)
        self.assertEqual(repr(self.members), "<Members of db: 3 of 3 usable>")
        self.move("b", False)
        self.assertIsNot(self.members.usable, before)
        self.assertEqual(self.names(), "ac")
        self.assertEqual(repr(self.members), "<Members of db: 2 of 3 usable>")

    def test_what_there_is_to_choose_from(self):
        """The choice follows, and is one object too; without those that were tried it is made for them."""
        self.assertIs(self.members.choice, self.members.choice)
        self.move("b", False)
        down = LeftOut("b", Why.DOWN)
        self.assertEqual(self.members.choice, Choice(("a", "c"), (down,), weights=(1, 1)))
        a, c = self.servers["a"], self.servers["c"]
        without = self.members.choice_without({a}, [c])
        self.assertEqual(without, Choice(("c",), (LeftOut("a", Why.TRIED), down), weights=(1,)))

    def test_who_is_told(self):
        """Whoever waits for servers is told when one may have become usable."""
        told = []
        self.members.listen(lambda: told.append(self.names()))
        self.move("b", False)
        self.move("b", True)
        self.members.administer(self.servers["a"], DRAIN)
        self.members.administer(self.servers["a"], DRAIN)
        self.assertEqual(told, ["ac", "abc", "bc"])

    def test_told_of_room_alone(self):
        """That connections come and go is told only where it fills a server, or makes room in it."""
        self.build("a", max_connections=2)
        told = []
        self.members.listen(lambda: told.append(self.names()))
        server = self.servers["a"]
        for step in (self.members.begun, self.members.begun, self.members.ended, self.members.ended):
            step(server)
        self.assertEqual(told, ["", "a"])

    def test_by_name(self):
        """A server is found by its name; an unknown one is refused with those that there are."""
        self.assertIs(self.members.server("b"), self.servers["b"])
        with self.assertRaisesRegex(ChangeRefused, "upstream db has no server 'x'; it has a, b, c"):
            self.members.server("x")


class HealthTests(MembersCase):
    """What becomes of a server that goes down, and comes back."""

    def test_connections_stay(self):
        """The connections of a server that goes down go on."""
        client, transport = self.join("a")
        self.move("a", False)
        self.assertFalse(transport.disconnected)
        self.assertIsNone(client.record.reason)

    def test_connections_are_cut(self):
        """With ``cut_when_down`` they are reset, and their records say why; other servers' are not."""
        self.build(cut_when_down=True)
        client, transport = self.join("a")
        self.down("a")
        other, others = self.join("b")
        self.down("a", up=True)
        self.move("a", False)
        self.assertTrue(transport.disconnected)
        self.assertIs(client.record.reason, Reason.SERVER_DOWN)
        self.assertEqual(client.record.detail, "3 failed checks: refused")
        self.assertEqual((others.disconnected, other.record.reason), (False, None))
        transport.settle()

    def test_what_is_being_made_is_given_up(self):
        """With ``cut_when_down`` a connection being made when its server goes down is given up, and its
        client tried with another server, without blame for the first.
        """
        self.build(cut_when_down=True)
        client = self.client()
        self.move("a", False)
        self.assertEqual(self.endpoints["a"].cancelled, 1)
        self.endpoints["b"].accept()
        self.served(client)
        self.assertIsNone(client.record.reason)
        self.assertEqual(client.attempts, [("a", "its connections were cut"), ("b", "")])
        self.assertEqual((self.servers["a"].active, self.servers["a"].failures), (0, 0))

    def test_what_is_being_made_goes_on(self):
        """Without it, it is left to succeed, or to fail and be made with another one."""
        client = self.client()
        self.move("a", False)
        self.assertEqual(self.endpoints["a"].cancelled, 0)
        self.endpoints["a"].refuse()
        self.endpoints["b"].accept()
        self.served(client)

    def test_who_has_gone_is_not_cut(self):
        """A connection that is over has its own reason."""
        self.build(cut_when_down=True)
        client, transport = self.join("a")
        transport.lose()
        self.move("a", False)
        self.assertIsNone(client.record.reason)

    def test_a_slow_start(self):
        """A server that comes up begins with a tenth of its weight, and the choice says so."""
        self.build(slow_start=20.0)
        self.move("a", False)
        self.move("a", True)
        self.assertEqual(self.servers["a"].weight, 0.1)
        self.assertEqual(self.members.choice.slow, ("a",))
        self.clock.advance(20)
        self.clock.advance(1)
        self.assertEqual((self.servers["a"].weight, self.members.choice.slow), (1, ()))

    def test_a_choice_that_was_kept_does_not_change(self):
        """What a record keeps of a slow start stays when the start is over."""
        self.build(slow_start=20.0)
        self.move("a", True)
        client, _ = self.join("a")
        self.clock.advance(21)
        self.assertEqual(client.record.picks[0].choice.slow, ("a",))


class EjectionTests(MembersCase):
    """Four servers; two real connections in a row that fail eject one."""

    def setUp(self):
        super().setUp()
        self.build("abcd", ejector=Ejector("abcd", errors=2), slow_start=20.0)

    def faults(self, name, times=2):
        for _ in range(times):
            self.members.judge(self.servers[name], False, "refused")

    def test_by_real_connections(self):
        """A server that refuses twice in a row gets no new connections; its clients are led to others."""
        for _ in range(2):
            client = self.client()
            self.endpoints["a"].refuse()
            self.endpoints["b"].accept()
            self.served(client)
        self.assertEqual(self.names(), "bcd")
        self.assertEqual(self.members.choice.left_out, (LeftOut("a", Why.EJECTED),))

    def test_one_that_connects_between(self):
        """A server that could be connected to in between is not ejected."""
        for _ in range(3):
            client = self.client()
            self.endpoints["a"].refuse()
            self.endpoints["b"].accept()
            self.served(client)
            self.join("a")
        self.assertEqual(self.names(), "abcd")

    def test_back_slowly(self):
        """When its time is over it is picked again, with a slow start."""
        self.faults("a")
        self.clock.advance(10)
        self.assertEqual((self.names(), self.servers["a"].weight), ("abcd", 0.1))

    def test_down_while_it_is_ejected(self):
        """A server that goes down is down, not ejected; when it is up it may be picked at once."""
        self.faults("a")
        self.move("a", False)
        self.assertEqual(self.members.choice.left_out, (LeftOut("a", Why.DOWN),))
        self.faults("a", 9)
        self.assertFalse(self.servers["a"].ejected)
        self.move("a", True)
        self.assertEqual(self.names(), "abcd")

    def test_half_of_those_that_take_connections(self):
        """Servers that an operator has taken out are not counted: of the two that are left one may be
        ejected, and never both.
        """
        self.members.administer(self.servers["c"], MAINT)
        self.members.administer(self.servers["d"], DRAIN)
        self.faults("a")
        self.faults("b")
        self.assertEqual(self.names(), "b")
        self.members.administer(self.servers["c"], READY)
        self.members.administer(self.servers["d"], READY)
        self.faults("b", 1)
        self.assertEqual(self.names(), "cd")

    def test_taken_out_while_it_is_ejected(self):
        """An operator's word ends an ejection: made ready again it is picked, while others are still out."""
        self.faults("a")
        self.faults("b")
        self.members.administer(self.servers["a"], DRAIN)
        self.members.administer(self.servers["c"], MAINT)
        self.assertEqual(self.names(), "d")
        self.members.administer(self.servers["a"], READY)
        self.assertEqual(self.names(), "ad")

    def test_down_and_made_ready(self):
        """A server that is down when it is made ready takes no part until it is up."""
        self.move("a", False)
        self.members.administer(self.servers["a"], DRAIN)
        self.members.administer(self.servers["a"], READY)
        self.faults("a", 9)
        self.assertFalse(self.servers["a"].ejected)


class CheckedTests(MembersCase):
    """With health checks."""

    def setUp(self):
        super().setUp()
        self.check = Asked()
        self.build("ab", watch=self.watch)
        self.upstream.start()
        self.clock.advance(1)

    def watch(self, moved):
        self.checker = HealthChecker(
            "db",
            self.servers.values(),
            self.check,
            self.clock,
            health=lambda: RiseFall(2, 3),
            schedule=Schedule(5.0, jitter=0.0),
            chance=random.Random(1),
            changed=moved,
        )
        return self.checker

    def test_checked_from_the_start(self):
        """All are checked when the upstream starts.  One that is added takes no connections until it was
        found well; one that is removed is checked no more.
        """
        self.assertEqual(self.check.names, ["a", "b"])
        server = self.servers["c"] = Server("c", "tcp:192.0.2.1:99")
        self.members.add(server, self.pool(server))
        self.clock.advance(1)
        self.assertEqual(self.check.names, ["a", "b", "c"])
        self.assertEqual(self.names(), "ab")
        self.check.answers.pop().callback(Outcome(True))
        self.assertEqual(self.names(), "abc")
        self.members.remove(server, "not wanted")
        self.assertEqual(self.names(), "ab")
        self.assertEqual(list(self.members.pools), ["a", "b"])
        self.assertEqual(list(self.checker.report()), ["a", "b"])

    def test_maintenance_is_not_checked(self):
        """A server in maintenance is left alone, and is checked soon when it is out of it; one that is being
        drained is checked as ever.
        """
        self.check.names.clear()
        self.members.administer(self.servers["a"], MAINT)
        self.members.administer(self.servers["b"], DRAIN)
        self.clock.advance(60)
        self.assertEqual((self.check.names, self.names()), ([], ""))
        self.members.administer(self.servers["a"], READY)
        self.clock.advance(1)
        self.assertEqual((self.check.names, self.names()), (["a"], "a"))

    def test_real_connections_stand_in_the_report(self):
        """An attempt that fails, and a connection that the server resets, are told to the report."""
        client = self.client()
        self.endpoints["a"].refuse()
        self.endpoints["b"].accept()
        self.served(client)
        report = self.checker.report()
        self.assertEqual(
            {name: of["connections"]["healthy"] for name, of in report.items()}, {"a": 0.0, "b": 1.0}
        )

    def test_what_is_known_of_a_server(self):
        """Its status is plain data: what it is configured to be, what it is now, and what became of it."""
        client = self.client()
        self.clock.advance(0.25)
        self.endpoints["a"].accept()
        self.served(client)
        status = self.members.status(self.servers["a"])
        self.assertLessEqual({"pool", "since", "checks"}, status.keys())
        self.assertLessEqual(
            {
                "name": "a", "address": "tcp:192.0.2.1:97", "weight": 1, "backup": False,
                "max_connections": 0, "administration": "ready", "up": True, "ejected": False,
                "full": False, "slow_start": False,
                "active": 1, "connections": 1, "failures": 0, "resets": 0, "error_rate": 0.0,
                "connect_ms": 250.0, "last_error": "",
            }.items(),
            status.items(),
        )  # fmt: skip
        self.assertIsNone(self.members.status(self.servers["b"])["connect_ms"])
