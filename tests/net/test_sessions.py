"""The session manager."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs

from tcpsuite.core.sessions import digest_of
from tcpsuite.errors import Closed, StoreFailed
from tcpsuite.net.session_opening import STRAYS, SessionOpening
from tests.support.managers import ManagerCase


class SessionManagerTests(ManagerCase):
    """What a session does for those who use it."""

    def test_ids(self) -> None:
        """Each session has an id of its own, made of 32 bytes of chance; the store never sees it."""
        ids = {self.opened()[0] for _ in range(3)}
        self.assertEqual(len(ids), 3)
        self.assertIn("A" * 43, ids)
        for session_id in ids:
            self.assertNotIn(session_id, repr([vars(self.store), self.stored(session_id)]))

    def test_resume(self) -> None:
        """A session that its connection has left is there, with its data, for the user who opened it."""
        session_id, live = self.opened()
        self.successResultOf(self.manager.set(live, "colour", "blue"))
        self.manager.release(live)
        self.assertEqual(self.refused(self.manager.resume(session_id, "bob")), "no-session")
        self.assertEqual(self.refused(self.manager.resume(session_id + "x", "alice")), "no-session")
        self.assertEqual(self.value(self.resumed(session_id), "colour"), "blue")

    def test_resume_in_use(self) -> None:
        """A session in use is another user's as well, and does not expire."""
        session_id, _ = self.opened()
        self.clock.advance(1000.0)
        self.assertEqual(self.refused(self.manager.resume(session_id, "bob")), "no-session")
        self.resumed(session_id)

    def test_expired(self) -> None:
        """An idle session lives for its time-out from the moment that it was left, swept or not."""
        session_id, live = self.opened()
        self.clock.advance(1000.0)
        self.manager.release(live)
        self.clock.advance(100.0)
        self.manager.release(self.resumed(session_id))
        self.clock.advance(100.1)
        self.assertEqual(self.refused(self.manager.resume(session_id, "alice")), "no-session")

    def test_data(self) -> None:
        """Keys are set, read, listed and removed; each change is stored when it is answered."""
        session_id, live = self.opened()
        self.successResultOf(self.manager.set(live, "b", "1"))
        self.successResultOf(self.manager.set(live, "a", "2"))
        self.successResultOf(self.manager.set(live, "b", "3"))
        stored = self.stored(session_id)
        assert stored is not None
        self.assertEqual((stored.data, stored.requests), ({"a": "2", "b": "3"}, 3))
        self.assertEqual(self.successResultOf(self.manager.keys(live)), ["a", "b"])
        self.assertEqual(self.value(live, "b"), "3")
        self.assertIsNone(self.value(live, "c"))
        self.assertIs(self.successResultOf(self.manager.delete(live, "b")), True)
        self.assertIs(self.successResultOf(self.manager.delete(live, "b")), False)
        stored = self.stored(session_id)
        assert stored is not None
        self.assertEqual((stored.data, live.size), ({"a": "2"}, 2))

    def test_limits(self) -> None:
        """Too many sessions, keys or bytes, and a key that is none, are refused, each by its code."""
        _, live = self.opened()
        self.opened()
        self.opened()
        self.assertEqual(self.refused(self.manager.create("alice")), "full")
        self.assertEqual(self.refused(self.manager.set(live, "a b", "1")), "key")
        self.assertEqual(self.refused(self.manager.set(live, "a", "x" * 20)), "full")
        self.successResultOf(self.manager.set(live, "a", "1"))
        self.successResultOf(self.manager.set(live, "b", "1"))
        self.assertEqual(self.refused(self.manager.set(live, "c", "1")), "full")
        self.successResultOf(self.manager.destroy(live))
        self.opened()

    def test_info(self) -> None:
        """A session tells its user, its age and its size."""
        _, live = self.opened()
        self.successResultOf(self.manager.set(live, "key", "value"))
        self.clock.advance(7.5)
        self.assertEqual(
            self.successResultOf(self.manager.info(live)),
            {"user": "alice", "age": 7, "idle_timeout": 100, "requests": 2, "keys": 1, "bytes": 8},
        )

    def test_two_connections(self) -> None:
        """Two connections may use one session: both see every change, and the last to leave ends its use."""
        session_id, one = self.opened()
        other = self.resumed(session_id)
        self.successResultOf(self.manager.set(one, "key", "1"))
        self.assertEqual(self.value(other, "key"), "1")
        self.manager.release(one)
        self.successResultOf(self.manager.set(other, "key", "2"))
        self.assertEqual(repr(self.manager), "<SessionManager in use=1 <MemoryStore 1 sessions>>")
        self.manager.release(other)
        self.assertEqual(repr(self.manager), "<SessionManager in use=0 <MemoryStore 1 sessions>>")
        self.assertEqual(self.value(self.resumed(session_id), "key"), "2")

    def test_closed_for_all(self) -> None:
        """Closing ends a session for every connection, and its id is worth nothing."""
        session_id, one = self.opened()
        other = self.resumed(session_id)
        self.successResultOf(self.manager.destroy(one))
        for asked in (self.manager.set(other, "a", "1"), self.manager.delete(other, "a")):
            self.assertEqual(self.refused(asked), "no-session")
        self.assertEqual(self.refused(self.manager.get(other, "a")), "no-session")
        self.assertEqual(self.refused(self.manager.destroy(other)), "no-session")
        self.assertEqual(self.refused(self.manager.resume(session_id, "alice")), "no-session")
        self.manager.release(one)
        self.manager.release(other)
        self.assertIsNone(self.stored(session_id))

    def test_gone_elsewhere(self) -> None:
        """A session that vanished from the store, by another process, is noticed at the next change."""
        session_id, live = self.opened()
        self.successResultOf(self.store.delete(digest_of(session_id)))
        self.assertEqual(self.refused(self.manager.set(live, "a", "1")), "no-session")
        self.assertTrue(live.gone)
        self.manager.release(live)


