"""Finds what a test left behind in the process and its reactor."""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from twisted.logger import LogEvent
    from twisted.python.failure import Failure

POOL_THREADS = ("PoolThread-twisted.internet.reactor-", "PoolThread-names-")
"""How the threads of the reactor's own pool are named, and of the one that looks names up; one that waits for
the next job is no leak."""


@frozen
class Snapshot:
    """What there is at one moment: timers, selectables, descriptors and so on, each with words for it."""

    things: dict[Hashable, str]
    _alive: tuple[Any, ...]  # kept, so that no identity in `things` is given to something new

    @classmethod
    def take(cls, reactor: Any) -> Snapshot:
        """Look at the process and ``reactor`` now."""
        timers = reactor.getDelayedCalls()
        selectables = {*reactor.getReaders(), *reactor.getWriters()}
        threads = [each for each in threading.enumerate() if not each.name.startswith(POOL_THREADS)]
        things: dict[Hashable, str] = {
            **{("timer", id(each)): f"a timer: {each}" for each in timers},
            **{
                ("selectable", id(each)): f"a port, connection or other selectable: {each!r}"
                for each in selectables
            },
            **{("thread", id(each)): f"a thread: {each.name}" for each in threads},
            **{("job", number): "a job in the thread pool" for number in range(_pool_jobs(reactor))},
            **{("child", pid): f"a child process: {pid} {name}" for pid, name in _children()},
            **{("fd", fd, target): f"an open descriptor: {fd} -> {target}" for fd, target in _descriptors()},
        }
        return cls(things, (timers, selectables, threads))

    def since(self, before: Snapshot) -> list[str]:
        """What is here and was not there before."""
        return [words for thing, words in self.things.items() if thing not in before.things]


def _pool_jobs(reactor: Any) -> int:
    pool = reactor.threadpool
    return 0 if pool is None else len(pool.working) + pool.q.qsize()


def _descriptors() -> Iterator[tuple[int, str]]:
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor that listed the directory
            yield int(name), os.readlink(f"/proc/self/fd/{name}")


def _children() -> Iterator[tuple[int, str]]:
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):
            for pid in listed.read_text().split():
                yield int(pid), _command(pid)


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "(gone)"


@implementer(ILogObserver)
class Unhandled:
    """Collects what nobody took.

    These are failures that were logged, errors in Deferreds among them; and errors in finalizers, where files
    that were not closed and coroutines that were not awaited are found.
    """

    def __init__(self) -> None:
        self._failures: list[Failure] = []
        self._finalizers: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure") or event.get("failure")  # the second is the old log's word
        if failure is not None:
            self._failures.append(failure)

    def __iter__(self) -> Iterator[str]:
        yield from (f"a logged failure: {each.getTraceback()}" for each in self._failures)
        yield from (f"an error in a finalizer: {each}" for each in self._finalizers)

    def __enter__(self) -> Unhandled:
        globalLogPublisher.addObserver(self)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._note
        return self

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._hook
        globalLogPublisher.removeObserver(self)

    def _note(self, error: sys.UnraisableHookArgs) -> None:
        # Words alone: to keep the object would bring it back to life.
        self._finalizers.append(f"{error.exc_value!r} of {error.object!r}")

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """Take out the failures of these types, all if none is named: the test expected them."""
        gc.collect()
        return self.take(*types)

    def take(self, *types: type[BaseException]) -> list[Failure]:
        """The same of those that are known by now: a collection takes long where much was imported."""
        taken = [each for each in self._failures if not types or each.check(*types)]
        self._failures = [each for each in self._failures if each not in taken]
        return taken

    def forget_failures(self) -> None:
        """Somebody else has judged all failures that were logged so far."""
        self._failures.clear()
