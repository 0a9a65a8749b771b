"""What every :class:`~tcpsuite.interfaces.ISessionStore` promises, as tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface.verify import verifyObject

from tcpsuite.core.sessions import Session
from tcpsuite.errors import Closed
from tcpsuite.interfaces import ISessionStore

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase

    Case = SynchronousTestCase
else:
    Case = object

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
    once.
    """

    def make_store(self) -> ISessionStore:
        """A new, empty store that is open already, and closed by a clean-up."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Start each test with an empty store."""
        super().setUp()
        self.store = self.make_store()

    def test_provides_the_interface(self) -> None:
        """It has every method of the interface, with its arguments."""
        verifyObject(ISessionStore, self.store)

    def test_get_what_was_created(self) -> None:
        """A session comes back as it was given."""
        kept = session("a", colour="blue", empty="", odd="\x00 ☃ \r\x85")
        self.assertIs(self.successResultOf(self.store.create(kept, PLENTY)), True)
        self.assertEqual(self.successResultOf(self.store.get(digest_named("a"))), kept)

    def test_get_nothing(self) -> None:
        """There is no session of an unknown digest."""
        self.successResultOf(self.store.create(session("a"), PLENTY))
        self.assertIsNone(self.successResultOf(self.store.get(digest_named("b"))))

    def test_sessions_are_copies(self) -> None:
        """What a caller does with a session it gave or got changes nothing in the store."""
        given = session("a", colour="blue")
        self.successResultOf(self.store.create(given, PLENTY))
        given.data["colour"] = "red"
        got = self.successResultOf(self.store.get(given.digest))
        assert got is not None
        got.data["colour"] = "green"
        self.assertEqual(self.successResultOf(self.store.get(given.digest)), session("a", colour="blue"))

    def test_create_within_the_limit(self) -> None:
        """Past the limit no session is kept, until one has gone."""
        self.assertIs(self.successResultOf(self.store.create(session("a"), 2)), True)
        self.assertIs(self.successResultOf(self.store.create(session("b"), 2)), True)
        self.assertIs(self.successResultOf(self.store.create(session("c", key="value"), 2)), False)
        self.assertIsNone(self.successResultOf(self.store.get(digest_named("c"))))
        self.successResultOf(self.store.delete(digest_named("a")))
        self.assertIs(self.successResultOf(self.store.create(session("c"), 2)), True)

    def test_change(self) -> None:
        """A change sets and removes the keys that it names, and no others."""
        self.successResultOf(self.store.create(session("a", kept="1", changed="2", removed="3"), PLENTY))
        self.successResultOf(self.store.create(session("b", changed="2"), PLENTY))
        changes = {"changed": "20", "removed": None, "new": "4", "absent": None}
        self.assertIs(self.successResultOf(self.store.change(digest_named("a"), changes, 1010.0, 7)), True)
        expected = session("a", kept="1", changed="20", new="4")
        expected.used, expected.requests = 1010.0, 7
        self.assertEqual(self.successResultOf(self.store.get(digest_named("a"))), expected)
        self.assertEqual(self.successResultOf(self.store.get(digest_named("b"))), session("b", changed="2"))

    def test_change_nothing(self) -> None:
        """A change of a session that is not there says so, and makes none."""
        self.assertIs(self.successResultOf(self.store.change(digest_named("a"), {"k": "v"}, 1.0, 1)), False)
        self.assertIsNone(self.successResultOf(self.store.get(digest_named("a"))))

    def test_touch(self) -> None:
        """The next answer after a touch knows of it."""
        self.successResultOf(self.store.create(session("a"), PLENTY))
        self.store.touch(digest_named("a"), 1500.0, 3)
        touched = self.successResultOf(self.store.get(digest_named("a")))
        assert touched is not None
        self.assertEqual((touched.used, touched.requests), (1500.0, 3))

    def test_touch_nothing(self) -> None:
        """Touching a session that is not there makes none."""
        self.store.touch(digest_named("a"), 1500.0, 3)
        self.assertIsNone(self.successResultOf(self.store.get(digest_named("a"))))

    def test_delete(self) -> None:
        """Deleting says whether there was one, and takes its data with it."""
        self.successResultOf(self.store.create(session("a", colour="blue"), PLENTY))
        self.assertIs(self.successResultOf(self.store.delete(digest_named("a"))), True)
        self.assertIs(self.successResultOf(self.store.delete(digest_named("a"))), False)
        self.successResultOf(self.store.create(session("a"), PLENTY))
        self.assertEqual(self.successResultOf(self.store.get(digest_named("a"))), session("a"))

    def test_expire(self) -> None:
        """What was last used before that moment goes; what was used at it, or touched since, stays."""
        for name, used in (("old", 999.9), ("edge", 1000.0), ("new", 1001.0), ("touched", 1.0)):
            self.successResultOf(self.store.create(session(name, used=used, key="value"), PLENTY))
        self.store.touch(digest_named("touched"), 1002.0, 1)
        self.assertEqual(self.successResultOf(self.store.expire(1000.0)), 1)
        self.assertIsNone(self.successResultOf(self.store.get(digest_named("old"))))
        for name in ("edge", "new", "touched"):
            self.assertIsNotNone(self.successResultOf(self.store.get(digest_named(name))))

    def test_count(self) -> None:
        """Sessions are counted by user."""
        self.assertEqual(self.successResultOf(self.store.count()), {})
        for name, user in (("a", "alice"), ("b", "bob"), ("c", "alice")):
            self.successResultOf(self.store.create(session(name, user), PLENTY))
        self.assertEqual(self.successResultOf(self.store.count()), {"alice": 2, "bob": 1})

    def test_closed(self) -> None:
        """A closed store refuses all work, takes a touch without a word, and may be closed again."""
        self.successResultOf(self.store.close())
        a = digest_named("a")
        for asked in (
            self.store.create(session("a"), PLENTY),
            self.store.get(a),
            self.store.change(a, {}, 1.0, 1),
            self.store.delete(a),
            self.store.expire(1.0),
            self.store.count(),
        ):
            self.failureResultOf(asked, Closed)
        self.store.touch(a, 1.0, 1)
        self.successResultOf(self.store.close())