class RaceTests(ManagerCase):
    """What happens while the store takes its time."""

    def test_last_write_wins(self) -> None:
        """Of two changes of one key the one that was asked last stands, in memory and in the store."""
        session_id, live = self.opened()
        self.store.slow = True
        first = self.manager.set(live, "key", "1")
        second = self.manager.set(live, "key", "2")
        self.assertEqual(len(self.store.asked), 1)
        self.assertIsNone(self.value(live, "key"))
        self.store.answer()
        self.successResultOf(first)
        self.assertEqual(self.value(live, "key"), "1")
        self.store.answer()
        self.successResultOf(second)
        self.store.slow = False
        stored = self.stored(session_id)
        assert stored is not None
        self.assertEqual((self.value(live, "key"), stored.data), ("2", {"key": "2"}))

    def test_limits_hold_at_once(self) -> None:
        """Changes that wait do not pass the limits together."""
        _, live = self.opened()
        self.store.slow = True
        asked = [self.manager.set(live, key, "1") for key in "abc"]
        self.store.answer()
        self.store.answer()
        self.successResultOf(asked[0])
        self.successResultOf(asked[1])
        self.assertEqual(self.refused(asked[2]), "full")
        self.assertEqual(self.store.asked, [])

    def test_store_fails(self) -> None:
        """A change that was not stored is not seen, and the session goes on."""
        _, live = self.opened()
        self.store.slow = True
        asked = self.manager.set(live, "key", "1")
        self.store.answer(error=StoreFailed("disk full"))
        self.failureResultOf(asked, StoreFailed)
        self.assertIsNone(self.value(live, "key"))
        self.store.slow = False
        self.successResultOf(self.manager.set(live, "key", "2"))
        self.assertEqual((self.value(live, "key"), live.size), ("2", 4))

    def test_connection_lost_while_storing(self) -> None:
        """Changes under way when their connection is lost are made, and whoever resumes then sees them."""
        session_id, live = self.opened()
        self.store.slow = True
        asked = [self.manager.set(live, key, "1") for key in "ab"]
        for change in asked:
            change.cancel()
            self.failureResultOf(change, CancelledError)
        self.manager.release(live)
        again = self.resumed(session_id)
        self.assertIs(again, live)
        self.store.answer()
        self.store.answer()
        self.assertEqual(self.successResultOf(self.manager.keys(again)), ["a", "b"])
        self.manager.release(again)
        self.assertEqual(repr(self.manager), "<SessionManager in use=0 <MemoryStore 1 sessions>>")

    def test_connection_lost_while_opening(self) -> None:
        """A session that nobody was told of is forgotten."""
        self.store.slow = True
        asked = self.manager.create("alice")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.store.answer()
        self.store.answer()
        self.assertEqual(repr(self.manager), "<SessionManager in use=0 <MemoryStore 0 sessions>>")

    def lose_the_answer(self) -> None:
        """Open a session that is kept, which nobody is told."""
        asked = self.manager.create("alice")
        work, done = self.store.asked.pop(0)
        work()
        done.errback(StoreFailed("no answer within 2 s"))
        self.failureResultOf(asked, StoreFailed)

    def test_the_answer_is_lost_while_opening(self) -> None:
        """A session whose keeping failed, though it is kept, is forgotten at once if that can be."""
        self.store.slow = True
        self.lose_the_answer()
        self.store.answer()
        self.assertEqual(repr(self.store), "<MemoryStore 0 sessions>")

    def test_the_answer_is_lost_while_the_store_is_away(self) -> None:
        """If it can not, the next sweeps do it; so it does not count against its user for its idle time."""
        self.store.slow = True
        for _ in range(3):
            self.lose_the_answer()
            self.store.answer(error=StoreFailed("connection refused"))
        self.manager.start()
        self.store.answer(error=StoreFailed("connection refused"))
        self.store.slow = False
        self.assertEqual(self.refused(self.manager.create("alice")), "full")
        self.clock.advance(10.0)
        self.assertEqual(repr(self.store), "<MemoryStore 0 sessions>")
        self.opened()

    def test_what_nobody_was_told_of_is_kept_late(self) -> None:
        """What was not there yet when it was to be forgotten is forgotten by the next sweep."""
        self.store.slow = True
        asked = self.manager.create("alice")
        work, done = self.store.asked.pop(0)
        done.errback(StoreFailed("no answer within 2 s"))
        self.failureResultOf(asked, StoreFailed)
        self.store.answer()
        work()
        self.store.slow = False
        self.manager.start()
        self.assertEqual(repr(self.store), "<MemoryStore 0 sessions>")

    def test_few_of_those_are_remembered(self) -> None:
        """However often opening fails, what is remembered of it has a bound."""
        self.store.slow = True
        chance = (number.to_bytes(32) for number in range(STRAYS + 5))
        opening = SessionOpening(self.store, 3, 0, lambda _: next(chance))
        for _ in range(STRAYS + 5):
            asked = Deferred.fromCoroutine(opening.open("alice", 0.0))
            self.store.answer(error=StoreFailed("connection refused"))
            self.store.answer(error=StoreFailed("connection refused"))
            self.failureResultOf(asked, StoreFailed)
        self.assertEqual(repr(opening), f"<SessionOpening strays={STRAYS}>")

    def test_connection_lost_while_resuming(self) -> None:
        """A session that was fetched for nobody is not in use."""
        session_id, live = self.opened()
        self.manager.release(live)
        self.store.slow = True
        asked = self.manager.resume(session_id, "alice")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.store.answer()
        self.assertEqual(repr(self.manager), "<SessionManager in use=0 <MemoryStore 1 sessions>>")

    def test_resumed_twice_at_once(self) -> None:
        """Two connections that fetch a session at the same time use the same one."""
        session_id, live = self.opened()
        self.manager.release(live)
        self.store.slow = True
        asked = [self.manager.resume(session_id, "alice") for _ in range(2)]
        for _ in asked:
            self.store.answer()
        self.store.answer()
        one = self.successResultOf(asked[0])
        changed = self.manager.set(one, "key", "1")
        self.store.answer()
        other = self.successResultOf(asked[1])
        self.assertIs(other, one)
        self.store.answer()
        self.successResultOf(changed)
        self.assertEqual(self.value(other, "key"), "1")

    def test_resumed_while_closing(self) -> None:
        """Whoever resumes a session that is being closed finds out at the next request."""
        session_id, live = self.opened()
        self.store.slow = True
        closing = self.manager.destroy(live)
        late = self.resumed(session_id)
        self.store.answer()
        self.successResultOf(closing)
        self.assertEqual(self.refused(self.manager.set(late, "key", "1")), "no-session")
        self.manager.release(live)
        self.manager.release(late)


