"""Sessions in an SQLite file."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, execute, gatherResults
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.sessions import Kept
from tcpsuite.errors import StartError, StoreFailed
from tcpsuite.stores.sqlite import SQLiteStore
from tcpsuite.testing.stores import SessionStoreContract, digest_named, session
from tests.support.threads import HeldThread

if TYPE_CHECKING:
    pass

T = TypeVar("T")


class SQLiteStoreContractTests(SessionStoreContract, SynchronousTestCase):
    """The contract."""

    def make_store(self) -> SQLiteStore:
        """An open store, whose thread runs when somebody waits: all that waits by then is one transaction."""
        self.thread = HeldThread()
        store = SQLiteStore(self.mktemp(), self.thread, Clock())
        os.makedirs(os.path.dirname(store.path), exist_ok=True)
        store.open()
        self.addCleanup(lambda: self.wait_for(store.close()))
        return store

    def wait_for(self, asked: Deferred[T]) -> T:
        """Let the thread run until it has nothing to do."""
        while self.thread.held:
            self.thread.run()
        return super().wait_for(asked)


class OpenTests(SynchronousTestCase):
    """What is found before the reactor runs."""

    def setUp(self) -> None:
        """A folder for the file."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.path = self.folder / "sessions.db"

    def open(self) -> SQLiteStore:
        """A store that is open."""
        store = SQLiteStore(str(self.path), execute, Clock())
        store.open()
        self.addCleanup(store.close)
        return store

    def fault(self) -> str:
        """What is wrong with the file."""
        error = self.assertRaises(StartError, SQLiteStore(str(self.path), execute, Clock()).open)
        return str(error)

    def mode(self) -> int:
        """The file's permissions."""
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_new_file_is_private(self) -> None:
        """A new file is its owner's alone, whatever the umask is."""
        self.addCleanup(os.umask, os.umask(0))
        self.open()
        self.assertEqual(self.mode(), 0o600)

    def test_old_file_becomes_private(self) -> None:
        """A file of ours that others could read is closed to them."""
        self.open().close()
        self.path.chmod(0o644)
        self.open()
        self.assertEqual(self.mode(), 0o600)

    def test_beside_the_file(self) -> None:
        """The log and the index that SQLite keeps beside the file are as private as it."""
        self.addCleanup(os.umask, os.umask(0))
        self.successResultOf(self.open().create(session("a"), 10))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        self.assertEqual(modes, {"sessions.db": 0o600, "sessions.db-wal": 0o600, "sessions.db-shm": 0o600})

    def test_no_folder(self) -> None:
        """A folder that does not exist is not made."""
        self.path = self.folder / "absent" / "sessions.db"
        self.assertEqual(self.fault(), f"{self.path}: No such file or directory")

    def test_a_folder(self) -> None:
        """A folder is no file."""
        self.path = self.folder
        self.assertEqual(self.fault(), f"{self.path}: Is a directory")

    def test_no_database(self) -> None:
        """A file that is no database is left as it is, its mode too."""
        text = b"# users\n" * 200
        self.path.write_bytes(text)
        self.path.chmod(0o644)
        self.assertEqual(self.fault(), f"{self.path}: file is not a database")
        self.assertEqual((self.path.read_bytes(), self.mode()), (text, 0o644))

    def test_another_database(self) -> None:
        """The database of another program is left as it is."""
        connection = sqlite3.connect(self.path)
        connection.execute("CREATE TABLE photo (name)")
        connection.close()
        before = self.path.read_bytes()
        self.assertEqual(self.fault(), f"{self.path}: this is a database of another program")
        self.assertEqual(self.path.read_bytes(), before)

    def test_another_version(self) -> None:
        """A schema of another version is not guessed at."""
        self.open().close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 7")
        connection.close()
        self.assertEqual(self.fault(), f"{self.path}: its schema has version 7; this tcpsuite knows 2")

    def test_no_write_ahead_log(self) -> None:
        """Where SQLite cannot write ahead, nothing is started."""
        connect = sqlite3.connect
        # This kind of SQLite's file systems never can, wherever the tests run.
        self.patch(sqlite3, "connect", lambda name, **options: connect(f"{name}&vfs=unix-dotfile", **options))
        self.assertIn("which SQLite's WAL needs", self.fault())

    def test_any_name(self) -> None:
        """The file may be called what it likes: nothing in its name is read as an option."""
        self.path = self.folder / "50% of?mode=memory#1 ü.db"
        self.open()
        self.assertEqual([path.name for path in self.folder.iterdir()], [self.path.name])

    def test_one_store_a_file(self) -> None:
        """A file that is in use is nobody else's, until it is closed; a start that failed holds nothing."""
        first = self.open()
        self.assertEqual(self.fault(), f"{self.path}: in use by another process")
        link = self.folder / "link"
        os.link(self.path, link)
        self.assertRaises(StartError, SQLiteStore(str(link), execute, Clock()).open)
        self.successResultOf(first.close())
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 7")
        self.assertIn("version 7", self.fault())
        connection.execute("PRAGMA user_version = 2")
        connection.close()
        self.open()


