"""Two processes that share a store of sessions."""

from __future__ import annotations

from types import MappingProxyType

from twisted.internet.defer import Deferred

from tcpsuite.core.sessions import digest_of
from tcpsuite.errors import StoreFailed
from tcpsuite.net.session_data import LiveSession
from tcpsuite.options import Duration
from tests.support.managers import ManagerCase


class SharingTests(ManagerCase):
    """What one process does, the other one knows."""

    def setUp(self) -> None:
        """Two managers, a session of alice, and both that have it."""
        super().setUp()
        self.store.shared = True
        self.other = self.make_manager()
        self.session_id, self.here = self.opened()
        self.there = self.successResultOf(self.other.resume(self.session_id, "alice"))

    def set(self, key: str, value: str) -> None:
        """Set a key there."""
        self.successResultOf(self.other.set(self.there, key, value))

    def value_there(self, key: str) -> str | None:
        """What a key holds there."""
        return self.successResultOf(self.other.get(self.there, key))

    def test_seen_at_once(self) -> None:
        """What is changed on one side is read on the other: values, keys, sizes."""
        self.set("a", "1")
        self.assertEqual(self.value(self.here, "a"), "1")
        self.successResultOf(self.manager.delete(self.here, "a"))
        self.set("b", "22")
        self.assertEqual(self.successResultOf(self.manager.keys(self.here)), ["b"])
        self.assertEqual(self.successResultOf(self.manager.info(self.here))["bytes"], 3)
        self.assertIsNone(self.value_there("a"))

    def test_limits_hold_together(self) -> None:
        """Two sides do not pass the limits together, though each knows only its own changes."""
        self.successResultOf(self.manager.set(self.here, "a", "1"))
        self.set("b", "2")
        self.assertEqual(self.refused(self.manager.set(self.here, "c", "3")), "full")
        self.successResultOf(self.manager.delete(self.here, "b"))
        self.set("c", "3")

    def test_at_the_same_time(self) -> None:
        """A change that another one overtook is thought over, against what that has left."""
        self.store.slow = True
        mine = self.manager.set(self.here, "a", "1")
        theirs = [self.other.set(self.there, key, "2") for key in "ab"]
        while self.store.asked:
            self.store.answer()
        self.store.slow = False
        self.successResultOf(mine)
        for change in theirs:
            self.successResultOf(change)
        stored = self.stored(self.session_id)
        assert stored is not None
        self.assertEqual((stored.version, sorted(stored.data)), (3, ["a", "b"]))
        self.assertEqual(self.value(self.here, "a"), stored.data["a"])
        self.assertEqual(self.value_there("a"), stored.data["a"])

    def test_overtaken_and_full(self) -> None:
        """One that finds the session full when it is thought over is refused."""
        self.set("a", "1")
        self.store.slow = True
        mine = self.manager.set(self.here, "b", "1")
        self.store.answer()  # the head: version 1
        self.store.answer()  # and its data
        theirs = self.other.set(self.there, "c", "1")
        mine_stored = self.store.asked.pop(0)
        self.store.answer()
        self.store.answer()
        self.successResultOf(theirs)
        self.store.asked.append(mine_stored)
        while self.store.asked:
            self.store.answer()
        self.assertEqual(self.refused(mine), "full")

    def test_deleted_there_meanwhile(self) -> None:
        """A key that the other side has removed just before is not there any more."""
        self.set("a", "1")
        self.store.slow = True
        mine = self.manager.delete(self.here, "a")
        self.store.answer()
        self.store.answer()
        mine_stored = self.store.asked.pop(0)
        self.store.slow = False
        self.assertIs(self.successResultOf(self.other.delete(self.there, "a")), True)
        self.store.asked.append(mine_stored)
        self.store.answer()
        self.assertIs(self.successResultOf(mine), False)

    def test_ended_there(self) -> None:
        """A session that one side has ended is gone on the other, at its next request."""
        self.successResultOf(self.other.destroy(self.there))
        for asked in (
            self.manager.get(self.here, "a"),
            self.manager.set(self.here, "a", "1"),
            self.manager.resume(self.session_id, "alice"),
        ):
            self.assertEqual(self.refused(asked), "no-session")
        self.assertTrue(self.here.gone)

    def test_requests_add_up(self) -> None:
        """The requests of both are counted."""
        self.set("a", "1")
        self.value(self.here, "a")
        self.value(self.here, "a")
        self.assertEqual(self.successResultOf(self.manager.info(self.here))["requests"], 4)
        self.manager.release(self.here)
        self.other.release(self.there)
        stored = self.stored(self.session_id)
        assert stored is not None
        self.assertEqual(stored.requests, 4)

    def test_used_there(self) -> None:
        """What the other side uses does not expire on this one."""
        self.manager.release(self.here)
        for _ in range(4):
            self.clock.advance(60.0)
            self.value_there("a")
            self.other.touch(self.there)
            self.successResultOf(self.store.expire(self.clock.seconds() - 100.0))
        self.assertIsInstance(self.resumed(self.session_id), LiveSession)

    def test_vanished_between(self) -> None:
        """A session that ends between its head and its data is none."""
        self.manager.release(self.here)
        self.store.slow = True
        asked = self.manager.resume(self.session_id, "alice")
        self.store.answer()
        get = self.store.asked.pop()
        self.store.slow = False
        self.successResultOf(self.store.delete(digest_of(self.session_id)))
        self.store.asked.append(get)
        self.store.answer()
        self.assertEqual(self.refused(asked), "no-session")