class SweepTests(ManagerCase):
    """What is swept out, and when."""

    def test_sweep(self) -> None:
        """At each interval, what nobody used for the idle time-out goes; what is in use stays."""
        self.manager.start()
        used, _ = self.opened()
        left, live = self.opened()
        self.manager.release(live)
        self.clock.pump([10.0] * 10)
        self.assertIsNotNone(self.stored(left))
        self.clock.advance(10.0)
        self.assertIsNone(self.stored(left))
        self.assertIsNotNone(self.stored(used))

    def test_sweeps_at_the_start(self) -> None:
        """What expired while no server ran is swept out at once."""
        session_id, live = self.opened()
        self.manager.release(live)
        self.clock.advance(1000.0)
        self.manager.start()
        self.assertIsNone(self.stored(session_id))

    def test_goes_on_after_a_failure(self) -> None:
        """A sweep that the store failed is made up for by the next."""
        session_id, live = self.opened()
        self.manager.release(live)
        self.clock.advance(1000.0)
        self.store.slow = True
        self.manager.start()
        self.store.answer(error=StoreFailed("disk full"))
        self.store.slow = False
        self.clock.advance(10.0)
        self.assertIsNone(self.stored(session_id))

    def test_stopped_under_way(self) -> None:
        """A sweep that the end of the store interrupts says nothing."""
        self.store.slow = True
        with capturedLogs() as told:
            self.manager.start()
            self.successResultOf(self.manager.stop())
            self.store.answer(error=Closed("the session store is closed"))
        self.assertEqual([*told], [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_goes_on_after_our_own_fault(self) -> None:
        """A fault of ours is logged with its traceback, and the sweeps go on."""
        self.store.slow = True
        self.manager.start()
        self.store.answer(error=ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(10.0)
        self.assertEqual(len(self.store.asked), 1)
        self.store.answer()

    def test_stop(self) -> None:
        """Stopping ends the sweeps and closes the store, which then knows of the last use of each session."""
        self.manager.start()
        _, live = self.opened()
        self.clock.advance(5.0)
        self.successResultOf(self.manager.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(live.session.used, self.clock.seconds())
        self.assertIn("closed", repr(self.manager))
