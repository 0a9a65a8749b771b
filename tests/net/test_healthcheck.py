"""When servers are asked whether they are well, and what is kept of their answers."""

from __future__ import annotations

import json
import random
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.health import RiseFall, Schedule
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.healthcheck import UNCHECKED, HealthChecker

GOOD, BAD = Outcome(True, seconds=0.5), Outcome(False, "connection refused")
SHORT = Outcome(False, "too many open files", local=True)
NOTHING = {"count": 0, "healthy": None, "latency": None, "last_success": None, "last_failure": None}


@implementer(IHealthCheck)
class Scripted:
    """Answers what the test says, when it says so."""

    def __init__(self):
        self.asked = []

    def check(self, server):
        answer: Deferred[Outcome] = Deferred()
        self.asked.append((server.name, answer))
        return answer


EPOCH = 1_700_000_000.0
"""What the wall clock shows when the reactor's begins at 0."""


class HealthCheckerTests(SynchronousTestCase):
    """Servers that are checked again and again."""

    def setUp(self):
        self.clock = Clock()
        self.check = Scripted()
        self.servers = [Server("a", "tcp:192.0.2.1:1"), Server("b", "tcp:192.0.2.2:1")]
        self.told = []
        self.checker = self.make(self.check)

    def make(self, check):
        return HealthChecker(
            "db",
            self.servers,
            check,
            self.clock,
            health=lambda: RiseFall(2, 3),
            schedule=Schedule(5.0, jitter=0.0),
            chance=random.Random(1),
            changed=lambda server, transition: self.told.append((server.name, server.up, transition.up)),
            wall=lambda: EPOCH + self.clock.seconds(),
        )

    def answer(self, outcome, name="a"):
        """Let time pass until that server is asked, and answer."""
        for _ in range(20):
            for number, (asked, answer) in enumerate(self.check.asked):
                if asked == name:
                    del self.check.asked[number]
                    return answer.callback(outcome)
            self.clock.advance(1)
        return self.fail("nobody asked")

    def test_asks_every_server_soon_and_then_in_intervals(self):
        """All are asked at the start, each again an interval after its answer, never twice at a time."""
        self.checker.start()
        self.clock.advance(0)
        self.assertEqual([name for name, _ in self.check.asked], ["a", "b"])
        self.clock.advance(59)
        self.assertEqual(len(self.check.asked), 2)
        self.answer(GOOD)
        self.clock.advance(4.9)
        self.assertEqual([name for name, _ in self.check.asked], ["b"])
        self.clock.advance(0.1)
        self.assertEqual([name for name, _ in self.check.asked], ["b", "a"])

    def test_a_server_goes_down_and_comes_up_and_it_is_said_once(self):
        """Transitions are written into the server and logged, with the reason, and nothing else is logged."""
        self.checker.start()
        with capturedLogs() as events:
            ups = []
            for outcome in (GOOD, BAD, BAD, BAD, BAD, GOOD, GOOD, GOOD):
                self.answer(outcome)
                ups.append(self.servers[0].up)
        self.assertEqual(ups, [True, True, True, False, False, False, True, True])
        said = [(event["log_level"], event["state"], event["reason"]) for event in events]
        self.assertEqual(
            said,
            [
                (LogLevel.warn, "down", "3 checks in a row failed: connection refused"),
                (LogLevel.info, "up", "2 checks in a row succeeded"),
            ],
        )
        self.assertEqual({(event["server"], event["upstream"]) for event in events}, {("a", "db")})
        self.assertTrue(self.servers[1].up)
        self.assertEqual(self.servers[0].last_error, "connection refused")

    def test_tells_what_it_knows(self):
        """The counts of checks, and since when a server is what it is; before the first check, nothing."""
        self.assertEqual(self.checker.status(self.servers[0]), UNCHECKED)
        self.checker.start()
        self.clock.advance(0)
        self.clock.advance(1)
        for outcome in (BAD, GOOD):
            self.answer(outcome)
        status = self.checker.status(self.servers[0])
        self.assertEqual(status, {"since": EPOCH + 1.0, "checks": {"ok": 1, "failed": 1}})
        self.assertEqual(repr(self.checker), "<HealthChecker db running up=1 of 2>")

    def test_stopping_gives_up_what_is_under_way(self):
        """Behind a stop nothing is asked, and what is answered late changes nothing."""
        self.checker.start()
        self.clock.advance(0)
        self.answer(GOOD, "b")
        with capturedLogs() as events:
            self.checker.stop()
        self.assertEqual(events, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.servers[0].up)
        self.assertEqual(repr(self.checker), "<HealthChecker db stopped up=2 of 2>")

    def test_a_shortage_here_is_not_held_against_a_server(self):
        """A check that had no descriptor to ask with does not count, is said once, and soon asked again."""
        self.checker.start()
        with capturedLogs() as events:
            for outcome in (SHORT, SHORT, SHORT, BAD):
                self.answer(outcome)
                self.clock.advance(1)
        self.assertEqual(self.checker.status(self.servers[0])["checks"], {"ok": 0, "failed": 1})
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error, LogLevel.warn])
        self.assertEqual(events[1]["reason"], "1 check failed: connection refused")

    def test_a_broken_check_is_a_failed_one_and_our_own_fault(self):
        """A check that raises is logged with its traceback, counts as failed, and checking goes on."""

        @implementer(IHealthCheck)
        class Broken:
            def check(self, server):
                raise ZeroDivisionError

        checker = self.make(Broken())
        checker.start()
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertFalse(self.servers[0].up)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        checker.stop()

    def test_a_check_that_never_ends_is_a_failed_one(self):
        """A check that keeps no time-out is given up, said in the log, and counts as failed; what it answers
        later is of no interest, and checking goes on.
        """
        self.checker.start()
        self.clock.advance(0)
        late = {name: answer for name, answer in self.check.asked if name == "a"}["a"]
        self.answer(GOOD, "b")
        with capturedLogs() as events:
            self.clock.advance(59.9)
            self.assertTrue(self.servers[0].up)
            self.clock.advance(0.1)
        self.assertEqual((self.servers[0].up, self.servers[1].up), (False, True))
        self.assertEqual(self.servers[0].last_error, "the check is broken: it did not end within 60 s")
        self.assertIn(LogLevel.error, [event["log_level"] for event in events])
        late.callback(GOOD)
        self.check.asked.clear()
        self.answer(GOOD)
        self.answer(GOOD)
        self.assertTrue(self.servers[0].up)
        self.checker.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_has_defaults(self):
        """With nothing said, the rise, fall and intervals are the usual ones."""

        @implementer(IHealthCheck)
        class Good:
            def check(self, server):
                return succeed(GOOD)

        checker = HealthChecker("db", self.servers, Good(), self.clock)
        checker.start()
        self.clock.advance(1)
        self.assertEqual(checker.status(self.servers[0])["checks"], {"ok": 1, "failed": 0})
        checker.stop()

    def test_who_wants_to_know_is_told_of_every_transition(self):
        """Whoever is named as ``changed`` is called with the server, which is up or down by then, each time
        it goes up or down and at no other time.
        """
        self.checker.start()
        for outcome in (BAD, BAD, GOOD, GOOD, GOOD):
            self.answer(outcome)
        self.assertEqual(self.told, [("a", False, False), ("a", True, True)])

    def test_checking_goes_on_whoever_cannot_be_told(self):
        """A callable that raises is logged, and the server is checked again all the same."""

        def raise_(server, transition):
            raise ZeroDivisionError

        checker = HealthChecker("db", self.servers, self.check, self.clock, changed=raise_)
        checker.start()
        self.answer(BAD)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.answer(BAD)
        self.assertFalse(self.servers[0].up)
        checker.stop()

    def test_an_added_server_is_checked_soon(self):
        """One that comes while the others are checked is so at once; before the start, with the start."""
        self.checker.add(Server("c", "tcp:192.0.2.3:1"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.checker.start()
        self.checker.add(Server("d", "tcp:192.0.2.4:1"))
        self.clock.advance(0)
        self.assertEqual([name for name, _ in self.check.asked], ["a", "b", "c", "d"])

    def test_a_removed_server_is_forgotten(self):
        """Nothing is asked any more, what is under way is given up in silence, and nothing is told."""
        self.checker.start()
        self.clock.advance(0)
        with capturedLogs() as events:
            self.checker.remove(self.servers[0])
        self.assertEqual(events, [])
        self.answer(GOOD, "b")
        self.checker.remove(self.servers[1])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.checker.report(), {})
        self.assertEqual(self.told, [])

    def test_a_resting_server_is_left_alone(self):
        """It is not asked, whether a check was under way or due, and it stays what it was."""
        self.checker.start()
        self.answer(BAD)
        self.clock.advance(0)
        for server in self.servers:
            self.checker.rest(server)
            self.checker.rest(server)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([server.up for server in self.servers], [False, True])
        self.assertTrue(self.checker.report()["a"]["resting"])

    def test_behind_a_rest_the_first_check_decides(self):
        """One good check brings up a server that was down before its rest, one bad check takes one down."""
        self.checker.start()
        self.answer(BAD, "a")
        self.answer(GOOD, "b")
        for server in self.servers:
            self.checker.rest(server)
        self.clock.advance(100)
        self.check.asked.clear()
        for server in self.servers:
            self.checker.resume(server)
            self.checker.resume(server)
        self.answer(GOOD, "a")
        self.answer(BAD, "b")
        self.assertEqual([server.up for server in self.servers], [True, False])
        self.assertFalse(self.checker.report()["a"]["resting"])
        self.assertEqual(self.told, [("a", False, False), ("a", True, True), ("b", False, False)])
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)

    def test_rest_before_the_start(self):
        """One that rests when checking begins is not asked until it is resumed."""
        self.checker.rest(self.servers[0])
        self.checker.start()
        self.clock.advance(0)
        self.assertEqual([name for name, _ in self.check.asked], ["b"])
        self.checker.resume(self.servers[0])
        self.clock.advance(0)
        self.assertEqual([name for name, _ in self.check.asked], ["b", "a"])

    def test_who_is_told_may_stop_the_checks_of_the_server(self):
        """Whoever rests, resumes, removes or stops from within ``changed`` leaves one check at most."""
        for change, left in (
            (lambda checker, server: checker.rest(server), 0),
            (lambda checker, server: (checker.rest(server), checker.resume(server)), 1),
            (lambda checker, server: checker.remove(server), 0),
            (lambda checker, server: checker.stop(), 0),
        ):
            clock, check = Clock(), Scripted()
            checker: HealthChecker = HealthChecker(
                "db",
                self.servers[:1],
                check,
                clock,
                changed=partial(lambda change, server, _: change(checker, server), change),  # noqa: B023
            )
            checker.start()
            clock.advance(1)
            check.asked.pop()[1].callback(Outcome(not self.servers[0].up))
            self.assertEqual(len(clock.getDelayedCalls()), left)

    def test_an_answer_that_was_given_up_counts_for_nothing(self):
        """A check that cannot be cancelled and answers behind a rest or the resume changes nothing."""

        @implementer(IHealthCheck)
        class Stubborn:
            def __init__(self):
                self.asked = []

            def check(self, server):
                answer: Deferred[Outcome] = Deferred(lambda answer: answer.callback(BAD))
                self.asked.append(answer)
                return answer

        check = Stubborn()
        checker = HealthChecker("db", self.servers[:1], check, self.clock)
        checker.start()
        self.clock.advance(1)
        checker.rest(self.servers[0])
        checker.resume(self.servers[0])
        self.clock.advance(1)
        self.assertEqual(len(check.asked), 2)
        self.assertTrue(self.servers[0].up)
        self.assertEqual(checker.status(self.servers[0]), UNCHECKED)
        checker.stop()

    def test_report(self):
        """Of each server: what it is and since when, its last transition with time and reason, what the
        latest checks came to, and what real connections came to, apart from those.  Times are the wall
        clock's.
        """
        self.checker.start()
        self.clock.advance(0)
        self.clock.advance(1)
        for outcome in (BAD, GOOD, GOOD):
            self.answer(outcome)
        self.checker.note(self.servers[0], Outcome(True, seconds=0.25))
        self.checker.note(self.servers[0], SHORT)
        self.checker.note(self.servers[1], Outcome(False, "reset", seconds=9.0))
        now = EPOCH + self.clock.seconds()
        report = self.checker.report()
        self.assertEqual(
            report["a"],
            {
                "up": True,
                "since": now,
                "resting": False,
                "transition": {"up": True, "at": now, "reason": "2 checks in a row succeeded"},
                "checks": {
                    "count": 3,
                    "healthy": 2 / 3,
                    "latency": {"mean": 0.5, "p50": 0.5, "p95": 0.5, "max": 0.5},
                    "last_success": now,
                    "last_failure": {"at": EPOCH + 1.0, "error": "connection refused"},
                },
                "connections": {
                    "count": 1,
                    "healthy": 1.0,
                    "latency": {"mean": 0.25, "p50": 0.25, "p95": 0.25, "max": 0.25},
                    "last_success": now,
                    "last_failure": None,
                },
            },
        )
        self.assertEqual((report["b"]["transition"], report["b"]["checks"]), (None, NOTHING))
        self.assertEqual(report["b"]["connections"]["last_failure"], {"at": now, "error": "reset"})
        json.dumps(report)

    def test_without_a_check_nobody_is_asked(self):
        """With no check at all what is kept is how real connections went."""
        checker = HealthChecker("db", self.servers, None, self.clock)
        checker.start()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        checker.note(self.servers[0], GOOD)
        self.assertEqual(checker.report()["a"]["connections"]["count"], 1)
        checker.rest(self.servers[0])
        checker.resume(self.servers[0])
        checker.stop()
