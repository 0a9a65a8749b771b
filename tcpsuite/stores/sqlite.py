"""Sessions in an SQLite file: they survive the process.

Every statement runs in one thread of the store's own, in transactions: what is asked while one runs goes
into the next, so a slow disk makes transactions larger, and the reactor never waits.

The log is written ahead (WAL) and synced at each commit that changed something (``synchronous = FULL``):
what was answered is on the disk, and outlives the process and a loss of power.  ``NORMAL`` would outlive the
process too, but lose the last seconds with the power; and since changes that wait share one sync, the
difference is paid once a transaction.  When a session was last used is only noted, and stored with the next
change or sweep: after a crash a session may expire up to a sweep's interval sooner.

The file is the process's own from ``open`` to ``close``: sessions in use are answered from memory, so two
processes on one file would contradict each other.  When it vanishes meanwhile, every answer is a failure
until it is back: what is written to a file without a name is lost.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from tcpsuite.core.sessions import Session
from tcpsuite.errors import Closed, StartError, StoreFailed
from tcpsuite.interfaces import ISessionStore
from tcpsuite.stores.claim import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.python.failure import Failure

    Job = Callable[[sqlite3.Connection], Any]
    Thread = Callable[[Callable[[], Any]], "Deferred[Any]"]

T = TypeVar("T")

APPLICATION_ID = 0x74637073
"""Marks the file as ours: "tcps"."""
SCHEMA_VERSION = 1
LOCK_TIMEOUT = 5.0
"""Seconds to wait for another process that holds the file, a backup for instance."""

_SCHEMA = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    """
    CREATE TABLE session (
        digest   BLOB PRIMARY KEY,
        user     TEXT NOT NULL,
        created  REAL NOT NULL,
        used     REAL NOT NULL,
        requests INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX session_used ON session (used)",
    """
    CREATE TABLE datum (
        digest BLOB NOT NULL REFERENCES session ON DELETE CASCADE,
        key    TEXT NOT NULL,
        value  TEXT NOT NULL,
        PRIMARY KEY (digest, key)
    )
    """,
)