class TransactionTests(SynchronousTestCase):
    """What goes to the thread, and when."""

    def setUp(self) -> None:
        """A store whose thread is held."""
        self.path = self.mktemp()
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.thread = HeldThread()
        self.clock = Clock()
        self.stopped: list[bool] = []
        self.store = SQLiteStore(self.path, self.thread, self.clock, lambda: self.stopped.append(True))
        self.store.open()

    def close(self) -> None:
        """Close the store, running what it asks for."""
        closed = self.store.close()
        while self.thread.held:
            self.thread.run()
        self.successResultOf(closed)

    def test_waiting_changes_share_a_transaction(self) -> None:
        """While one transaction runs, all that is asked gathers for the next; each is answered after it."""
        first = self.store.create(session("a"), 10)
        rest: list[Deferred[Any]] = [self.store.create(session(name), 10) for name in "bcd"]
        rest.append(self.store.delete(digest_named("a")))
        self.assertEqual(repr(self.store), f"<SQLiteStore {self.path} running waiting=4>")
        self.thread.run()
        self.assertIs(self.successResultOf(first), Kept.YES)
        for waiting in rest:
            self.assertNoResult(waiting)
        self.thread.run()
        for waiting in rest:
            self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(repr(self.store), f"<SQLiteStore {self.path} idle waiting=0>")
        self.close()

    def test_touches_cost_no_transaction(self) -> None:
        """A touch waits for something else to be stored."""
        self.store.touch(digest_named("a"), 1.0, 1)
        self.assertEqual(self.thread.held, [])
        self.close()

    def test_reading_writes_nothing(self) -> None:
        """Who reads is told of a touch that is not stored yet; that is stored with the next change."""
        created = self.store.create(session("a"), 10)
        self.thread.run()
        self.successResultOf(created)
        before = Path(self.path + "-wal").stat().st_size
        self.store.touch(digest_named("a"), 1500.0, 2)
        for ask in (self.store.head, self.store.get):
            asked = ask(digest_named("a"))
            self.thread.run()
            told = self.successResultOf(asked)
            assert told is not None
            self.assertEqual((told.used, told.requests), (1500.0, 2))
        self.assertEqual(Path(self.path + "-wal").stat().st_size, before)
        changed = self.store.change(digest_named("a"), {}, 0, 1000.0, 1)
        self.thread.run()
        self.assertEqual(self.successResultOf(changed), 1)
        asked = self.store.get(digest_named("a"))
        self.thread.run()
        told = self.successResultOf(asked)
        assert told is not None
        self.assertEqual((told.used, told.requests), (1500.0, 3))
        self.close()

    def test_close_stores_what_waits(self) -> None:
        """Closing stores the waiting changes and touches first, then ends the thread, once."""
        created = self.store.create(session("a"), 10)
        changed = self.store.change(digest_named("a"), {"colour": "blue"}, 0, 1001.0, 1)
        closed = self.store.close()
        self.thread.run()
        self.thread.run()
        self.assertIs(self.successResultOf(created), Kept.YES)
        self.assertTrue(self.successResultOf(changed))
        self.assertNoResult(closed)
        self.assertEqual(self.stopped, [])
        self.thread.run()
        self.successResultOf(closed)
        self.successResultOf(self.store.close())
        self.assertEqual(self.stopped, [True])
        self.assertEqual(repr(self.store), f"<SQLiteStore {self.path} closed waiting=0>")

    def test_close_stores_touches(self) -> None:
        """A touch that nothing followed is stored by the close."""
        created = self.store.create(session("a"), 10)
        self.thread.run()
        self.successResultOf(created)
        self.store.touch(digest_named("a"), 1234.0, 5)
        self.close()
        again = SQLiteStore(self.path, execute, Clock())
        again.open()
        self.addCleanup(again.close)
        kept = self.successResultOf(again.get(digest_named("a")))
        assert kept is not None
        self.assertEqual((kept.used, kept.requests), (1234.0, 5))

    def test_cancelled_change_is_stored(self) -> None:
        """Who gives up waiting does not undo what it asked, and does not disturb the others."""
        created = self.store.create(session("a"), 10)
        created.cancel()
        self.failureResultOf(created, CancelledError)
        self.thread.run()
        got = self.store.get(digest_named("a"))
        self.thread.run()
        self.assertEqual(self.successResultOf(got), session("a"))
        self.close()

    def test_failure_is_told_to_all(self) -> None:
        """A transaction that fails fails for each of its changes; none is kept, and touches are not lost."""
        created = self.store.create(session("a"), 10)
        self.thread.run()
        self.successResultOf(created)
        first = self.store.get(digest_named("a"))
        self.store.touch(digest_named("a"), 1500.0, 2)
        good = self.store.create(session("b"), 10)
        bad = self.store.create(session("c", None), 10)  # type: ignore[arg-type]
        self.thread.run()
        self.successResultOf(first)
        self.thread.run()
        for failed in (good, bad):
            error = self.failureResultOf(failed, StoreFailed).value
            self.assertIn("NOT NULL constraint failed", str(error))
        after = [self.store.get(digest_named(name)) for name in "ab"]
        self.thread.run()
        self.thread.run()
        a, b = (self.successResultOf(got) for got in after)
        assert a is not None
        self.assertEqual((a.used, a.requests), (1500.0, 2))
        self.assertIsNone(b)
        self.close()

    def ask(self) -> Deferred[Any]:
        """Ask for a session, and let the thread answer."""
        asked = self.store.get(digest_named("a"))
        self.thread.run()
        return asked

    def assert_fails(self, *answers: Deferred[Any]) -> None:
        """What was asked failed because the file is not there."""
        for answer in answers:
            self.assertIn("its file is gone", str(self.failureResultOf(answer, StoreFailed).value))

    def test_file_removed(self) -> None:
        """A store whose file is gone says so to everyone, makes no other one, and logs it once."""
        created = self.store.create(session("a"), 10)
        self.thread.run()
        self.successResultOf(created)
        moved = self.path + ".moved"
        os.rename(self.path, moved)
        with capturedLogs() as events:
            self.assert_fails(self.ask(), self.ask(), self.ask())
            self.assertFalse(os.path.exists(self.path))
            # Another file in its place is not it.
            Path(self.path).touch()
            self.assert_fails(self.ask())
            self.assertEqual(os.stat(self.path).st_size, 0)
            # It comes back, with all that was stored.
            os.rename(moved, self.path)
            self.assertEqual(self.successResultOf(self.ask()), session("a"))
            changed = self.store.change(digest_named("a"), {}, 0, 1000.0, 1)
            self.thread.run()
            self.assertIsNotNone(self.successResultOf(changed))
        levels = [event["log_level"].name for event in events]
        self.assertEqual(levels, ["error", "error", "info"])
        self.close()

    def test_failure_at_the_close(self) -> None:
        """A touch that cannot be stored does not keep the store from closing."""
        self.store.touch(digest_named("a"), 1.0, 1)
        os.unlink(self.path)
        os.mkdir(self.path)
        self.close()
        self.assertEqual(self.stopped, [True])


