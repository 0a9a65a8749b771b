"""Who waits for what, while another program writes an SQLite file, or nothing can be written."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.sessions import Kept
from tcpsuite.errors import StoreFailed
from tcpsuite.stores import session_file, sqlite
from tcpsuite.stores.sqlite import SQLiteStore
from tcpsuite.testing.stores import digest_named, session
from tests.support.threads import HeldThread

if TYPE_CHECKING:
    from pathlib import Path

WRITING = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


class WaitingCase(SynchronousTestCase):
    """A store with one session, whose thread is held."""

    def setUp(self) -> None:
        """Each statement is prepared anew, so that :attr:`full` counts at once."""
        self.full = False
        self.opened = 0
        self.patch(session_file, "LOCK_TURN", 0.0)
        opened = session_file._open
        connect = sqlite3.connect
        self.patch(sqlite3, "connect", lambda *a, **b: connect(*a, cached_statements=0, **b))

        def limited(path: str, patience: float) -> sqlite3.Connection:
            self.opened += 1
            connection = opened(path, patience)
            connection.set_authorizer(self.allowed)
            return connection

        self.patch(session_file, "_open", limited)
        self.clock = Clock()
        self.thread = HeldThread()
        path = self.mktemp()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.store = SQLiteStore(path, self.thread, self.clock)
        self.store.open()
        self.addCleanup(self.close)
        self.create("a")
        self.run_all()
        self.other = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.addCleanup(self.other.close)

    def allowed(self, action: int, name: str | None, value: str | None, *_: object) -> int:
        """A disk that is full takes nothing, but does not mind a transaction that changes nothing."""
        writes = action in WRITING or (name == "user_version" and value is not None)
        return sqlite3.SQLITE_DENY if self.full and writes else sqlite3.SQLITE_OK

    def create(self, name: str) -> Deferred[Kept]:
        """Ask for a session of that name."""
        return self.store.create(session(name), 10)

    def get(self, name: str) -> Deferred[Any]:
        """Ask what is kept."""
        return self.store.get(digest_named(name))

    def run_all(self) -> None:
        """Run the thread until nothing waits."""
        while self.thread.held:
            self.thread.run()

    def close(self) -> None:
        """Close the store, whoever holds its file."""
        closed = self.store.close()
        self.clock.advance(5.0)
        self.run_all()
        self.successResultOf(closed)

    def failing(self, asked: Deferred[Any]) -> str:
        """Why it failed."""
        return str(self.failureResultOf(asked, StoreFailed).value)


class LockedTests(WaitingCase):
    """Another program writes the file."""

    def setUp(self) -> None:
        """It begins to."""
        super().setUp()
        self.other.execute("BEGIN IMMEDIATE")

    def test_reading(self) -> None:
        """Who only reads is answered, again and again, while what writes is tried, again and again."""
        created = self.create("b")
        for _ in range(3):
            read = self.get("a")
            self.thread.run()
            self.thread.run()
            self.assertEqual(self.successResultOf(read), session("a"))
            self.thread.run()
            self.assertNoResult(created)
        self.other.execute("ROLLBACK")
        self.run_all()
        self.assertIs(self.successResultOf(created), Kept.YES)
        self.assertEqual(self.store.fault, "")

    def test_connection(self) -> None:
        """To try again takes no new connection, which would count all sessions first."""
        before = self.opened
        created = self.create("b")
        self.thread.run()
        self.thread.run()
        self.other.execute("ROLLBACK")
        self.run_all()
        self.successResultOf(created)
        self.assertEqual(self.opened, before)

    def test_time(self) -> None:
        """What writes fails five seconds after it was asked, however long others had waited by then."""
        first = self.create("b")
        self.thread.run()
        self.clock.advance(4.0)
        second = self.create("c")
        self.thread.run()
        self.assertNoResult(first)
        self.clock.advance(1.0)
        self.thread.run()
        self.assertIn("database is locked", self.failing(first))
        self.thread.run()
        self.assertNoResult(second)
        self.clock.advance(4.0)
        self.thread.run()
        self.assertIn("database is locked", self.failing(second))
        self.assertIn("database is locked", self.store.fault)

    def test_order(self) -> None:
        """Of one session what was asked first is done first, also what came while it was tried again."""
        changed = self.store.change(digest_named("a"), {"colour": "blue"}, 0, 1010.0, 1)
        behind, other = self.get("a"), self.get("b")
        self.thread.run()
        deleted, gone = self.store.delete(digest_named("a")), self.get("a")
        self.thread.run()
        self.thread.run()
        self.assertIsNone(self.successResultOf(other))
        for waiting in (changed, behind, deleted, gone):
            self.assertNoResult(waiting)
        self.other.execute("ROLLBACK")
        self.run_all()
        self.assertEqual(self.successResultOf(behind).data, {"colour": "blue"})
        self.assertEqual([self.successResultOf(each) for each in (changed, deleted, gone)], [1, True, None])

    def test_behind_what_failed(self) -> None:
        """When the time of a change is over, who reads behind it is told what is there."""
        changed = self.store.change(digest_named("a"), {"colour": "blue"}, 0, 1010.0, 1)
        behind = self.get("a")
        self.clock.advance(5.0)
        self.thread.run()
        self.failing(changed)
        self.thread.run()
        self.assertEqual(self.successResultOf(behind), session("a"))

    def test_sweep(self) -> None:
        """Nobody who reads waits for a sweep that waits."""
        swept, read = self.store.expire(2000.0), self.get("a")
        self.thread.run()
        self.thread.run()
        self.assertEqual(self.successResultOf(read), session("a"))
        self.other.execute("ROLLBACK")
        self.run_all()
        self.assertEqual(self.successResultOf(swept), 1)

    def test_uses(self) -> None:
        """What is noted of a session is told while it cannot be stored, and stored when it can."""
        self.store.touch(digest_named("a"), 1500.0, 2)
        created, read = self.create("b"), self.get("a")
        self.thread.run()
        self.thread.run()
        self.assertEqual(self.successResultOf(read).requests, 2)
        self.other.execute("ROLLBACK")
        self.run_all()
        self.successResultOf(created)
        (stored,) = self.other.execute("SELECT requests FROM session WHERE user = 'alice' AND used = 1500.0")
        self.assertEqual(stored, (2,))

    def test_close(self) -> None:
        """Closing tries to store what is noted for five seconds, and then no more."""
        self.store.touch(digest_named("a"), 1500.0, 2)
        closed = self.store.close()
        self.thread.run()
        self.thread.run()
        self.assertNoResult(closed)
        with capturedLogs() as events:
            self.clock.advance(5.0)
            self.run_all()
        self.successResultOf(closed)
        self.assertIn("database is locked", events[0]["error"])

    def test_close_in_time(self) -> None:
        """When the file is free before that, it is stored."""
        self.store.touch(digest_named("a"), 1500.0, 2)
        closed = self.store.close()
        self.thread.run()
        self.clock.advance(4.9)
        self.other.execute("ROLLBACK")
        self.run_all()
        self.successResultOf(closed)
        self.assertEqual([*self.other.execute("SELECT requests FROM session")], [(2,)])


class FullTests(WaitingCase):
    """The disk takes nothing."""

    def setUp(self) -> None:
        """From now on."""
        super().setUp()
        self.full = True

    def test_reading(self) -> None:
        """Who reads has the answer, though others at the same time fail to write."""
        read, created, behind = self.get("b"), self.create("b"), self.get("b")
        also = self.get("a")
        self.run_all()
        self.failing(created)
        self.assertEqual([self.successResultOf(each) for each in (read, behind)], [None, None])
        self.assertEqual(self.successResultOf(also), session("a"))

    def test_proof(self) -> None:
        """It works again when something was written: neither to read nor to change nothing proves it."""
        with capturedLogs() as events:
            created = self.create("b")
            self.run_all()
            self.failing(created)
            read = self.get("a")
            self.run_all()
            self.successResultOf(read)
            self.assertIn("not authorized", self.store.fault)
            counted = self.store.totals()
            self.run_all()
            self.failing(counted)
            self.full = False
            counted = self.store.totals()
            self.run_all()
            self.assertEqual((self.successResultOf(counted).sessions, self.store.fault), (1, ""))
        self.assertEqual([event["log_level"].name for event in events], ["error", "info"])

    def test_comes_and_goes(self) -> None:
        """A fault that comes and goes is said once a minute; one that stays after that is said then."""

        def said() -> list[str]:
            with capturedLogs() as events:
                for name in "bcdef":
                    self.full = True
                    failed = self.create(name)
                    self.run_all()
                    self.failing(failed)
                    self.full = False
                    deleted = self.store.delete(digest_named(name))
                    self.run_all()
                    self.successResultOf(deleted)
            return [event["log_level"].name for event in events]

        self.assertEqual(said(), ["error", "info"])
        self.clock.advance(59.0)
        self.assertEqual(said(), [])
        self.full = True
        with capturedLogs() as events:
            for _ in range(4):
                failed = self.create("b")
                self.run_all()
                self.failing(failed)
                self.clock.advance(0.5)
        self.assertEqual([event["log_level"].name for event in events], ["error"])


@pytest_twisted.ensureDeferred
async def test_locked_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the file the reactor turns, who reads is answered, and what writes fails
    when the time is over; what is asked behind that is done.
    """
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT", 0.5)
    store = SQLiteStore.on(reactor, str(tmp_path / "sessions.db"))
    store.open()
    await store.create(session("a"), 10)
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        asked = store.create(session("b"), 10)
        assert await store.get(digest_named("a")) == session("a")
        early, turns = asked.called, 0
        assert not early
        while not asked.called:
            await deferLater(reactor, 0)
            turns += 1
        with pytest.raises(StoreFailed, match="database is locked"):
            await asked
        assert turns > 10
    assert await store.create(session("b"), 10) is Kept.YES
    await store.close()