@implementer(ISessionStore)
class SQLiteStore:
    """Sessions in one file.

    :param path: the file; it is made, with mode 0600, when it does not exist.  Its folder must exist.
    :param thread: runs a function in a thread, always the same one, and gives a Deferred of its result.
    :param stop: ends that thread; called once, when nothing is left to do in it.
    """

    log = Logger()

    def __init__(self, path: str, thread: Thread, stop: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._thread = thread
        self._stop = stop
        self._claim: Claim | None = None
        self._connection: sqlite3.Connection | None = None  # the thread's own
        self._waiting: list[tuple[Job, Deferred[Any]]] = []
        self._touched: dict[bytes, tuple[float, int]] = {}
        self._fault = ""
        self._running = False
        self._closed: Deferred[None] | None = None

    @classmethod
    def on(cls, reactor: Any, path: str) -> SQLiteStore:
        """A store with a thread of its own, which starts with the first thing to do."""
        pool = ThreadPool(1, 1, "sessions")

        def run(function: Callable[[], T]) -> Deferred[T]:
            if not pool.started:
                pool.start()
            return deferToThreadPool(reactor, pool, function)

        def stop() -> None:
            if pool.started:
                pool.stop()

        return cls(path, run, stop)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "idle"
        return f"<SQLiteStore {self.path} {state} waiting={len(self._waiting)}>"

    def open(self) -> None:
        """Make the file if it is not there, and make sure that it is what it should be.

        The database is closed again: a connection must not change threads.

        :raises StartError: when it cannot be used, or another process uses it.
        """
        try:
            claim = Claim(self.path)
            try:
                with closing(_open(self.path)) as connection:
                    _prepare(connection)
                # Only now: whatever else the path might have named keeps its mode.
                claim.make_private()
            except BaseException:
                claim.release()
                raise
        except OSError as error:
            raise StartError(f"{self.path}: {error.strerror}") from None
        except (sqlite3.Error, StartError) as error:
            raise StartError(f"{self.path}: {error}") from None
        self._claim = claim

    def create(self, session: Session, limit: int) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        row = (session.digest, session.user, session.created, session.used, session.requests, limit)
        data = [(session.digest, key, value) for key, value in session.data.items()]
        return self._submit(partial(_create, row=row, data=data))

    def get(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(partial(_get, digest=digest))

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], used: float, requests: int
    ) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(
            partial(_change, digest=digest, changes=dict(changes), used=used, requests=requests)
        )

    def touch(self, digest: bytes, used: float, requests: int) -> None:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if self._closed is None:
            self._touched[digest] = (used, requests)

    def delete(self, digest: bytes) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(partial(_delete, digest=digest))

    def expire(self, before: float) -> Deferred[int]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(partial(_expire, before=before))

    def count(self) -> Deferred[dict[str, int]]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(_count)

    def close(self) -> Deferred[None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if self._closed is None:
            self._closed = Deferred()
            if not self._running:
                self._next()
        waiter: Deferred[None] = Deferred()
        self._closed.addCallback(lambda _: waiter.callback(None))
        return waiter

    def _submit(self, job: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        if self._closed is not None:
            return fail(Closed("the session store is closed"))
        done: Deferred[T] = Deferred()
        self._waiting.append((job, done))
        if not self._running:
            self._next()
        return done

    def _next(self) -> None:
        """Give all that waits to the thread, in one transaction; when all is done and we close, end it."""
        if self._waiting or (self._touched and self._closed is not None):
            self._running = True
            batch, self._waiting = self._waiting, []
            touched, self._touched = self._touched, {}
            waiters = [done for _, done in batch]
            work = partial(self._transact, [job for job, _ in batch], touched)
            self._thread(work).addCallbacks(
                self._stored, self._failed, callbackArgs=(waiters,), errbackArgs=(waiters, touched)
            )
            return
        self._running = False
        if self._closed is None:
            return
        if self._connection is None:
            # Perhaps nothing was ever asked, and the reactor never ran: a thread would be waited for in vain.
            self._finish(None)
        else:
            self._thread(self._disconnect).addBoth(self._finish)

    def _stored(self, results: Sequence[Any], waiters: Sequence[Deferred[Any]]) -> None:
        if self._fault:
            self._fault = ""
            self.log.info("{path}: it works again", path=self.path)
        for done, result in zip(waiters, results, strict=True):
            done.callback(result)
        self._next()

    def _failed(
        self, failure: Failure, waiters: Sequence[Deferred[Any]], touched: dict[bytes, tuple[float, int]]
    ) -> None:
        fault = failure.getErrorMessage()
        if fault != self._fault:
            # Said once: a crowd asks a thousand times a second.
            self._fault = fault
            self.log.error("{path}: {error}", path=self.path, error=fault)
        if self._closed is None:
            self._touched = {**touched, **self._touched}
        for done in waiters:
            done.errback(failure)
        self._next()

    def _finish(self, _result: object) -> None:
        self._stop()
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        assert self._closed is not None
        self._closed.callback(None)

    # What follows runs in the thread.

    def _transact(self, jobs: Sequence[Job], touched: Mapping[bytes, tuple[float, int]]) -> list[Any]:
        assert self._claim is not None, "open comes first"
        try:
            self._claim.check()
            if self._connection is None:
                self._connection = _connect(self.path)
            with self._connection as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "UPDATE session SET used = ?, requests = ? WHERE digest = ?",
                    [(used, requests, digest) for digest, (used, requests) in touched.items()],
                )
                return [job(connection) for job in jobs]
        except (sqlite3.Error, StoreFailed) as error:
            # Begin afresh the next time: whatever state the connection was left in goes with it.
            self._disconnect()
            raise StoreFailed(f"the session store failed: {error}") from None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _open(path: str) -> sqlite3.Connection:
    """A connection to a file that exists; SQLite would make an empty one, as private as the umask is."""
    uri = f"{Path(path).absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT, isolation_level=None)


def _connect(path: str) -> sqlite3.Connection:
    connection = _open(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file; refuse one that is not ours, without changing it."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (things,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not (application or version or things):
            for statement in _SCHEMA:
                connection.execute(statement)
        elif application != APPLICATION_ID:
            raise StartError("this is a database of another program")
        elif version != SCHEMA_VERSION:
            raise StartError(f"its schema has version {version}; this tcpsuite knows {SCHEMA_VERSION}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StartError("its file system cannot share memory, which SQLite's WAL needs: is it a network's?")


def _create(
    connection: sqlite3.Connection, *, row: tuple[Any, ...], data: Sequence[tuple[bytes, str, str]]
) -> bool:
    done = connection.execute(
        "INSERT INTO session SELECT ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM session) < ?", row
    )
    if done.rowcount:
        connection.executemany("INSERT INTO datum VALUES (?, ?, ?)", data)
    return bool(done.rowcount)


def _get(connection: sqlite3.Connection, *, digest: bytes) -> Session | None:
    row = connection.execute(
        "SELECT digest, user, created, used, requests FROM session WHERE digest = ?", (digest,)
    ).fetchone()
    if row is None:
        return None
    session = Session(*row)
    session.data = dict(connection.execute("SELECT key, value FROM datum WHERE digest = ?", (digest,)))
    return session


def _change(
    connection: sqlite3.Connection,
    *,
    digest: bytes,
    changes: Mapping[str, str | None],
    used: float,
    requests: int,
) -> bool:
    done = connection.execute(
        "UPDATE session SET used = ?, requests = ? WHERE digest = ?", (used, requests, digest)
    )
    if not done.rowcount:
        return False
    for key, value in changes.items():
        if value is None:
            connection.execute("DELETE FROM datum WHERE digest = ? AND key = ?", (digest, key))
        else:
            connection.execute("INSERT OR REPLACE INTO datum VALUES (?, ?, ?)", (digest, key, value))
    return True


def _delete(connection: sqlite3.Connection, *, digest: bytes) -> bool:
    return bool(connection.execute("DELETE FROM session WHERE digest = ?", (digest,)).rowcount)


def _expire(connection: sqlite3.Connection, *, before: float) -> int:
    return connection.execute("DELETE FROM session WHERE used < ?", (before,)).rowcount


def _count(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT user, count(*) FROM session GROUP BY user"))
