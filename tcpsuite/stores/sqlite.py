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

Others may write it all the same, a backup for instance, or the disk may be full.  Nobody who only reads
suffers from that: what a transaction with changes in it could not give is read again without them.  Changes
that wait for another process try again and again, and between two attempts it is the readers' turn.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, evolve
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from tcpsuite.core.limits.rates import Rates
from tcpsuite.core.sessions import THERE
from tcpsuite.errors import Closed, StartError, StoreFailed
from tcpsuite.interfaces import ISessionStore
from tcpsuite.stores.claim import Claim
from tcpsuite.stores.noted import NotedUses
from tcpsuite.stores.session_file import LOCK_TIMEOUT, LockedError, SessionFile, is_locked, prepare
from tcpsuite.stores.telling import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from twisted.internet.interfaces import IReactorTime
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
TOLD_A_SECOND = 1 / 60
"""Lines in the log about one fault that comes and goes."""


@define(eq=False)
class _Asked:
    """What somebody waits for.

    :ivar digest: the session that it is about; empty when it is about all.
    :ivar due: until when another process that holds the file is waited for.
    """

    job: Job
    digest: bytes
    writes: bool
    due: float
    done: Deferred[Any]


@implementer(ISessionStore)
class SQLiteStore:
    """Sessions in one file.

    :param path: the file; it is made, with mode 0600, when it does not exist.  Its folder must exist.
    :param thread: runs a function in a thread, always the same one, and gives a Deferred of its result.
    :param clock: an ``IReactorTime``.
    :param stop: ends that thread; called once, when nothing is left to do in it.
    """

    log = Logger()
    shared = False
    ahead = 0.0

    def __init__(
        self, path: str, thread: Thread, clock: IReactorTime, stop: Callable[[], None] = lambda: None
    ) -> None:
        self.path = path
        self.fault = ""
        self._thread = thread
        self._clock = clock
        self._stop = stop
        self._claim: Claim | None = None
        self._file: SessionFile | None = None  # the thread's own
        self._waiting: list[_Asked] = []
        self._noted = NotedUses()
        self._told = Rates(100)  # of late, by fault
        self._said: set[str] = set()  # since it worked
        self._running = False
        self._readers_turn = False
        self._closed: Deferred[None] | None = None
        self._close_due = 0.0

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

        return cls(path, run, reactor, stop)

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
        return self._submit(lambda file: file.create(given, limit, user_limit), given.digest).addCallback(
            _unless_there
        )

    def head(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(lambda file: file.head(digest), digest, writes=False).addCallback(
            self._noted.lay_over
        )

    def get(self, digest: bytes) -> Deferred[Session | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(lambda file: file.get(digest), digest, writes=False).addCallback(
            self._noted.lay_over
        )

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[int | None]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        kept = dict(changes)
        return self._submit(lambda file: file.change(digest, kept, version, used, requests), digest)

    def touch(self, digest: bytes, used: float, requests: int) -> None:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        if self._closed is None:
            self._noted.note(digest, used, requests)

    def delete(self, digest: bytes) -> Deferred[bool]:
        """See :class:`~tcpsuite.interfaces.ISessionStore`."""
        return self._submit(lambda file: file.delete(digest), digest)

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
            self._close_due = self._clock.seconds() + LOCK_TIMEOUT
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

    def _submit(
        self, job: Callable[[SessionFile], T], digest: bytes = b"", writes: bool = True
    ) -> Deferred[T]:
        if self._closed is not None:
            return fail(Closed("the session store is closed"))
        done: Deferred[T] = Deferred()
        self._waiting.append(_Asked(job, digest, writes, self._clock.seconds() + LOCK_TIMEOUT, done))
        if not self._running:
            self._next()
        return done

    def _next(self) -> None:
        """Give all that waits to the thread, in one transaction; when all is done and we close, end it."""
        if self._waiting or (self._noted and self._closed is not None):
            self._running = True
            batch = self._take()
            writes = not batch or any(each.writes for each in batch)
            # To read one costs no write: what is noted is laid over it.
            uses = self._noted.take([*islice(self._noted, TOUCHED_AT_ONCE if writes else 0)])
            proves = writes and bool(self.fault)
            work = partial(self._transact, [each.job for each in batch], uses, writes, proves)
            self._thread(work).addCallbacks(
                self._stored, self._failed, callbackArgs=(batch, writes), errbackArgs=(batch, writes, uses)
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

    def _take(self) -> list[_Asked]:
        """What is to be done next.  When something could not be written: what is only read, if anything is;
        of what waits the rest comes after it.
        """
        waiting, self._waiting = self._waiting, []
        if self._readers_turn:
            self._readers_turn = False
            reads, rest = _apart(waiting)
            if reads:
                self._waiting = rest
                return reads
        return waiting

    def _stored(self, results: Sequence[Any], batch: Sequence[_Asked], writes: bool) -> None:
        if self.fault and writes:
            # That something could be read says nothing.
            self.fault = ""
            if self._said:
                self._said.clear()
                self.log.info("{path}: it works again", path=self.path)
        for each, result in zip(batch, results, strict=True):
            each.done.callback(result)
        self._next()

    def _failed(self, failure: Failure, batch: Sequence[_Asked], writes: bool, uses: Uses) -> None:
        now = self._clock.seconds()
        locked = failure.check(LockedError) is not None
        again: list[_Asked] = []
        failed: list[_Asked] = []
        for each in batch:
            stays = (locked and now < each.due) or (writes and not each.writes)
            (again if stays else failed).append(each)
        self._waiting[:0] = again
        self._readers_turn = writes
        lost = bool(failed)
        if self._closed is None or (locked and now < self._close_due):
            self._noted.put_back(uses)
        else:
            # The rest would fare no better, and somebody waits for the end.
            self._noted.take([*self._noted])
            lost = True
        if lost:
            self._note_fault(failure.getErrorMessage())
        for each in failed:
            each.done.errback(failure)
        self._next()

    def _note_fault(self, fault: str) -> None:
        """Say it once, for a crowd asks a thousand times a second; and when it comes and goes, seldom."""
        self.fault = fault
        if fault in self._said:
            return
        if not self._told.spend(fault, 1, TOLD_A_SECOND, 1, self._clock.seconds()):
            self._said.add(fault)
            self.log.error("{path}: {error}", path=self.path, error=fault)

    def _finish(self, _result: object) -> None:
        self._stop()
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        assert self._closed is not None
        self._closed.callback(None)

    # What follows runs in the thread.

    def _transact(self, jobs: Sequence[Job], uses: Uses, writes: bool, proves: bool) -> list[Any]:
        assert self._claim is not None, "open comes first"
        begun = False
        try:
            self._claim.check()
            if self._file is None:
                self._file = SessionFile(self.path)
            with self._file.connection as connection:
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                begun = True
                self._file.touch(uses)
                if proves:
                    self._file.prove()
                return [job(self._file) for job in jobs]
        except BaseException as error:
            locked = is_locked(error)
            if begun or not locked:
                # Begin afresh the next time: whatever state the connection was left in goes with it.
                self._disconnect()
            if isinstance(error, sqlite3.Error | StoreFailed):
                kind = LockedError if locked else StoreFailed
                raise kind(f"the session store failed: {error}") from None
            raise

    def _disconnect(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _apart(waiting: Iterable[_Asked]) -> tuple[list[_Asked], list[_Asked]]:
    """What may be read before anything is written, and the rest: of one session what was asked first is done
    first.  A sweep is of none, and who reads meanwhile need not wait for it.
    """
    reads: list[_Asked] = []
    rest: list[_Asked] = []
    written: set[bytes] = set()
    for each in waiting:
        if each.writes:
            written.add(each.digest)
        (rest if each.writes or each.digest in written else reads).append(each)
    return reads, rest


def _unless_there(kept: Kept | None) -> Kept:
    if kept is None:
        raise StoreFailed(THERE)
    return kept
