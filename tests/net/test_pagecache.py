"""Files are read without waiting for the disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest, mock

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.errors import ProtocolError
from tcpsuite.net.pagecache import AHEAD, BLOCK, READERS, Ahead, Extent, PageCache, Piece, blocks
from tests.support.files import Threads, descriptors, drop

CONTENT = os.urandom(3 * BLOCK + 5)


class CacheCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = Threads()
        self.cache = PageCache(self.threads)
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.path = Path(holder.name) / "file"
        self.path.write_bytes(CONTENT)
        self.fd = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.fd)

    def drop(self) -> None:
        """Have nothing of the file in memory."""
        drop(self.fd)
        if self.cache.holds(self.fd, 0, 1):
            raise SkipTest("this file system keeps what it is told to drop")


class HoldsTests(CacheCase):
    def test_written(self) -> None:
        """What was just written is in memory, and so is what is known not to be there."""
        self.assertTrue(self.cache.holds(self.fd, 0, len(CONTENT)))
        self.assertTrue(self.cache.holds(self.fd, len(CONTENT) + 100, 1))

    def test_dropped(self) -> None:
        """What was dropped is not; both ends are looked at."""
        self.drop()
        self.assertFalse(self.cache.holds(self.fd, 0, len(CONTENT)))
        os.pread(self.fd, len(CONTENT), 0)
        os.posix_fadvise(self.fd, BLOCK, 0, os.POSIX_FADV_DONTNEED)
        self.assertTrue(self.cache.holds(self.fd, 0, 10))
        self.assertFalse(self.cache.holds(self.fd, 0, len(CONTENT)))
        self.assertFalse(self.cache.holds(self.fd, len(CONTENT) - 1, 10 * BLOCK))

    def test_untold(self) -> None:
        """What is not told counts as a no."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.assertFalse(self.cache.holds(reading, 0, 1))


class FetchTests(CacheCase):
    def test_fetched(self) -> None:
        """What is fetched is in memory then, and no descriptor is left."""
        self.drop()
        before = descriptors()
        self.successResultOf(self.cache.fetch(self.fd, 0, len(CONTENT)))
        self.assertTrue(self.cache.holds(self.fd, 0, len(CONTENT)))
        self.assertEqual(descriptors(), before)

    def test_beyond_the_end(self) -> None:
        """The end of the file ends it."""
        self.successResultOf(self.cache.fetch(self.fd, len(CONTENT) - 1, AHEAD))
        self.successResultOf(self.cache.fetch(self.fd, len(CONTENT) + 1, AHEAD))

    def test_failed(self) -> None:
        """What the system says fails it, and no descriptor is left."""
        directory = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, directory)
        before = descriptors()
        self.failureResultOf(self.cache.fetch(directory, 0, 1), IsADirectoryError)
        self.assertEqual(descriptors(), before)

    def test_closed_meanwhile(self) -> None:
        """Who gives up may close the file at once: the thread reads by a descriptor of its own, and stops."""
        self.drop()
        self.threads.wait = True
        before = descriptors()
        fd = os.dup(self.fd)
        fetching = self.cache.fetch(fd, 0, len(CONTENT))
        fetching.cancel()
        os.close(fd)
        self.assertNoResult(fetching)
        self.assertEqual(repr(self.cache), "<PageCache reading=1 waiting=0>")
        with mock.patch.object(os, "preadv") as reading:
            self.threads.work()
        self.assertEqual(reading.mock_calls, [])
        self.failureResultOf(fetching, CancelledError)
        self.assertEqual(repr(self.cache), "<PageCache reading=0 waiting=0>")
        self.assertEqual(descriptors(), before)

    def test_so_many_at_a_time(self) -> None:
        """The others wait for a place, without a descriptor; who gives up waiting is out of the way."""
        self.threads.wait = True
        before = descriptors()
        fetches = [self.cache.fetch(self.fd, 0, 10) for _ in range(READERS + 2)]
        self.assertEqual(repr(self.cache), f"<PageCache reading={READERS} waiting=2>")
        self.assertEqual(descriptors(), before + READERS)
        last = fetches.pop()
        last.cancel()
        self.failureResultOf(last, CancelledError)
        self.assertEqual(repr(self.cache), f"<PageCache reading={READERS} waiting=1>")
        self.threads.work()
        for fetch in fetches:
            self.successResultOf(fetch)
        self.assertEqual(descriptors(), before)


