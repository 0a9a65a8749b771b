"""SHA-256 of files: in threads, two at a time, remembered."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DeferredSemaphore

from tcpsuite.errors import ProtocolError
from tcpsuite.net.shield import finished
from tcpsuite.services.files.root import Opened, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    InThread = Callable[..., Deferred[Any]]

AT_ONCE = 2
"""Threads that may hash: the reactor's pool has ten, and what hashes keeps a core busy."""
REMEMBERED = 1000
"""Digests that are kept: some 500 KiB of them."""
SETTLED = 2.0
"""Seconds after which a further change is sure to give a file another time: FAT counts in twos, and others by
the ticks of the kernel's clock."""
STEP = 1024 * 1024
"""Bytes between two looks at whether anyone still waits: a millisecond's work."""


class Sums:
    """Digests of files, each computed once for each version of a file, as long as it is remembered.

    :param in_thread: calls a function with arguments in a thread, and gives a Deferred of its result.
    :param now: seconds since the epoch.
    """

    def __init__(self, in_thread: InThread, now: Callable[[], float] = time.time) -> None:
        self._in_thread = in_thread
        self._now = now
        self._places = DeferredSemaphore(AT_ONCE)
        self._known: OrderedDict[tuple[int, ...], str] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Sums known={len(self._known)} reading={self.reading} waiting={len(self._places.waiting)}>"

    @property
    def reading(self) -> int:
        """How many files are being read."""
        return self._places.limit - self._places.tokens

    def shrink(self) -> None:
        """Memory is short: forget the half of the digests that nobody asked for longest."""
        for _ in range((len(self._known) + 1) // 2):
            self._known.popitem(last=False)

    async def digest(self, opened: Opened) -> str:
        """The SHA-256 of a file, in hexadecimal digits.  It stays open meanwhile.

        When it is cancelled it stops at the next step, and ends when nothing reads the file any more.

        :raises ProtocolError: ``changed`` when the file did while it was read, ``unavailable`` when it could
            not be read.
        """
        known = self._recall(opened.version)
        if known is not None:
            return known
        await self._places.acquire()
        try:
            # Who waited may have waited for the same file.
            return self._recall(opened.version) or await self._compute(opened)
        finally:
            self._places.release()

    async def _compute(self, opened: Opened) -> str:
        hashing = _Hashing(opened)
        # Judged before the first byte is read: a change while it is read must show at the end.
        settled = self._now() - opened.status.st_ctime >= SETTLED
        try:
            digest: str = await finished(self._in_thread(hashing.run), hashing.stop)
        except OSError as error:
            raise refusal(error) from None
        if settled:
            self._remember(opened.version, digest)
        return digest

    def _remember(self, version: tuple[int, ...], digest: str) -> None:
        self._known[version] = digest
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _recall(self, version: tuple[int, ...]) -> str | None:
        digest = self._known.get(version)
        if digest is not None:
            self._known.move_to_end(version)
        return digest


class _Hashing:
    """One file's way through a thread."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._unwanted = False

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._unwanted = True

    def run(self) -> str:
        """Read it all; called in the thread."""
        digest, at = hashlib.sha256(), 0
        while not self._unwanted and (data := os.pread(self._opened.fd, STEP, at)):
            digest.update(data)
            at += len(data)
        now = Opened(self._opened.fd, os.fstat(self._opened.fd))
        if at != self._opened.size or now.version != self._opened.version:
            raise ProtocolError("changed", "the file changed while it was read")
        return digest.hexdigest()
