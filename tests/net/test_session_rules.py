"""Who gets a session, for how long, and what is told of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from tcpsuite.core.session_events import Destroyed, Expired, Left, Opened, Refused, Resumed
from tcpsuite.core.sessions import digest_of
from tcpsuite.net import sessions
from tcpsuite.options import Duration
from tests.support.managers import ManagerCase

if TYPE_CHECKING:
    from tcpsuite.core.session_events import Event


class SecretTests(ManagerCase):
    """What somebody who has no session learns of it: nothing."""

    def asked_for(self, session_id: str, user: str = "alice") -> tuple[str, int]:
        """What a store that takes its time is asked before the refusal, and how often; and the refusal."""
        self.store.slow = True
        asked = self.manager.resume(session_id, user)
        questions = 0
        while self.store.asked:
            self.assertNoResult(asked)
            self.store.answer()
            questions += 1
        self.store.slow = False
        return self.refused(asked), questions

    def test_same_work(self) -> None:
        """An unknown id, a truncated one, one too long, one expired, and another user's, idle or in use, cost
        one question to the store, which is not for any data.
        """
        self.patch(self.store, "get", lambda _: self.fail("the data was asked for"))
        expired, live = self.opened()
        self.manager.release(live)
        self.clock.advance(50.0)
        idle, live = self.opened("bob")
        self.manager.release(live)
        in_use, _ = self.opened("bob")
        self.clock.advance(60.0)
        for session_id in ("A" * 42 + "B", "A" * 5, "", "A" * 16_000, "\u2603", expired, idle, in_use):
            self.assertEqual(self.asked_for(session_id), ("no-session", 1))

    def test_same_answer(self) -> None:
        """All of them are refused in the same words."""
        other, _ = self.opened("bob")
        texts = {
            str(self.failureResultOf(self.manager.resume(session_id, "alice")).value)
            for session_id in ("A" * 43, "x", other)
        }
        self.assertEqual(len(texts), 1)


class OwnerTests(ManagerCase):
    """Who may open a session."""

    settings = MappingProxyType({"max_per_user": 1})

    def test_names(self) -> None:
        """A name that could not log in is refused, before anything is stored."""
        for user in ("a\nb", "\x1b[2J", "", "a b", "~a\x00", "x" * 65):
            self.assertEqual(self.refused(self.manager.create(user)), "user")
        self.assertEqual(self.successResultOf(self.manager.stats())["count"], 0)

    def test_per_user(self) -> None:
        """A user who has as many as one may have is told so, and opens another one when one has ended."""
        _, live = self.opened()
        error = self.failureResultOf(self.manager.create("alice")).value
        self.assertEqual(str(error), "you have 1 sessions already")
        self.opened("bob")
        self.successResultOf(self.manager.destroy(live))
        self.opened()


class AgeTests(ManagerCase):
    """Sessions that may grow only so old."""

    settings = MappingProxyType({"max_age": Duration(200.0)})

    def test_in_use(self) -> None:
        """A session that is too old ends at the next request, for everybody who has it."""
        session_id, one = self.opened()
        other = self.resumed(session_id)
        self.clock.advance(200.0)
        self.assertIsNone(self.value(one, "key"))
        self.clock.advance(0.1)
        for live in (one, other):
            self.assertEqual(self.refused(self.manager.get(live, "key")), "no-session")
        self.assertEqual(self.refused(self.manager.resume(session_id, "alice")), "no-session")
        self.manager.release(one)
        self.manager.release(other)

    def test_swept(self) -> None:
        """It is swept out though a connection has it."""
        self.manager.start()
        session_id, live = self.opened()
        self.clock.pump([10.0] * 20)
        self.assertIsNotNone(self.stored(session_id))
        self.clock.advance(10.0)
        self.assertIsNone(self.stored(session_id))
        self.assertTrue(live.gone)

    def test_idle(self) -> None:
        """One that is resumed again and again is no exception."""
        session_id, live = self.opened()
        for _ in range(4):
            self.manager.release(live)
            self.clock.advance(50.0)
            live = self.resumed(session_id)
        self.manager.release(live)
        self.clock.advance(0.1)
        self.assertEqual(self.refused(self.manager.resume(session_id, "alice")), "no-session")


class ManyTests(ManagerCase):
    """More sessions than one turn of the reactor is for."""

    def test_some_at_a_time(self) -> None:
        """A sweep lets others have their turn; what they end or leave meanwhile is left alone."""
        self.patch(sessions, "AT_ONCE", 1)
        opened = [self.opened() for _ in range(3)]
        self.clock.advance(7.0)
        swept = Deferred.fromCoroutine(self.manager.sweep())
        self.assertNoResult(swept)
        self.successResultOf(self.manager.destroy(opened[1][1]))
        self.manager.release(opened[2][1])
        self.clock.advance(1.0)
        self.clock.pump([1.0] * 3)
        self.successResultOf(swept)
        times = [
            stored and stored.used - 1_000_000.0 for stored in map(self.stored, [each[0] for each in opened])
        ]
        self.assertEqual(times, [7.0, None, 7.0])


class IntervalTests(ManagerCase):
    """How often sessions are swept."""

    settings = MappingProxyType({"max_per_user": 0})

    def test_often_enough(self) -> None:
        """At least thrice in an idle time-out the store hears of what is in use."""
        options = type(self.manager.options)(idle_timeout=Duration(15.0))
        self.manager = sessions.SessionManager(self.store, self.clock, options, now=self.clock.seconds)
        self.addCleanup(self.manager.stop)
        self.manager.start()
        session_id, _ = self.opened()
        self.clock.advance(5.0)
        stored = self.stored(session_id)
        assert stored is not None
        self.assertEqual(stored.used, self.clock.seconds())

    def test_touch(self) -> None:
        """A session that is touched begins its idle time anew, in the store too."""
        session_id, live = self.opened()
        self.clock.advance(7.0)
        self.manager.touch(live)
        stored = self.stored(session_id)
        assert stored is not None
        self.assertEqual((stored.used, stored.requests), (self.clock.seconds(), 1))


class TellingTests(ManagerCase):
    """What observers and statistics tell."""

    def test_events(self) -> None:
        """An observer hears of each session's way, by its digest."""
        session_id, live = self.opened()
        self.manager.release(live)
        live = self.resumed(session_id)
        self.refused(self.manager.resume(session_id, "bob"))
        self.successResultOf(self.manager.destroy(live))
        digest = digest_of(session_id)
        told: list[Event] = [
            Opened(digest, "alice"),
            Left(digest, "alice"),
            Resumed(digest, "alice"),
            Refused("bob", "no-session"),
            Destroyed(digest, "alice"),
        ]
        self.assertEqual(self.events, told)
        self.manager.release(self.opened()[1])
        self.clock.advance(101.0)
        self.successResultOf(Deferred.fromCoroutine(self.manager.sweep()))
        self.assertEqual(self.events[-1], Expired(1))

    def test_broken_observer(self) -> None:
        """An observer that fails is logged, and disturbs nobody."""
        self.patch(self.manager._journal, "_observer", lambda _: 1 // 0)
        self.opened()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stats(self) -> None:
        """Sessions are counted: all, those in use, those of each user; their requests; what came of them."""
        _, live = self.opened()
        self.clock.advance(3.0)
        left, other = self.opened("bob")
        self.successResultOf(self.manager.get(other, "key"))
        self.manager.release(other)
        self.clock.advance(4.0)
        self.successResultOf(self.manager.get(live, "key"))
        self.successResultOf(self.manager.get(live, "key"))
        self.refused(self.manager.resume(left, "alice"))
        self.successResultOf(Deferred.fromCoroutine(self.manager.sweep()))
        self.assertEqual(
            self.successResultOf(self.manager.stats(top=1)),
            {
                "count": 2, "users": 2, "top": {"alice": 1}, "requests": 3,
                "longest_age": 7.0, "longest_idle": 4.0, "in_use": 1, "connected": 0, "uses": 3,
                "opened": 2, "resumed": 0, "left": 1, "destroyed": 0, "expired": 0,
                "refused": {"no-session": 1},
            },
        )  # fmt: skip

    def test_stats_of_nothing(self) -> None:
        """Where there is no session none is old."""
        stats = self.successResultOf(self.manager.stats())
        self.assertEqual((stats["count"], stats["longest_age"], stats["longest_idle"]), (0, 0.0, 0.0))
