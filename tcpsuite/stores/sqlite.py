"""Sessions in an SQLite file: they survive the process.

Every statement runs in one thread of the store's own, in transactions: what is asked while one runs goes
into the next, so a slow disk makes transactions larger, and the reactor never waits.

The log is written ahead (WAL) and synced at each commit that changed something (``synchronous = FULL``):
what was answered is on the disk, and outlives the process and a loss of power.  ``NORMAL`` would outlive the
process too, but lose the last seconds with the power; and since changes that wait share one sync, the
difference is paid once a transaction.  When a session was last used is only noted, and stored with the next
changes or the sweep: after a crash a session may expire up to a sweep's interval sooner.

The file is the process's own from ``open`` to ``close``: sessions in use are answered from memory, so two
processes on one file would contradict each other.  When it vanishes meanwhile, every answer is a failure
until it is back: what is written to a file without a name is lost.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from tcpsuite.core.sessions import THERE
from tcpsuite.errors import Closed, StartError, StoreFailed
from tcpsuite.interfaces import ISessionStore
from tcpsuite.stores.claim import Claim
from tcpsuite.stores.noted import NotedUses
from tcpsuite.stores.session_file import SessionFile, prepare
from tcpsuite.stores.telling import told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twisted.python.failure import Failure

    from tcpsuite.core.sessions import Kept, Session, SessionTotals
    from tcpsuite.stores.noted import Uses

    Job = Callable[[SessionFile], Any]
    Thread = Callable[[Callable[[], Any]], "Deferred[Any]"]

T = TypeVar("T")

TOUCHED_AT_ONCE = 200
"""Sessions that one transaction notes the use of: whoever waits for it waits some milliseconds more."""
SWEPT_AT_ONCE = 500
"""Sessions that one transaction forgets: as above."""


@implementer(ISessionStore)
class SQLiteStore:
    """Sessions in one file.

    :param path: the file; it is made, with mode 0600, when it does not exist.  Its folder must exist.
    :param thread: runs a function in a thread, always the same one, and gives a Deferred of its result.
    :param stop: ends that thread; called once, when nothing is left to do in it.
    """

    log = Logger()
    shared = False
    ahead = 0.0

    def __init__(self, path: str, thread: Thread, stop: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._thread = thread
        self._stop = stop
        self._claim: Claim | None = None
        self._file: SessionFile | None = None  # the thread's own
        self._waiting: list[tuple[Job, Deferred[Any]]] = []
        self._to_write = False
        self._noted = NotedUses()
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
                prepare(self.path)
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

    def create(self, session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        given = evolve(session, data=dict(session.data))
        return self._submit(lambda file: file.create(given, limit, user_limit)).addCallback(_unless_there)

    def head(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(lambda file: file.head(digest), writes=False).addCallback(self._noted.lay_over)

    def get(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(lambda file: file.get(digest), writes=False).addCallback(self._noted.lay_over)

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[int | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        kept = dict(changes)
        return self._submit(lambda file: file.change(digest, kept, version, used, requests))

    def touch(self, digest: bytes, used: float, requests: int) -> None:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if self._closed is None:
            self._noted.note(digest, used, requests)

    def delete(self, digest: bytes) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(lambda file: file.delete(digest))

    def expire(self, used: float, created: float = 0.0) -> Deferred[int]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return Deferred.fromCoroutine(self._expire(used, created))

    def totals(self, top: int = 0) -> Deferred[SessionTotals]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return Deferred.fromCoroutine(self._behind_touches(lambda file: file.totals(top)))

    def close(self) -> Deferred[None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if self._closed is None:
            self._closed = Deferred()
            if not self._running:
                self._next()
        return told(self._closed)

    async def _behind_touches(self, job: Callable[[SessionFile], T]) -> T:
        """Do what looks at all sessions, when all that is noted is stored."""
        for _ in range((len(self._noted) - 1) // TOUCHED_AT_ONCE):
            await self._submit(lambda _: None)
        return await self._submit(job)

    async def _expire(self, used: float, created: float) -> int:
        swept = some = await self._behind_touches(lambda file: file.expire(used, created, SWEPT_AT_ONCE))
        while some == SWEPT_AT_ONCE:
            some = await self._submit(lambda file: file.expire(used, created, SWEPT_AT_ONCE))
            swept += some
        return swept

    def _submit(self, job: Callable[[SessionFile], T], writes: bool = True) -> Deferred[T]:
        if self._closed is not None:
            return fail(Closed("the session store is closed"))
        done: Deferred[T] = Deferred()
        self._waiting.append((job, done))
        self._to_write |= writes
        if not self._running:
            self._next()
        return done

    def _next(self) -> None:
        """Give all that waits to the thread, in one transaction; when all is done and we close, end it."""
        if self._waiting or (self._noted and self._closed is not None):
            self._running = True
            batch, self._waiting = self._waiting, []
            writes, self._to_write = self._to_write or self._closed is not None, False
            # To read one costs no write: what is noted is laid over it.
            uses = self._noted.take([*islice(self._noted, TOUCHED_AT_ONCE if writes else 0)])
            waiters = [done for _, done in batch]
            work = partial(self._transact, [job for job, _ in batch], uses, writes)
            self._thread(work).addCallbacks(
                self._stored, self._failed, callbackArgs=(waiters,), errbackArgs=(waiters, uses)
            )
            return
        self._running = False
        if self._closed is None:
            return
        if self._file is None:
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

    def _failed(self, failure: Failure, waiters: Sequence[Deferred[Any]], uses: Uses) -> None:
        fault = failure.getErrorMessage()
        if fault != self._fault:
            # Said once: a crowd asks a thousand times a second.
            self._fault = fault
            self.log.error("{path}: {error}", path=self.path, error=fault)
        if self._closed is None:
            self._noted.put_back(uses)
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

    def _transact(self, jobs: Sequence[Job], uses: Uses, writes: bool) -> list[Any]:
        assert self._claim is not None, "open comes first"
        try:
            self._claim.check()
            if self._file is None:
                self._file = SessionFile(self.path)
            with self._file.connection as connection:
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                self._file.touch(uses)
                return [job(self._file) for job in jobs]
        except BaseException as error:
            # Begin afresh the next time: whatever state the connection was left in goes with it.
            self._disconnect()
            if isinstance(error, sqlite3.Error | StoreFailed):
                raise StoreFailed(f"the session store failed: {error}") from None
            raise

    def _disconnect(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _unless_there(kept: Kept | None) -> Kept:
    if kept is None:
        raise StoreFailed(THERE)
    return kept
