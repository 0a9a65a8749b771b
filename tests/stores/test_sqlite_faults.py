"""What an SQLite file may be like, and what may happen to it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.sessions import Kept, SessionTotals
from tcpsuite.errors import StartError, StoreFailed
from tcpsuite.stores import session_file, sqlite
from tcpsuite.stores.sqlite import SQLiteStore
from tcpsuite.testing.stores import digest_named, session

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
VERSION_1 = """
    CREATE TABLE session (
        digest BLOB PRIMARY KEY, user TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
        requests INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX session_used ON session (used);
    CREATE TABLE datum (
        digest BLOB NOT NULL REFERENCES session ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (digest, key)
    );
    PRAGMA application_id = 1952673907;
    PRAGMA user_version = 1;
"""
"""The tables as the first version of them was."""


@contextmanager
def unprivileged() -> Iterator[None]:
    """Nobody special: root may write what it may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class ManyTouchesTests(SynchronousTestCase):
    """More touches than one transaction stores."""

    def test_all_are_stored(self) -> None:
        """Whoever looks at all sessions finds each as it was last used, and so does the next process."""
        self.patch(sqlite, "TOUCHED_AT_ONCE", 2)
        path = self.mktemp()
        os.makedirs(os.path.dirname(path), exist_ok=True)

        def opened() -> SQLiteStore:
            store = SQLiteStore(path, execute, Clock())
            store.open()
            self.addCleanup(store.close)
            return store

        store = opened()
        for name in "abcde":
            self.successResultOf(store.create(session(name), 10))
            store.touch(digest_named(name), 2000.0, 1)
        self.assertEqual(self.successResultOf(store.expire(2000.0)), 0)
        self.assertEqual(self.successResultOf(store.totals()), SessionTotals(5, 1, {}, 5, 1000.0, 2000.0))
        for name in "abcde":
            store.touch(digest_named(name), 3000.0, 1)
        self.assertEqual(self.successResultOf(store.totals()).idlest, 3000.0)
        for name in "abcde":
            store.touch(digest_named(name), 4000.0, 1)
        self.successResultOf(store.close())
        self.assertEqual(self.successResultOf(opened().totals()), SessionTotals(5, 1, {}, 15, 1000.0, 4000.0))


class FileTests(SynchronousTestCase):
    """Files that are there already."""

    def setUp(self) -> None:
        """A name for the file, in a folder that anybody may write."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        self.path = folder / "sessions.db"

    def open(self) -> SQLiteStore:
        """An open store."""
        store = SQLiteStore(str(self.path), execute, Clock())
        store.open()
        self.addCleanup(store.close)
        return store

    def test_of_an_older_version(self) -> None:
        """The file of an older tcpsuite is taken over, with all that it holds."""
        with closing(sqlite3.connect(self.path)) as old, old:
            old.executescript(VERSION_1)
            old.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?)", (digest_named("a"), "alice", 1000.0, 1000.0, 7)
            )
            old.execute("INSERT INTO datum VALUES (?, ?, ?)", (digest_named("a"), "colour", "blue"))
        expected = session("a", colour="blue")
        expected.requests = 7
        store = self.open()
        self.assertEqual(self.successResultOf(store.get(digest_named("a"))), expected)
        changed = store.change(digest_named("a"), {"colour": "red"}, 0, 1000.0, 0)
        self.assertEqual(self.successResultOf(changed), 1)
        self.successResultOf(store.close())
        again = self.successResultOf(self.open().get(digest_named("a")))
        assert again is not None
        self.assertEqual((again.data, again.version), ({"colour": "red"}, 1))

    def test_of_a_newer_version(self) -> None:
        """The file of a newer tcpsuite is left as it is."""
        self.open().close()
        with closing(sqlite3.connect(self.path)) as newer:
            newer.execute("PRAGMA user_version = 99")
        before = self.path.read_bytes()
        error = self.assertRaises(StartError, SQLiteStore(str(self.path), execute, Clock()).open)
        self.assertIn("has version 99; this tcpsuite knows", str(error))
        self.assertEqual(self.path.read_bytes(), before)

    def test_read_only(self) -> None:
        """A file that may not be written is no place for sessions."""
        self.open().close()
        self.path.chmod(0o444)
        with unprivileged():
            error = self.assertRaises(StartError, SQLiteStore(str(self.path), execute, Clock()).open)
        self.assertEqual(str(error), f"{self.path}: Permission denied")

    def test_locked_at_the_start(self) -> None:
        """A file that another program holds for long is no place for sessions either."""
        self.patch(session_file, "LOCK_TIMEOUT", 0.01)
        self.open().close()
        with closing(sqlite3.connect(self.path)) as other:
            other.execute("BEGIN IMMEDIATE")
            error = self.assertRaises(StartError, SQLiteStore(str(self.path), execute, Clock()).open)
        self.assertEqual(str(error), f"{self.path}: database is locked")
        self.open()

    def limited(self, statement: str) -> tuple[SQLiteStore, list[str]]:
        """A store whose connections begin with the statements of a list, which holds this one."""
        statements = [statement]
        opened = session_file._open

        def open_limited(path: str, patience: float) -> sqlite3.Connection:
            connection = opened(path, patience)
            for each in statements:
                connection.execute(each)
            return connection

        store = self.open()
        self.patch(session_file, "_open", open_limited)
        return store, statements

    def failing(self, asked: Deferred[Any]) -> str:
        """Why it failed."""
        return str(self.failureResultOf(asked, StoreFailed).value)

    def test_full_disk(self) -> None:
        """While the disk is full nothing is stored, what is there is told; later all is as before."""
        store, statements = self.limited("PRAGMA max_page_count = 12")
        self.assertIs(self.successResultOf(store.create(session("a"), 10)), Kept.YES)
        large = {"key": "x" * 100_000}
        change = store.change(digest_named("a"), large, 0, 1.0, 1)
        self.assertEqual(self.failing(change), "the session store failed: database or disk is full")
        self.assertEqual(self.successResultOf(store.get(digest_named("a"))), session("a"))
        self.failing(store.create(session("b", key=large["key"]), 10))
        self.assertEqual(self.successResultOf(store.totals()).sessions, 1)
        statements.clear()
        self.failing(store.create(session("b", key=large["key"]), 10))  # and the connection goes with it
        self.assertIs(self.successResultOf(store.create(session("b", key=large["key"]), 2)), Kept.YES)
        self.assertEqual(self.successResultOf(store.totals()), SessionTotals(2, 1, {}, 0, 1000.0, 1000.0))

    def test_becomes_read_only(self) -> None:
        """While the file system is read-only what is there is told; later all is as before."""
        store, statements = self.limited("PRAGMA query_only = ON")
        self.assertIn("readonly database", self.failing(store.create(session("a"), 10)))
        self.assertIsNone(self.successResultOf(store.get(digest_named("a"))))
        statements.clear()
        self.assertIn("readonly database", self.failing(store.create(session("a"), 10)))
        self.assertIs(self.successResultOf(store.create(session("a"), 1)), Kept.YES)

    def test_own_fault(self) -> None:
        """A fault of ours is told as what it is; it leaves no transaction, and no wrong count, behind."""
        store = self.open()

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            store.create(session("a"), 10)
            self.patch(session_file.SessionFile, "_put", fail)
            self.failureResultOf(store.create(session("b"), 10), ZeroDivisionError).raiseException()
        self.assertEqual(self.successResultOf(store.totals()).sessions, 1)
