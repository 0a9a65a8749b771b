"""Reads files without waiting for the disk: what the page cache lacks, a thread brings there first.

A read of what is in the cache takes microseconds; one from a slow disk, or over a network, may take a second,
and the reactor would stand still meanwhile.  So whoever sends a file asks before each step::

    in the cache? --yes--> read it now
                  --no---> a thread reads the next few MiB, and throws them away: then they are there
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore

from tcpsuite.errors import ProtocolError
from tcpsuite.net.shield import finished

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

InThread = Callable[..., Deferred[Any]]

READERS = 2
"""Threads that may read for one cache: the reactor's pool has ten, for everyone, and a disk that is waited
for gets no faster by more of them."""
AHEAD = 4 * 1024 * 1024
"""Bytes that a thread reads at a time: a few milliseconds' work of a disk, many times what the way to a
thread and back costs."""
BLOCK = 128 * 1024
"""Bytes of a file that are in memory at a time for each client, where they have to be: below what makes the
allocator ask the kernel for each."""


@frozen
class Extent:
    """A part of an open file: the bytes from ``start`` to before ``stop``.  Its owner keeps it open."""

    fd: int
    start: int
    stop: int


Piece = bytes | Extent
"""What an answer is made of."""


class PageCache:
    """What the kernel has of files in memory.

    :param in_thread: calls a function with arguments in a thread, and gives a Deferred of its result.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._places = DeferredSemaphore(READERS)

    def __repr__(self) -> str:
        reading = self._places.limit - self._places.tokens
        return f"<PageCache reading={reading} waiting={len(self._places.waiting)}>"

    def holds(self, fd: int, at: int, count: int) -> bool:
        """Whether so many bytes can be read from there without waiting, as far as can be seen: the first and
        the last of them are looked at.  What a file system does not tell counts as a no.
        """
        return _is_here(fd, at) and _is_here(fd, at + count - 1)

    def fetch(self, fd: int, at: int, count: int) -> Deferred[None]:
        """Read so many bytes from there, or to the end of the file, in a thread.

        :return: fires when they have been read; fails with ``OSError``.  Who closes the file cancels it
            first: then the reading stops soon, and needs that descriptor no more.
        """
        return Deferred.fromCoroutine(self._fetch(fd, at, count))

    async def _fetch(self, fd: int, at: int, count: int) -> None:
        await self._places.acquire()
        try:
            # The caller may close its own while the thread still reads.
            fetching = _Fetching(os.dup(fd), at, count)
            await finished(self._in_thread(fetching.run), fetching.stop)
        finally:
            self._places.release()


class Ahead:
    """How far an extent can be read without waiting."""

    def __init__(self, extent: Extent, cache: PageCache) -> None:
        self._extent = extent
        self._cache = cache
        self._ready = extent.start

    def look(self, at: int, count: int) -> int | Deferred[None]:
        """How many of so many bytes can be read from there; or what to wait for, before this is asked again.

        What was fetched is not asked for again: it may be gone already when memory is short, or the file
        system may never tell, and the reading has to get on.
        """
        extent = self._extent
        if at < self._ready:
            return min(count, self._ready - at)
        if self._cache.holds(extent.fd, at, count):
            return count
        self._ready = min(at + AHEAD, extent.stop)
        return self._cache.fetch(extent.fd, at, self._ready - at)


def blocks(pieces: Iterable[Piece], cache: PageCache) -> Generator[bytes | Deferred[None], None, None]:
    """All the bytes of ``pieces``, a block at a time, with what has to be waited for before one.

    :raises ProtocolError: ``changed``, when a file ends before its extent does.
    """
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        ahead, at = Ahead(piece, cache), piece.start
        while at < piece.stop:
            found = ahead.look(at, min(BLOCK, piece.stop - at))
            if isinstance(found, Deferred):
                yield found
            else:
                data = read(piece.fd, at, found)
                yield data
                at += len(data)


def read(fd: int, at: int, count: int) -> bytes:
    """Up to so many bytes from there, and at least one.

    :raises ProtocolError: ``changed``, when there are none.
    """
    data = os.pread(fd, count, at)
    if not data:
        raise shorter()
    return data


def shorter() -> ProtocolError:
    """A file ended before its announced length was sent."""
    return ProtocolError("changed", "the file became shorter while it was sent")


class _Fetching:
    """One reading's way through a thread; it closes its descriptor."""

    def __init__(self, fd: int, at: int, count: int) -> None:
        self._fd = fd
        self._at = at
        self._stop = at + count
        self._unwanted = False

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._unwanted = True

    def run(self) -> None:
        """Read; called in the thread."""
        try:
            # The disk gets all of it to do at once.  Without this the kernel would also go on reading ahead
            # while what is here leaves: up to twice as fast, but to start that takes the reactor's thread
            # several milliseconds each time.
            os.posix_fadvise(self._fd, self._at, self._stop - self._at, os.POSIX_FADV_WILLNEED)
            at, buffer = self._at, bytearray(min(BLOCK, self._stop - self._at))
            while at < self._stop and not self._unwanted and (got := os.preadv(self._fd, [buffer], at)):
                at += got
        finally:
            os.close(self._fd)


def _is_here(fd: int, at: int) -> bool:
    try:
        # The end of the file is told without waiting, too.
        os.preadv(fd, [bytearray(1)], at, os.RWF_NOWAIT)
    except OSError:
        return False
    return True
