"""Which server each client had, in a file: it survives the process.

The file is written anew every minute, and at the end.  It is made ready in small steps, between which the
reactor turns, and written by a thread: a thread that did all of it would be in the reactor's way, for only
one of the two runs Python at a time.

A line of JSON says what the file is; each further one has some clients of one upstream, with the server and
the wall-clock time at which they had it last.  What cannot be read is a warning, and nobody is remembered:
that is no reason not to serve.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from tcpsuite.core.affinity import Home
from tcpsuite.errors import StartError
from tcpsuite.stores.claim import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tcpsuite.core.affinity import StickTable

    Thread = Callable[[Callable[[], object]], "Deferred[Any]"]

NAME = "affinity.json"
INTERVAL = 60.0
"""Seconds: so much a process that is killed forgets at most."""
STEP = 500
"""Clients that are made ready in one turn of the reactor: half a millisecond's work."""
VERSION = 1

_KIND = "tcpsuite affinity"
_LONGEST_HEAD = 1000
_FAULTS = (OSError, ValueError, TypeError, ArithmeticError, RecursionError)
"""What reading a file may raise that somebody else has written."""


class AffinityFile:
    """Stick tables in one file of a folder, which is the process's own from :meth:`open` to :meth:`stop`.

    :param folder: the state directory; it must exist.
    :param tables: by the names of their upstreams.
    :param clock: an ``IReactorTime``, by which the tables go.
    :param thread: runs a function in a thread, and gives a Deferred of its result.
    :param wall: gives the seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        folder: str,
        tables: Mapping[str, StickTable],
        clock: Any,
        thread: Thread,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.join(folder, NAME)
        self._tables = tables
        self._clock = clock
        self._thread = thread
        self._wall = wall
        self._claim: Claim | None = None
        self._empty = True
        self._fault = ""
        self._storing = DeferredLock()
        self._loop = LoopingCall(self.store)
        self._loop.clock = clock

    @classmethod
    def on(cls, reactor: Any, folder: str, tables: Mapping[str, StickTable]) -> AffinityFile:
        """One that a thread of the reactor's pool writes."""
        return cls(folder, tables, reactor, partial(deferToThreadPool, reactor, reactor.getThreadPool()))

    def __repr__(self) -> str:
        return f"<AffinityFile {self.path} tables={len(self._tables)}>"

    def open(self) -> None:
        """Remember what the file says, before the first client comes; may block."""
        try:
            self._claim = Claim(f"{self.path}.lock")
        except (OSError, StartError) as error:
            self._warn("is not used, and clients may change servers at a restart", error)
            return
        try:
            found = _read(self.path, self._wall())
            for upstream, table in self._tables.items():
                table.restore(found.get(upstream, ()), self._clock.seconds())
        except FileNotFoundError:
            pass
        except _FAULTS as error:
            self._warn("cannot be read, so all clients are new", error)
            with suppress(OSError):
                os.replace(self.path, f"{self.path}.unread")
        self._empty = not any(self._tables.values())

    def start(self) -> None:
        """Store each minute from now on."""
        if self._claim is not None:
            self._loop.start(INTERVAL, now=False)

    async def stop(self) -> None:
        """Store it for the last time, if it was ever begun, and let another process have the file."""
        if self._loop.running:
            self._loop.stop()
            await self.store()
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()

    def store(self) -> Deferred[None]:
        """Write the file, unless nobody is remembered there or here.  Fires when it is on the disk, or the
        log says why not.
        """
        return self._storing.run(lambda: Deferred.fromCoroutine(self._try_to_store()))

    async def _try_to_store(self) -> None:
        try:
            await self._store()
        except Exception:
            # Whatever it was, the next minute is to try again.
            self.log.failure("{path} cannot be written, by a fault of ours", path=self.path)

    async def _store(self) -> None:
        lines = [_line({"kind": _KIND, "version": VERSION})]
        for upstream, table in self._tables.items():
            while table.expire(self._clock.seconds(), STEP):
                await self._turn()
            keys = table.keys()
            for first in range(0, len(keys), STEP):
                lines.append(self._some(upstream, table, keys[first : first + STEP]))
                await self._turn()
        empty = len(lines) == 1
        if empty and self._empty:
            return
        try:
            await self._thread(partial(_write, self.path, lines))
        except OSError as error:
            if str(error) != self._fault:  # said once, not each minute
                self._fault = str(error)
                self._warn("cannot be written", error)
        else:
            self._empty, self._fault = empty, ""

    def _some(self, upstream: str, table: StickTable, keys: Iterable[str]) -> bytes:
        wall, homes = self._wall(), table.homes(keys, self._clock.seconds())
        clients = [(home.key, home.server, round(wall - home.idle, 3)) for home in homes]
        return _line({"upstream": upstream, "clients": clients})

    def _turn(self) -> Deferred[None]:
        """Fires when the reactor has done what else there is to do."""
        turn: Deferred[None] = Deferred()
        self._clock.callLater(0, turn.callback, None)
        return turn

    def _warn(self, what: str, error: BaseException) -> None:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.log.warn("{path} {what}: {why}", path=self.path, what=what, why=why or type(error).__name__)


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _read(path: str, wall: float) -> dict[str, list[Home]]:
    """What the file says, by upstream.

    :param wall: the seconds since the epoch.
    :raises FileNotFoundError: when there is none.
    :raises ValueError: or something else of :data:`_FAULTS`, when it is no good.
    """
    found: dict[str, list[Home]] = {}
    with open(path, "rb") as file:
        head = json.loads(file.readline(_LONGEST_HEAD))
        if not isinstance(head, dict) or head.get("kind") != _KIND:
            raise ValueError("it is no file of tcpsuite's")
        if head.get("version") != VERSION:
            raise ValueError(f"its version is {head.get('version')!r}; this tcpsuite knows {VERSION}")
        for line in file:
            match json.loads(line, parse_constant=_no_number):
                case {"upstream": str(upstream), "clients": list(clients)}:
                    found.setdefault(upstream, []).extend(_homes(clients, wall))
                case _:
                    raise ValueError("a line of it has no clients")
    return found


def _homes(clients: Iterable[Any], wall: float) -> Iterator[Home]:
    for client in clients:
        key, server, used = client
        if not (isinstance(key, str) and isinstance(server, str) and isinstance(used, int | float)):
            raise TypeError(f"a client of it is none: {client!r}")
        # A clock that was put back meanwhile has nobody come from the future.
        yield Home(key, server, max(0.0, wall - used))


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no time")


def _write(path: str, lines: Iterable[bytes]) -> None:
    """Put a new file in the place of the old one: at any moment one of the two is there, and whole."""
    new = f"{path}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    # Its name is only on the disk when the folder is.
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