class AbsenceTests(ManagerCase):
    """A store that is away, and so hears of nobody what is in use."""

    settings = MappingProxyType({"max_age": Duration(400.0)})

    def setUp(self) -> None:
        """Two managers; the other one has a session, and has left a second one."""
        super().setUp()
        self.store.shared = True
        self.other = self.make_manager()
        self.used, _ = self.successResultOf(self.other.create("alice"))
        self.left, live = self.successResultOf(self.other.create("alice"))
        self.other.release(live)

    def pass_by(self, seconds: float) -> None:
        """Have the manager sweep for so long."""
        self.clock.pump([10.0] * round(seconds / 10))

    def away(self, seconds: float) -> None:
        """The store fails for so long."""
        self.store.slow = True
        for _ in range(round(seconds / 10)):
            self.clock.advance(10.0)
            while self.store.asked:
                self.store.answer(error=StoreFailed("connection refused"))
        self.store.slow = False

    def sweep_there(self) -> None:
        """The other one sweeps."""
        self.successResultOf(Deferred.fromCoroutine(self.other.sweep()))

    def there_are(self) -> list[bool]:
        """Whether each of the two is stored."""
        return [self.stored(each) is not None for each in (self.used, self.left)]

    def test_in_use_elsewhere(self) -> None:
        """Behind an absence longer than the idle time-out a process leaves the others the time to say what
        they use, and then sweeps out what nobody does.
        """
        self.manager.start()
        self.pass_by(30.0)
        self.away(150.0)
        self.pass_by(20.0)
        self.sweep_there()
        self.assertEqual(self.there_are(), [True, True])
        self.pass_by(20.0)
        self.assertEqual(self.there_are(), [True, False])

    def test_a_process_that_begins_behind_it(self) -> None:
        """One that begins does not know how long it was, and does the same."""
        self.clock.advance(150.0)
        self.manager.start()
        self.sweep_there()
        self.assertEqual(self.there_are(), [True, True])
        self.pass_by(30.0)
        self.assertEqual(self.there_are(), [True, False])

    def test_too_old(self) -> None:
        """What is older than any session may be goes at once, whoever uses it."""
        self.clock.advance(401.0)
        self.manager.start()
        self.assertEqual(self.there_are(), [False, False])
