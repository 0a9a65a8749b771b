"""Servers that leave and come back by themselves."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.ejection import TRUSTED, Ejector
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.recovery import Ejections, Weights


class WeightsTests(SynchronousTestCase):
    """Two servers, of weight 10 and 1, and a slow start of 20 s."""

    def setUp(self):
        self.clock = Clock()
        self.a, self.b = Server("a", "tcp:192.0.2.1:1", 10), Server("b", "tcp:192.0.2.2:1", 1)
        self.changes = 0
        self.weights = self.make(20.0)

    def tearDown(self):
        self.weights.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def make(self, window):
        return Weights([self.a, self.b], self.clock, window, self.changed)

    def changed(self):
        self.changes += 1

    def curve(self, seconds):
        """The weight of the first server, in each of so many seconds."""
        weights = []
        for _ in range(seconds):
            weights.append(self.a.weight)
            self.clock.advance(1)
        return weights

    def test_slowly_up_to_its_weight(self):
        """A server that is back has a tenth of its weight, then a twentieth more each second, then all of it,
        in a whole number; everybody who wants to know is told each time.
        """
        self.weights.begin(self.a)
        self.assertEqual(list(self.weights.slow), [self.a])
        expected = [1, 1, *(tenths / 2 for tenths in range(2, 20))]
        self.assertEqual(self.curve(20), expected)
        self.assertEqual((self.a.weight, type(self.a.weight)), (10, int))
        self.assertEqual((list(self.weights.slow), self.changes), ([], 20))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_others_keep_theirs(self):
        """Only the server that is back begins slowly."""
        self.weights.begin(self.a)
        self.assertEqual((self.b.weight, self.weights[self.a], self.weights[self.b]), (1, 10, 1))

    def test_without_a_slow_start(self):
        """Without a window a server that is back has all of its weight at once."""
        self.weights = self.make(0.0)
        self.weights.begin(self.a)
        self.assertEqual((self.a.weight, list(self.weights.slow)), (10, []))

    def test_another_weight_meanwhile(self):
        """A weight that is changed in a slow start counts from where it is, and is reached at its end."""
        self.weights.begin(self.a)
        self.curve(10)
        self.assertEqual(self.a.weight, 5)
        self.weights.set(self.a, 100)
        self.assertEqual((self.a.weight, self.weights[self.a]), (50, 100))
        self.weights.set(self.a, 0)
        self.assertEqual(self.a.weight, 0)
        self.weights.set(self.a, 20)
        self.clock.advance(1)
        self.assertEqual(self.a.weight, 11)
        self.curve(9)
        self.assertEqual(self.a.weight, 20)

    def test_another_weight_without_a_slow_start(self):
        """A server that is not in a slow start has its new weight at once."""
        self.weights.set(self.a, 7)
        self.assertEqual((self.a.weight, type(self.a.weight)), (7, int))

    def test_back_again(self):
        """A server that comes back a second time begins anew."""
        self.weights.begin(self.a)
        self.curve(15)
        self.weights.begin(self.a)
        self.assertEqual(self.a.weight, 1)
        self.clock.advance(10)
        self.assertEqual(self.a.weight, 5)

    def test_two_at_once(self):
        """Each server has a slow start of its own, on one timer."""
        self.weights.begin(self.a)
        self.curve(10)
        self.weights.begin(self.b)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.curve(10)
        self.assertEqual((self.a.weight, self.b.weight), (10, 0.5))
        self.assertEqual(repr(self.weights), "<Weights servers=2 slow=1>")

    def test_forgotten(self):
        """A server that is none any more is not weighed; the timer ends when nobody is in a slow start."""
        self.weights.begin(self.a)
        self.weights.forget(self.a)
        self.clock.advance(5)
        self.assertEqual((self.a.weight, self.clock.getDelayedCalls()), (1, []))

    def test_stopped(self):
        """Behind a stop no timer runs, and none begins."""
        self.weights.begin(self.a)
        self.weights.stop()
        self.weights.begin(self.a)
        self.assertEqual((self.a.weight, self.clock.getDelayedCalls()), (1, []))


class EjectionsTests(SynchronousTestCase):
    """Four servers; two faults eject, for ten seconds."""

    def setUp(self):
        self.clock = Clock()
        self.servers = {name: Server(name, f"tcp:192.0.2.1:{ord(name)}") for name in "abcd"}
        self.told = []
        self.react = lambda server: None
        self.ejections = self.make(Ejector(self.servers, errors=2))

    def tearDown(self):
        self.ejections.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def make(self, ejector, second_look=None):
        return Ejections("db", ejector, self.clock, self.changed, second_look)

    def changed(self, server):
        self.told.append((server.name, server.ejected))
        self.react(server)

    def faults(self, name, times=2):
        for _ in range(times):
            self.ejections.judge(self.servers[name], False, "refused")

    @property
    def out(self):
        return [name for name, server in self.servers.items() if server.ejected]

    def test_out_and_back(self):
        """A server that fails is out for ten seconds; both are told, and logged with the reason."""
        with capturedLogs() as events:
            self.faults("a")
            self.assertEqual((self.out, self.told), (["a"], [("a", True)]))
            self.assertEqual(repr(self.ejections), "<Ejections of db: a>")
            self.clock.advance(9.9)
            self.assertEqual(self.out, ["a"])
            self.clock.advance(0.1)
        self.assertEqual((self.out, self.told), ([], [("a", True), ("a", False)]))
        self.assertEqual(repr(self.ejections), "<Ejections of db: none>")
        self.assertEqual([event["log_level"].name for event in events], ["warn", "info"])
        self.assertEqual(events[0]["reason"], "2 faults in a row: refused")

    def test_good_ones_between(self):
        """Faults that are not in a row eject nobody."""
        for _ in range(5):
            self.faults("a", 1)
            self.ejections.judge(self.servers["a"], True)
        self.assertEqual(self.out, [])

    def test_each_at_its_time(self):
        """Several are out, and each comes back when its own time is over, on one timer."""
        self.faults("a")
        self.clock.advance(4)
        self.faults("b")
        self.assertEqual((self.out, len(self.clock.getDelayedCalls())), (["a", "b"], 1))
        self.clock.advance(6)
        self.assertEqual(self.out, ["b"])
        self.clock.advance(4)
        self.assertEqual(self.out, [])

    def test_no_more_than_half(self):
        """At most half of the servers are out."""
        for name in "abcd":
            self.faults(name)
        self.assertEqual(self.out, ["a", "b"])

    def test_who_leaves_is_out_no_more(self):
        """A server that takes no connections for another reason is not ejected; and when too few are left,
        others come back before their time, and are told of.
        """
        self.faults("a")
        self.faults("b")
        self.ejections.leave(self.servers["b"])
        self.assertEqual(self.out, ["a"])
        self.ejections.leave(self.servers["c"])
        self.ejections.leave(self.servers["d"])
        self.assertEqual(self.out, [])
        self.assertEqual(self.told, [("a", True), ("b", True), ("a", False)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_has_left_is_not_judged(self):
        """What is heard of it ejects it only when it takes part again."""
        self.ejections.leave(self.servers["a"])
        self.faults("a", 5)
        self.assertEqual(self.out, [])
        self.ejections.join(self.servers["a"])
        self.faults("a")
        self.assertEqual(self.out, ["a"])

    def test_judged_while_it_is_let_in(self):
        """Servers that come back together are in before anybody is told; who fails at once is out again, and
        comes back at its time like all others.
        """
        self.ejections = self.make(Ejector(self.servers, errors=1))
        self.faults("a", 1)
        self.faults("b", 1)
        self.react = lambda server: self.faults("b", 1) if server.name == "a" and not server.ejected else None
        self.clock.advance(10)
        self.assertEqual(self.out, ["b"])
        self.clock.advance(20)
        self.assertEqual(self.out, [])

    def test_without_an_ejector(self):
        """Without one nobody is ejected, whatever happens."""
        self.ejections = self.make(None)
        self.ejections.join(self.servers["a"])
        self.faults("a", 9)
        self.ejections.leave(self.servers["a"])
        self.assertEqual((self.out, self.told), ([], []))

    def test_stopped(self):
        """Behind a stop who is out stays so; nobody is judged, and no timer runs."""
        self.faults("a")
        self.ejections.stop()
        self.faults("b")
        self.clock.advance(99)
        self.assertEqual((self.out, self.clock.getDelayedCalls()), (["a"], []))

    def test_suspicion_is_enough(self):
        """Where nobody asks servers, resets eject as refusals do."""
        self.ejections.suspect(self.servers["a"], "reset")
        self.ejections.suspect(self.servers["a"], "reset")
        self.assertEqual(self.out, ["a"])


class SecondLookTests(EjectionsTests):
    """The same, and a server that resets connections is asked."""

    def make(self, ejector, second_look=None):
        self.look = Asked()
        return super().make(ejector, self.look)

    def resets(self, name, times=2):
        for _ in range(times):
            self.ejections.suspect(self.servers[name], "reset")

    def test_suspicion_is_enough(self):
        """Resets alone eject nobody; the server is asked once."""
        self.resets("a", 9)
        self.assertEqual((self.look.names, self.out), (["a"], []))

    def test_not_well(self):
        """One that is not well is ejected, with the reason."""
        self.resets("a")
        with capturedLogs() as events:
            self.look.answers[0].callback(Outcome(False, "it is mute"))
        self.assertEqual((self.out, self.told), (["a"], [("a", True)]))
        self.assertEqual(events[0]["reason"], "2 faults in a row, and a check failed: it is mute")

    def test_well(self):
        """One that is well stays, and is asked again only after a while."""
        self.resets("a")
        self.look.answers[0].callback(Outcome(True))
        self.resets("a")
        self.assertEqual((self.look.names, self.out), (["a"], []))
        self.clock.advance(TRUSTED)
        self.resets("a")
        self.assertEqual(self.look.names, ["a", "a"])

    def test_not_known(self):
        """For want of something here nobody is ejected."""
        self.resets("a")
        self.look.answers[0].callback(Outcome(False, "no descriptor", local=True))
        self.assertEqual(self.out, [])

    def test_a_broken_check(self):
        """A check that fails to give an outcome has failed."""
        self.resets("a")
        self.look.answers[0].errback(ValueError("oops"))
        self.assertEqual(self.out, ["a"])

    def test_leaves_while_it_is_asked(self):
        """One that takes no connections any more is asked no more, and its answer ejects nobody."""
        self.resets("a")
        self.ejections.leave(self.servers["a"])
        self.assertEqual((self.look.cancelled, self.out), (1, []))

    def test_comes_back_while_it_is_asked(self):
        """One that is back is asked anew when there is reason to."""
        self.resets("a")
        self.ejections.leave(self.servers["a"])
        self.ejections.join(self.servers["a"])
        self.resets("a")
        self.assertEqual((self.look.names, self.out), (["a", "a"], []))
        self.look.answers[1].callback(Outcome(False, "it is mute"))
        self.assertEqual(self.out, ["a"])

    def test_stopped_while_it_is_asked(self):
        """Behind a stop nobody is asked."""
        self.resets("a")
        self.ejections.stop()
        self.assertEqual((self.look.cancelled, self.out), (1, []))
        self.resets("b")
        self.assertEqual(self.look.names, ["a"])


@implementer(IHealthCheck)
class Asked:
    """A check that the test answers."""

    def __init__(self):
        self.names = []
        self.answers: list[Deferred[Outcome]] = []
        self.cancelled = 0

    def check(self, server):
        self.names.append(server.name)
        self.answers.append(Deferred(self.cancel))
        return self.answers[-1]

    def cancel(self, answer):
        self.cancelled += 1