@pytest_twisted.inlineCallbacks
def test_survives_the_process(tmp_path: Path):
    """What was answered is there for the next process, though the first one never closed its file."""
    path = str(tmp_path / "sessions.db")
    first = SQLiteStore.on(reactor, path)
    first.open()
    yield first.create(session("a", colour="blue"), 10)
    yield first.change(digest_named("a"), {"size": "9"}, 0, 1010.0, 1)
    # What a killed process leaves is what lies on the disk now.
    for name in os.listdir(tmp_path):
        (tmp_path / f"after-{name}").write_bytes((tmp_path / name).read_bytes())
    (tmp_path / "after-sessions.db-shm").unlink()
    second = SQLiteStore.on(reactor, str(tmp_path / "after-sessions.db"))
    second.open()
    kept = yield second.get(digest_named("a"))
    assert (kept.data, kept.used, kept.requests) == ({"colour": "blue", "size": "9"}, 1010.0, 1)
    yield gatherResults([first.close(), second.close()])


def test_one_process_a_file(tmp_path: Path):
    """A second process is refused while the first has the file, and not when that was killed."""
    path = str(tmp_path / "sessions.db")
    script = (
        "import sys; from twisted.internet.task import Clock; from tcpsuite.stores.sqlite import SQLiteStore;"
        "SQLiteStore(sys.argv[1], None, Clock()).open();"
        "print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(StartError, match=r"sessions\.db: in use by another process"):
            SQLiteStore(path, execute, Clock()).open()
        process.kill()
    store = SQLiteStore(path, execute, Clock())
    store.open()
    store.close()


@pytest_twisted.inlineCallbacks
def test_many_at_once(tmp_path: Path):
    """A thousand sessions opened at once are all kept, counted and swept; others are answered meanwhile."""
    store = SQLiteStore.on(reactor, str(tmp_path / "sessions.db"))
    store.open()
    created = yield gatherResults([store.create(session(str(n), used=n), 1500) for n in range(1000)])
    assert set(created) == {Kept.YES}
    sweep = store.expire(700.0)
    assert (yield store.head(digest_named("699"))) is not None
    assert (yield sweep) == 700
    assert (yield store.totals(2)).top == {"alice": 300}
    yield store.close()


@pytest_twisted.inlineCallbacks
def test_never_used(tmp_path: Path):
    """A store that was never asked anything closes, and leaves no thread."""
    store = SQLiteStore.on(reactor, str(tmp_path / "sessions.db"))
    store.open()
    yield store.close()
