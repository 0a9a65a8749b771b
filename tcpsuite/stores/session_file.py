"""The SQLite file of sessions: its tables, and the statements on them.  All of it blocks."""

from __future__ import annotations

import sqlite3
from collections import Counter
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from tcpsuite.core.sessions import Kept, Session, SessionTotals
from tcpsuite.errors import StartError, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

APPLICATION_ID = 0x74637073
"""Marks the file as ours: "tcps"."""
SCHEMA_VERSION = 2
LOCK_TIMEOUT = 5.0
"""Seconds to wait for another process that holds the file, a backup for instance."""
LOCK_TURN = 0.05
"""Seconds of that at a time: then others have their turn, who only want to read."""

_SCHEMA = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    """
    CREATE TABLE session (
        digest   BLOB PRIMARY KEY,
        user     TEXT NOT NULL,
        created  REAL NOT NULL,
        used     REAL NOT NULL,
        requests INTEGER NOT NULL,
        version  INTEGER NOT NULL DEFAULT 0
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
_FROM_1 = (
    "ALTER TABLE session ADD COLUMN version INTEGER NOT NULL DEFAULT 0",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class LockedError(StoreFailed):
    """Another process writes the file.  Nothing was done, and it may be tried again."""


class SessionFile:
    """A connection to the file, for one thread.

    Sessions are counted here, not by a statement that looks at all of them: nobody else writes the file.
    When a transaction fails the counts are worth nothing any more: close it, and open it anew.

    :param path: the file, which :func:`prepare` has found good.
    :raises sqlite3.Error: so does each of its methods, when the file cannot be read or written.
    """

    def __init__(self, path: str) -> None:
        self.connection = _open(path, LOCK_TURN)
        try:
            self._execute = self.connection.execute
            self._execute("PRAGMA journal_mode = WAL")
            self._execute("PRAGMA synchronous = FULL")
            self._execute("PRAGMA foreign_keys = ON")
            self._users: Counter[str] = Counter(
                dict(self._execute("SELECT user, count(*) FROM session GROUP BY user"))
            )
        except BaseException:
            self.connection.close()
            raise
        self._count = self._users.total()

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def prove(self) -> None:
        """Write a page, though it be the same as before: what changes nothing writes nothing, and would
        succeed on a full disk.
        """
        self._execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def create(self, session: Session, limit: int, user_limit: int) -> Kept | None:
        """Keep a new session, within limits; ``None`` when one of its digest is there."""
        if self._count >= limit:
            return Kept.FULL
        if user_limit and self._users[session.user] >= user_limit:
            return Kept.USER_FULL
        done = self._execute(
            "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
            (
                session.digest, session.user, session.created, session.used, session.requests,
                session.version,
            ),
        )  # fmt: skip
        if not done.rowcount:
            return None
        self._put(session.digest, session.data.items())
        self._count += 1
        self._users[session.user] += 1
        return Kept.YES

    def head(self, digest: bytes) -> Session | None:
        """A session without its data."""
        row = self._execute(
            "SELECT user, created, used, requests, version FROM session WHERE digest = ?", (digest,)
        ).fetchone()
        if row is None:
            return None
        user, created, used, requests, version = row
        return Session(digest, user, created, used, requests, version=version)

    def get(self, digest: bytes) -> Session | None:
        """A session."""
        session = self.head(digest)
        if session is not None:
            session.data.update(self._execute("SELECT key, value FROM datum WHERE digest = ?", (digest,)))
        return session

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> int | None:
        """Change the data of a session that is of that version; the next one."""
        done = self._execute(
            "UPDATE session SET used = max(used, ?), requests = requests + ?, version = version + 1 "
            "WHERE digest = ? AND version = ?",
            (used, requests, digest, version),
        )
        if not done.rowcount:
            return None
        self._put(digest, ((key, value) for key, value in changes.items() if value is not None))
        self.connection.executemany(
            "DELETE FROM datum WHERE digest = ? AND key = ?",
            [(digest, key) for key, value in changes.items() if value is None],
        )
        return version + 1

    def touch(self, touched: Mapping[bytes, tuple[float, int]]) -> None:
        """Note when sessions were last used, and how often more."""
        if not touched:
            return
        self.connection.executemany(
            "UPDATE session SET used = max(used, ?), requests = requests + ? WHERE digest = ?",
            [(used, requests, digest) for digest, (used, requests) in touched.items()],
        )

    def delete(self, digest: bytes) -> bool:
        """Forget a session."""
        return bool(self._forget("digest = ?", digest, 1))

    def expire(self, used: float, created: float, most: int) -> int:
        """Forget what was used, or opened, before these moments, and no more than ``most`` of it."""
        swept = self._forget("used < ?", used, most)
        if created and swept < most:
            swept += self._forget("created < ?", created, most - swept)
        return swept

    def totals(self, top: int) -> SessionTotals:
        """Count them."""
        requests, oldest, idlest = self._execute(
            "SELECT total(requests), min(created), min(used) FROM session"
        ).fetchone()
        if not self._count:
            oldest = idlest = inf
        most = dict(self._users.most_common(top)) if top else {}
        return SessionTotals(self._count, len(self._users), most, int(requests), oldest, idlest)

    def _put(self, digest: bytes, items: Iterable[tuple[str, str]]) -> None:
        self.connection.executemany(
            "INSERT OR REPLACE INTO datum VALUES (?, ?, ?)", ((digest, key, value) for key, value in items)
        )

    def _forget(self, which: str, value: object, most: int) -> int:
        chosen = f"SELECT digest, user FROM session WHERE {which} LIMIT ?"
        found = self._execute(chosen, (value, most)).fetchall()
        self.connection.executemany("DELETE FROM session WHERE digest = ?", [row[:1] for row in found])
        for _, user in found:
            self._users[user] -= 1
            if not self._users[user]:
                del self._users[user]
        self._count -= len(found)
        return len(found)


def prepare(path: str) -> None:
    """Make the tables of an empty file, and those of an older tcpsuite new; refuse one that is not ours,
    without changing it.

    :raises StartError: when it is another program's, or a newer tcpsuite's, or on a network.
    """
    connection = _open(path, LOCK_TIMEOUT)
    try:
        with connection:
            _make_tables(connection)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    finally:
        connection.close()
    if mode != "wal":
        raise StartError("its file system cannot share memory, which SQLite's WAL needs: is it a network's?")


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (things,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    statements: tuple[str, ...]
    if not (application or version or things):
        statements = _SCHEMA
    elif application != APPLICATION_ID:
        raise StartError("this is a database of another program")
    elif version == 1:
        statements = _FROM_1
    elif version != SCHEMA_VERSION:
        raise StartError(f"its schema has version {version}; this tcpsuite knows {SCHEMA_VERSION}")
    else:
        return
    for statement in statements:
        connection.execute(statement)


def is_locked(error: BaseException) -> bool:
    """Whether it says that another process has the file at the moment."""
    # Those of Python's own have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _open(path: str, patience: float) -> sqlite3.Connection:
    """A connection to a file that exists; SQLite would make an empty one, as private as the umask is.

    :param patience: seconds to wait, each time, for another process that holds the file.
    """
    uri = f"{Path(path).absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)