class Cold:
    """A cache that holds nothing, or everything, and says what it was asked for."""

    def __init__(self) -> None:
        self.held = False
        self.fetched: list[tuple[int, int]] = []

    def holds(self, fd: int, at: int, count: int) -> bool:
        return self.held

    def fetch(self, fd: int, at: int, count: int) -> Deferred[None]:
        self.fetched.append((at, count))
        return Deferred()


class AheadTests(SynchronousTestCase):
    def test_fetched_once(self) -> None:
        """What was fetched is not asked for again, and is all that can be read."""
        cold: Any = Cold()
        stop = 10 + AHEAD + 95
        ahead = Ahead(Extent(0, 10, stop), cold)
        self.assertIsInstance(ahead.look(10, 50), Deferred)
        self.assertEqual(ahead.look(10, 50), 50)
        self.assertEqual(ahead.look(AHEAD, 50), 10)
        self.assertIsInstance(ahead.look(10 + AHEAD, 50), Deferred)
        self.assertEqual(ahead.look(10 + AHEAD, 50), 50)
        self.assertEqual(cold.fetched, [(10, AHEAD), (10 + AHEAD, 95)])

    def test_in_memory(self) -> None:
        """What is in memory is not fetched, and looked at each time."""
        cold: Any = Cold()
        cold.held = True
        ahead = Ahead(Extent(0, 0, 100), cold)
        self.assertEqual(ahead.look(0, 50), 50)
        cold.held = False
        self.assertIsInstance(ahead.look(0, 50), Deferred)


class BlocksTests(CacheCase):
    def test_blocks(self) -> None:
        """Bytes come as they are, and an extent in blocks, to its end only."""
        pieces: list[Piece] = [b"head", Extent(self.fd, 1, BLOCK + 3), Extent(self.fd, 7, 7), b"tail"]
        found = list(blocks(pieces, self.cache))
        self.assertEqual(found, [b"head", CONTENT[1 : BLOCK + 1], CONTENT[BLOCK + 1 : BLOCK + 3], b"tail"])

    def test_shrunk(self) -> None:
        """A file that becomes shorter meanwhile is not padded."""
        found = blocks([Extent(self.fd, 0, len(CONTENT))], self.cache)
        os.truncate(self.path, 10)
        self.assertEqual(next(found), CONTENT[:10])
        self.assertEqual(self.assertRaises(ProtocolError, next, found).code, "changed")

    def test_cold(self) -> None:
        """What is not in memory is waited for, and then it is there."""
        self.drop()
        waiting, *rest = blocks([Extent(self.fd, 0, BLOCK)], self.cache)
        assert isinstance(waiting, Deferred)
        self.successResultOf(waiting)
        self.assertEqual(rest, [CONTENT[:BLOCK]])


@pytest_twisted.ensureDeferred
async def test_in_a_thread(tmp_path: Path) -> None:
    """A real thread reads what is not in memory; the reactor's own does not."""
    (tmp_path / "file").write_bytes(CONTENT)
    cache = PageCache(deferToThread)
    with (tmp_path / "file").open("rb") as file:
        drop(file.fileno())
        if cache.holds(file.fileno(), 0, 1):
            pytest.skip("this file system keeps what it is told to drop")
        await cache.fetch(file.fileno(), 0, len(CONTENT)).addTimeout(20, reactor)
        assert cache.holds(file.fileno(), 0, len(CONTENT))
