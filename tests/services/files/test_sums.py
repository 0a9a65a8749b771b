"""Digests are computed two at a time, and once."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from tcpsuite.core.paths import Path
from tcpsuite.errors import ProtocolError
from tcpsuite.interfaces import IShrinkable
from tcpsuite.services.files import sums
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.files.root import Opened
from tcpsuite.services.files.sums import AT_ONCE, SETTLED, STEP, Sums
from tests.support.files import CONTENT, FilesCase


class SumsTests(FilesCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 2e9
        self.sums = Sums(self.threads, lambda: self.now)
        self.open_files = ExitStack()
        self.addCleanup(self.open_files.close)

    def open(self, name: str = "file") -> Opened:
        return self.open_files.enter_context(self.share.root.open(Path((name.encode(),), slash=False)))

    def digest(self, name: str = "file") -> Deferred[str]:
        return Deferred.fromCoroutine(self.sums.digest(self.open(name)))

    def test_digest(self) -> None:
        """It is the SHA-256 of the whole file."""
        self.assertEqual(self.successResultOf(self.digest()), hashlib.sha256(CONTENT).hexdigest())
        large = os.urandom(2 * STEP + 3)
        (self.root / "large").write_bytes(large)
        self.assertEqual(self.successResultOf(self.digest("large")), hashlib.sha256(large).hexdigest())

    def test_remembered(self) -> None:
        """A file that has not changed is not read again; one that has, is."""
        first = self.successResultOf(self.digest())
        self.threads.wait = True
        self.assertEqual(self.successResultOf(self.digest()), first)
        os.utime(self.root / "file", (1, 1))
        self.assertNoResult(again := self.digest())
        self.threads.work()
        self.assertEqual(self.successResultOf(again), first)

    def test_young(self) -> None:
        """A file that has just changed is read again: another change could have the same time."""
        changed = (self.root / "file").stat().st_ctime
        for age, known in ((-10, 0), (0, 0), (SETTLED - 0.1, 0), (SETTLED + 0.1, 1)):
            self.now = changed + age
            self.successResultOf(self.digest())
            self.assertIn(f"known={known} ", repr(self.sums), age)

    def test_written_in_place(self) -> None:
        """A file that got other bytes and its old size and time has another digest."""
        path = self.root / "file"
        before = path.stat()
        first = self.successResultOf(self.digest())
        while path.stat().st_ctime_ns == before.st_ctime_ns:
            path.write_bytes(CONTENT[::-1])
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertNotEqual(self.successResultOf(self.digest()), first)

    def test_written_in_place_meanwhile(self) -> None:
        """That is seen while the file is read, too."""
        self.threads.wait = True
        digest, before = self.digest(), (self.root / "file").stat()
        while (self.root / "file").stat().st_ctime_ns == before.st_ctime_ns:
            os.utime(self.root / "file", ns=(before.st_atime_ns, before.st_mtime_ns))
        self.threads.work()
        self.assertEqual(self.failureResultOf(digest, ProtocolError).value.code, "changed")

    def test_bounded(self) -> None:
        """What was not asked for longest is forgotten first."""
        self.patch(sums, "REMEMBERED", 2)
        for name in ("a", "b", "c"):
            (self.root / name).write_bytes(name.encode())
        for name in ("a", "b", "a", "c"):
            self.successResultOf(self.digest(name))
        self.threads.wait = True
        self.successResultOf(self.digest("a"))
        self.assertNoResult(forgotten := self.digest("b"))
        self.threads.work()
        self.successResultOf(forgotten)

    def test_shrinks(self) -> None:
        """When memory is short, the half that nobody asked for longest is forgotten."""
        for name in ("a", "b", "c"):
            (self.root / name).write_bytes(name.encode())
            self.successResultOf(self.digest(name))
        self.successResultOf(self.digest("a"))
        self.sums.shrink()
        self.assertEqual(repr(self.sums), "<Sums known=1 reading=0 waiting=0>")
        self.threads.wait = True
        self.successResultOf(self.digest("a"))
        for _ in range(2):
            self.sums.shrink()
        self.assertEqual(repr(self.sums), "<Sums known=0 reading=0 waiting=0>")

    def test_services_shrink(self) -> None:
        """A service of files, in lines or over HTTP, forgets digests when it is asked for memory."""
        for factory in (FilesFactory, FilesSite):
            self.successResultOf(Deferred.fromCoroutine(self.share.sums.digest(self.open())))
            self.assertIn("known=1", repr(self.share.sums))
            verifyObject(IShrinkable, service := factory(self.share))
            service.shrink()
            self.assertIn("known=0", repr(self.share.sums))

    def test_two_at_a_time(self) -> None:
        """Two threads hash; whoever comes third waits for a place."""
        self.threads.wait = True
        for name in ("a", "b", "c"):
            (self.root / name).write_bytes(name.encode())
        digests = [self.digest(name) for name in ("a", "b", "c")]
        self.assertEqual(len(self.threads.waiting), AT_ONCE)
        self.assertEqual(repr(self.sums), "<Sums known=0 reading=2 waiting=1>")
        self.threads.work()
        for name, digest in zip("abc", digests, strict=True):
            self.assertEqual(self.successResultOf(digest), hashlib.sha256(name.encode()).hexdigest())

    def test_waited_for_the_same(self) -> None:
        """Who waited while the same file was read gets what was found."""
        self.threads.wait = True
        digests = [self.digest() for _ in range(3)]
        done, function, arguments = self.threads.waiting.pop(0)
        done.callback(function(*arguments))
        self.successResultOf(digests[0])
        self.successResultOf(digests[2])
        self.threads.work()

    def test_cancelled(self) -> None:
        """Cancelled, it reads no further, gives its place away when it has stopped, and remembers nothing."""
        self.threads.wait = True
        digest = self.digest()
        digest.addErrback(lambda failure: failure.trap(CancelledError))
        digest.cancel()
        self.assertNoResult(digest)
        self.patch(os, "pread", None)
        self.threads.work()
        self.assertIs(self.successResultOf(digest), CancelledError)
        self.assertEqual(repr(self.sums), "<Sums known=0 reading=0 waiting=0>")

    def test_cancelled_while_it_waits(self) -> None:
        """Cancelled while it waits for a place, it takes none."""
        self.threads.wait = True
        digests = [self.digest("file") for _ in range(3)]
        digests[2].cancel()
        self.failureResultOf(digests[2], CancelledError)
        self.threads.work()
        found = {self.successResultOf(digest) for digest in [*digests[:2], self.digest()]}
        self.assertEqual(found, {hashlib.sha256(CONTENT).hexdigest()})

    def test_changed(self) -> None:
        """A file that changes while it is read has no digest."""
        self.threads.wait = True
        (self.root / "other").touch()
        longer, touched = self.digest(), self.digest("other")
        (self.root / "file").write_bytes(CONTENT + b"x")
        os.utime(self.root / "other", (1, 1))
        self.threads.work()
        for digest in (longer, touched):
            self.assertEqual(self.failureResultOf(digest, ProtocolError).value.code, "changed")

    def test_cannot_be_read(self) -> None:
        """A disk that fails is no fault of the client's."""

        def fail(*_: object) -> bytes:
            raise OSError(5, "Input/output error")

        self.patch(os, "pread", fail)
        self.assertEqual(self.failureResultOf(self.digest(), ProtocolError).value.code, "unavailable")
