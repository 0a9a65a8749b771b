"""What every :class:`~tcpsuite.interfaces.ISessionStore` promises, as tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from tcpsuite.core.sessions import Kept, Session, SessionTotals
from tcpsuite.errors import Closed, StoreFailed
from tcpsuite.interfaces import ISessionStore

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure
    from twisted.trial.unittest import SynchronousTestCase

    Case = SynchronousTestCase
else:
    Case = object

T = TypeVar("T")

PLENTY = 100


def session(name: str, user: str = "alice", used: float = 1000.0, **data: str) -> Session:
    """A session of that name, whose digest is the name padded to 32 bytes."""
    return Session(digest_named(name), user, created=used, used=used, data=data)


def digest_named(name: str) -> bytes:
    """The digest of :func:`session`."""
    return name.encode().ljust(32, b".")


class SessionStoreContract(Case):
    """Mix it into a ``SynchronousTestCase`` that has a ``make_store``.

    A store that waits for something is given a fake of it that does not: SQLite's, a "thread" that runs at
    once.  One that has to wait, for a network, overrides :meth:`wait_for`.
    """

    def make_store(self) -> ISessionStore:
        """A new, empty store that is open already, and closed by a clean-up."""
        raise NotImplementedError

    def wait_for(self, asked: Deferred[T]) -> T:
        """What ``asked`` fires with, or raises what it fails with."""
        failures: list[Failure] = []
        asked.addErrback(failures.append)
        answer: T = self.successResultOf(asked)
        if failures:
            failures[0].raiseException()
        return answer

    def setUp(self) -> None:
        """Start each test with an empty store."""
        super().setUp()
        self.store = self.make_store()

    def keep(self, *sessions: Session) -> None:
        """Have the store keep these."""
        for each in sessions:
            self.assertIs(self.wait_for(self.store.create(each, PLENTY)), Kept.YES)

    def kept(self, name: str) -> Session | None:
        """What the store gives for a session of that name."""
        return self.wait_for(self.store.get(digest_named(name)))

    def test_provides_the_interface(self) -> None:
        """It has every method of the interface, with its arguments."""
        verifyObject(ISessionStore, self.store)

    def test_get_what_was_created(self) -> None:
        """A session comes back as it was given."""
        given = session("a", colour="blue", empty="", odd="\x00 ☃ \r\x85", number="007")
        self.keep(given)
        self.assertEqual(self.kept("a"), given)

    def test_get_nothing(self) -> None:
        """There is no session of an unknown digest."""
        self.keep(session("a"))
        self.assertIsNone(self.kept("b"))

    def test_head(self) -> None:
        """A session's head is all of it but its data."""
        self.keep(session("a", colour="blue"))
        self.assertEqual(self.wait_for(self.store.head(digest_named("a"))), session("a"))
        self.assertIsNone(self.wait_for(self.store.head(digest_named("b"))))

    def test_sessions_are_copies(self) -> None:
        """What a caller does with a session it gave or got changes nothing in the store."""
        given = session("a", colour="blue")
        self.keep(given)
        given.data["colour"] = "red"
        got = self.kept("a")
        assert got is not None
        got.data["colour"] = "green"
        head = self.wait_for(self.store.head(given.digest))
        assert head is not None
        head.version = 9
        self.assertEqual(self.kept("a"), session("a", colour="blue"))

    def test_create_within_the_limit(self) -> None:
        """Past the limit no session is kept, until one has gone."""
        for name in "ab":
            self.assertIs(self.wait_for(self.store.create(session(name), 2)), Kept.YES)
        self.assertIs(self.wait_for(self.store.create(session("c", key="value"), 2)), Kept.FULL)
        self.assertIsNone(self.kept("c"))
        self.wait_for(self.store.delete(digest_named("a")))
        self.assertIs(self.wait_for(self.store.create(session("c"), 2)), Kept.YES)
        self.wait_for(self.store.expire(2000.0))
        self.assertIs(self.wait_for(self.store.create(session("a"), 1)), Kept.YES)

    def test_create_within_the_limit_of_a_user(self) -> None:
        """Past a user's limit no session of that user is kept, until one has gone, by whatever way."""
        create = self.store.create
        self.assertIs(self.wait_for(create(session("a"), PLENTY, 2)), Kept.YES)
        self.assertIs(self.wait_for(create(session("b", used=1500.0), PLENTY, 2)), Kept.YES)
        self.assertIs(self.wait_for(create(session("c"), PLENTY, 2)), Kept.USER_FULL)
        self.assertIs(self.wait_for(create(session("d", "bob"), PLENTY, 2)), Kept.YES)
        self.assertIs(self.wait_for(create(session("c"), 3, 2)), Kept.FULL)
        self.assertEqual(self.wait_for(self.store.expire(1200.0)), 2)
        self.assertIs(self.wait_for(create(session("c"), PLENTY, 2)), Kept.YES)
        self.wait_for(self.store.delete(digest_named("b")))
        self.assertIs(self.wait_for(create(session("b"), PLENTY, 2)), Kept.YES)
        self.assertIs(self.wait_for(create(session("e"), PLENTY, 2)), Kept.USER_FULL)

    def test_create_what_is_there(self) -> None:
        """To keep a session of a digest that is there fails, and changes nothing; who asks for something else
        at the same time has it.
        """
        self.keep(session("a", colour="blue"))
        again, other = (self.store.create(session(name, size="9"), PLENTY, 2) for name in "ab")
        self.assertRaises(StoreFailed, self.wait_for, again)
        self.assertIs(self.wait_for(other), Kept.YES)
        self.assertEqual(self.kept("a"), session("a", colour="blue"))
        self.assertEqual(self.wait_for(self.store.totals(1)).top, {"alice": 2})

    def test_in_order(self) -> None:
        """What is asked of one session is done in the order in which it was asked, whoever waits for it."""
        a, store = digest_named("a"), self.store
        kept = store.create(session("a"), PLENTY)
        changed = store.change(a, {"colour": "blue"}, 0, 1010.0, 1)
        read, deleted, gone = store.get(a), store.delete(a), store.get(a)
        again, renewed = store.create(session("a", colour="red"), PLENTY), store.get(a)
        expected = session("a", colour="blue")
        expected.used, expected.requests = 1010.0, 1
        self.assertIsNone(self.wait_for(gone))
        self.assertIs(self.wait_for(kept), Kept.YES)
        version = self.wait_for(changed)
        assert version is not None
        expected.version = version
        self.assertEqual(self.wait_for(read), expected)
        self.assertIs(self.wait_for(deleted), True)
        self.assertIs(self.wait_for(again), Kept.YES)
        self.assertEqual(self.wait_for(renewed), session("a", colour="red"))

    def test_cancel(self) -> None:
        """Who gives up waiting disturbs nobody, and what was asked is done all the same."""
        self.keep(session("a", colour="blue"))
        before = self.store.head(digest_named("a"))
        change = self.store.change(digest_named("a"), {"colour": "red"}, 0, 1010.0, 1)
        change.addErrback(lambda failure: failure.trap(CancelledError))
        change.cancel()
        after = self.store.get(digest_named("a"))
        self.assertEqual(self.wait_for(before), session("a"))
        read = self.wait_for(after)
        assert read is not None
        self.assertEqual(read.data, {"colour": "red"})

    def test_change(self) -> None:
        """A change sets and removes the keys that it names, and no others, and makes a new version."""
        self.keep(session("a", kept="1", changed="2", removed="3"), session("b", changed="2"))
        changes = {"changed": "20", "removed": None, "new": "4", "absent": None}
        version = self.wait_for(self.store.change(digest_named("a"), changes, 0, 1010.0, 7))
        assert version is not None
        expected = session("a", kept="1", changed="20", new="4")
        expected.used, expected.requests, expected.version = 1010.0, 7, version
        self.assertEqual(self.kept("a"), expected)
        self.assertEqual(self.kept("b"), session("b", changed="2"))

    def test_change_of_another_version(self) -> None:
        """Who does not know the last change makes none."""
        self.keep(session("a", key="1"))
        a = digest_named("a")
        version = self.wait_for(self.store.change(a, {"key": "2"}, 0, 1010.0, 1))
        assert version is not None
        for other in (0, version + 1):
            self.assertIsNone(self.wait_for(self.store.change(a, {"key": "3"}, other, 1020.0, 1)))
        expected = session("a", key="2")
        expected.used, expected.requests, expected.version = 1010.0, 1, version
        self.assertEqual(self.kept("a"), expected)
        following = self.wait_for(self.store.change(a, {"key": None}, version, 1020.0, 1))
        self.assertNotIn(following, (None, 0, version))

    def test_change_nothing(self) -> None:
        """A change of a session that is not there says so, and makes none."""
        a = digest_named("a")
        self.assertIsNone(self.wait_for(self.store.change(a, {"k": "v"}, 0, 1.0, 1)))
        self.assertIsNone(self.kept("a"))

    def test_touch(self) -> None:
        """The next answer after a touch knows of it; requests add up, and time goes forward only."""
        self.keep(session("a"))
        self.store.touch(digest_named("a"), 1500.0, 3)
        self.store.touch(digest_named("a"), 1400.0, 2)
        touched = self.wait_for(self.store.head(digest_named("a")))
        assert touched is not None
        self.assertEqual((touched.used, touched.requests, touched.version), (1500.0, 5, 0))
        self.assertIsNotNone(self.wait_for(self.store.change(digest_named("a"), {}, 0, 1450.0, 1)))
        touched = self.kept("a")
        assert touched is not None
        self.assertEqual((touched.used, touched.requests), (1500.0, 6))

    def test_touch_nothing(self) -> None:
        """Touching a session that is not there makes none."""
        self.store.touch(digest_named("a"), 1500.0, 3)
        self.assertIsNone(self.kept("a"))
        self.assertEqual(self.wait_for(self.store.totals()), SessionTotals())

    def test_delete(self) -> None:
        """Deleting says whether there was one, and takes its data with it."""
        self.keep(session("a", colour="blue"))
        self.assertIs(self.wait_for(self.store.delete(digest_named("a"))), True)
        self.assertIs(self.wait_for(self.store.delete(digest_named("a"))), False)
        self.keep(session("a"))
        self.assertEqual(self.kept("a"), session("a"))

    def test_expire(self) -> None:
        """What was last used before that moment goes; what was used at it, or touched since, stays."""
        for name, used in (("old", 999.9), ("edge", 1000.0), ("new", 1001.0), ("touched", 1.0)):
            self.keep(session(name, used=used, key="value"))
        self.store.touch(digest_named("touched"), 1002.0, 1)
        self.assertEqual(self.wait_for(self.store.expire(1000.0)), 1)
        self.assertIsNone(self.kept("old"))
        for name in ("edge", "new", "touched"):
            self.assertIsNotNone(self.kept(name))
        self.keep(session("old"))
        self.assertEqual(self.kept("old"), session("old"))

    def test_expire_by_age(self) -> None:
        """What was opened before the other moment goes, however much it is used."""
        for name, created in (("old", 999.9), ("edge", 1000.0)):
            self.keep(session(name, used=created, key="value"))
            self.store.touch(digest_named(name), 5000.0, 1)
        self.assertEqual(self.wait_for(self.store.expire(3000.0, 1000.0)), 1)
        self.assertIsNone(self.kept("old"))
        self.assertIsNotNone(self.kept("edge"))

    def test_expire_many(self) -> None:
        """However many there are, all of them go."""
        for number in range(PLENTY):
            self.keep(session(str(number), used=float(number), key="value"))
        self.assertEqual(self.wait_for(self.store.expire(PLENTY - 1.0)), PLENTY - 1)
        self.assertEqual(self.wait_for(self.store.totals(5)).top, {"alice": 1})

    def test_totals(self) -> None:
        """Sessions, users and requests are counted; it is told which are oldest and idlest."""
        self.assertEqual(self.wait_for(self.store.totals()), SessionTotals())
        self.keep(session("a", used=1000.0), session("b", "bob", 1100.5), session("c", "~ü", 1200.0))
        self.keep(session("d", used=1300.0))
        self.store.touch(digest_named("a"), 1400.0, 3)
        self.store.touch(digest_named("c"), 1500.0, 4)
        self.assertEqual(
            self.wait_for(self.store.totals(9)),
            SessionTotals(4, 3, {"alice": 2, "bob": 1, "~ü": 1}, 7, 1000.0, 1100.5),
        )
        for name in "ab":
            self.wait_for(self.store.delete(digest_named(name)))
        self.assertEqual(
            self.wait_for(self.store.totals(9)), SessionTotals(2, 2, {"alice": 1, "~ü": 1}, 4, 1200.0, 1300.0)
        )

    def test_totals_of_users(self) -> None:
        """Of the users as many are told of as was asked for: those who have most, in that order."""
        for user, number in (("ann", 1), ("ben", 3), ("cid", 2), ("dan", 4)):
            self.keep(*(session(f"{user}{n}", user) for n in range(number)))
        self.assertEqual(
            [*self.wait_for(self.store.totals(3)).top.items()], [("dan", 4), ("ben", 3), ("cid", 2)]
        )
        self.wait_for(self.store.delete(digest_named("ann0")))
        self.wait_for(self.store.delete(digest_named("ben1")))
        self.wait_for(self.store.delete(digest_named("ben2")))
        counted = self.wait_for(self.store.totals(9))
        self.assertEqual([*counted.top.items()], [("dan", 4), ("cid", 2), ("ben", 1)])
        self.assertEqual((counted.users, self.wait_for(self.store.totals()).top), (3, {}))

    def test_closed(self) -> None:
        """A closed store refuses all work, takes a touch without a word, and may be closed again."""
        self.wait_for(self.store.close())
        a = digest_named("a")
        for asked in (
            self.store.create(session("a"), PLENTY),
            self.store.head(a),
            self.store.get(a),
            self.store.change(a, {}, 0, 1.0, 1),
            self.store.delete(a),
            self.store.expire(1.0),
            self.store.totals(),
        ):
            self.assertRaises(Closed, self.wait_for, asked)
        self.store.touch(a, 1.0, 1)
        self.wait_for(self.store.close())
