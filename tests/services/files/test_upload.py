"""What a crash leaves is removed, and nothing else."""

from __future__ import annotations

import fcntl
import os
import threading

from twisted.internet.defer import CancelledError, Deferred

from tcpsuite.core.conditions import Conditions
from tcpsuite.core.paths import parse_path
from tcpsuite.errors import Closed, ProtocolError
from tcpsuite.net.body import Body
from tcpsuite.services.files import upload
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.files.upload import CLOSERS, MAX_UPLOADS, WRITERS, Upload, sweep
from tests.support.files import FilesCase, left_behind

LEFT = ".tcpsuite-upload-" + "ab" * 8


class SweepTests(FilesCase):
    def sweep(self) -> int:
        return sweep(self.share.root, lambda: False)

    def test_leftovers(self) -> None:
        """Unfinished uploads that nobody writes are removed, wherever they lie."""
        for place in (self.root, self.root / "sub"):
            (place / LEFT).write_bytes(b"half")
        # The tree has one more of its own.
        self.assertEqual(self.sweep(), 3)
        self.assertEqual(left_behind(self.root), [])
        self.assertEqual(self.sweep(), 0)

    def test_in_use(self) -> None:
        """An upload that is under way, here or in another process, is left alone."""
        self.sweep()
        under_way = Upload(self.share.root, parse_path(b"new"))
        self.addCleanup(under_way.close)
        with (self.root / LEFT).open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            self.assertEqual(self.sweep(), 0)
        self.assertEqual(self.sweep(), 1)
        under_way.write(b"hello")
        self.assertTrue(under_way.commit(None))
        self.assertEqual((self.root / "new").read_bytes(), b"hello")

    def test_being_made(self) -> None:
        """An upload that is taken for a leftover, because it is not locked yet, is made again."""
        lock, sweeps = fcntl.flock, [None, BlockingIOError(11, "Resource temporarily unavailable")]

        def sweep_first(fd: int, how: int) -> None:
            if sweeps:
                for name in left_behind(self.root):
                    os.unlink(name)
                if (still_locked := sweeps.pop()) is not None:
                    raise still_locked
            lock(fd, how)

        before = len(os.listdir("/proc/self/fd"))
        self.patch(fcntl, "flock", sweep_first)
        under_way = Upload(self.share.root, parse_path(b"new"))
        self.assertEqual(sweeps, [])
        self.assertEqual(len(left_behind(self.root)), 1)
        self.assertTrue(under_way.commit(None))
        under_way.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_what_is_no_leftover(self) -> None:
        """What is no regular file of ours, or is called otherwise, is left alone."""
        self.sweep()
        names = [LEFT[:-2], LEFT + "c", LEFT + ".txt", "x" + LEFT]
        for name in names:
            (self.root / name).touch()
        os.mkfifo(self.root / LEFT)
        (self.root / "sub" / LEFT).symlink_to("inner")
        self.assertEqual(self.sweep(), 0)
        for name in [*names, LEFT, f"sub/{LEFT}"]:
            os.unlink(self.root / name)

    def test_of_somebody_else(self) -> None:
        """What belongs to another user is left alone."""
        self.patch(os, "geteuid", lambda: os.getuid() + 1)
        self.assertEqual(self.sweep(), 0)

    def test_links_are_not_followed(self) -> None:
        """Nothing outside the root is looked at."""
        (self.root.parent / LEFT).touch()
        self.sweep()
        self.assertTrue((self.root.parent / LEFT).exists())

    def test_given_up(self) -> None:
        """It gives up when it is told to."""
        self.assertEqual(sweep(self.share.root, lambda: True), 0)

    def test_at_start(self) -> None:
        """The service removes them when its first port opens, in a thread."""
        for factory in (FilesSite(self.share), FilesFactory(self.share)):
            (self.root / LEFT).write_bytes(b"half")
            factory.doStart()
            self.assertEqual(left_behind(self.root), [])
            factory.doStop()

    def test_stopped_before(self) -> None:
        """A service that stops meanwhile does not wait for it."""
        self.threads.wait = True
        self.share.start()
        self.share.stop()
        self.threads.work()
        self.assertTrue((self.root / ".tcpsuite-upload-0123456789abcdef").exists())

    def test_fails(self) -> None:
        """A root that cannot be searched is logged."""
        self.share.root.close()
        self.share.start()
        self.assertEqual(len(self.flushLoggedErrors()), 1)


class NoUploadsTests(FilesCase):
    uploads = False

    def test_not_swept(self) -> None:
        """Where nothing can be put, nothing is removed."""
        self.share.start()
        self.assertTrue((self.root / ".tcpsuite-upload-0123456789abcdef").exists())


class UploadTests(FilesCase):
    def test_of_two_firsts_one_is(self) -> None:
        """Of two that must be the first of their name, the later one is refused, and leaves nothing."""
        conditions = Conditions(if_none_match="*")
        one, two = (Upload(self.share.root, parse_path(b"new"), conditions) for _ in range(2))
        self.assertTrue(one.commit(None))
        self.assertEqual(self.assertRaises(ProtocolError, two.commit, None).code, "precondition")
        one.close()
        two.close()

    def test_became_a_directory(self) -> None:
        """A place that has become a directory meanwhile is not taken."""
        under_way = Upload(self.share.root, parse_path(b"new"))
        (self.root / "new").mkdir()
        self.assertEqual(self.assertRaises(ProtocolError, under_way.commit, None).code, "is-directory")
        under_way.close()

    def test_directory_gone(self) -> None:
        """A directory that is removed under an upload takes it along, without a traceback."""
        (self.root / "gone").mkdir()
        under_way = Upload(self.share.root, parse_path(b"gone/new"))
        for path in (self.root / "gone").iterdir():
            path.unlink()
        (self.root / "gone").rmdir()
        self.assertRaises(FileNotFoundError, under_way.commit, None)
        under_way.close()

    def test_cannot_be_made(self) -> None:
        """Where the system makes no file, nothing stays open."""
        before = len(os.listdir("/proc/self/fd"))
        self.patch(upload, "_NEW", os.O_WRONLY)
        error = self.assertRaises(ProtocolError, Upload, self.share.root, parse_path(b"new"))
        self.assertEqual(error.code, "not-found")
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_without_locks(self) -> None:
        """A file system without locks takes uploads all the same."""

        def no_locks(*_: object) -> None:
            raise OSError(95, "Operation not supported")

        self.patch(fcntl, "flock", no_locks)
        under_way = Upload(self.share.root, parse_path(b"new"))
        self.assertTrue(under_way.commit(None))
        under_way.close()
        self.assertEqual(sweep(self.share.root, lambda: False), 0)

    def test_written_in_parts(self) -> None:
        """A system that takes less than it is given is given the rest."""
        write = os.write
        self.patch(os, "write", lambda fd, data: write(fd, data[:2]))
        under_way = Upload(self.share.root, parse_path(b"new"))
        under_way.write(b"hello")
        self.assertTrue(under_way.commit(None))
        under_way.close()
        self.assertEqual((self.root / "new").read_bytes(), b"hello")

    def test_closed_under_a_write(self) -> None:
        """It is not closed while a thread writes, and nothing is written to it later."""
        began, go_on, write = threading.Event(), threading.Event(), os.write

        def slow_write(fd: int, data: bytes) -> int:
            began.set()
            go_on.wait(20)
            return write(fd, data)

        self.patch(os, "write", slow_write)
        under_way = Upload(self.share.root, parse_path(b"new"))
        writing = threading.Thread(target=under_way.write, args=(b"hello",))
        closing = threading.Thread(target=under_way.close)
        writing.start()
        began.wait(20)
        closing.start()
        closing.join(0.05)
        self.assertTrue(closing.is_alive())
        go_on.set()
        for thread in (writing, closing):
            thread.join(20)
        self.assertRaises(Closed, under_way.write, b"more")
        self.assertRaises(Closed, under_way.commit, None)
        under_way.close()


class UploadsTests(FilesCase):
    """So many at a time, and none waits for others to be gone."""

    def setUp(self) -> None:
        super().setUp()
        self.uploads_of_all = self.share.uploads
        self.bodies: list[Body] = []

    def begin(self) -> Deferred[bool]:
        body = Body(lambda: None, lambda: None)
        under_way = self.uploads_of_all.begin(parse_path(b"new%d" % len(self.bodies)))
        self.bodies.append(body)
        stored = Deferred.fromCoroutine(self.uploads_of_all.store(under_way, body, None))
        stored.addErrback(lambda failure: failure.trap(CancelledError, ProtocolError))
        return stored

    def test_bounded(self) -> None:
        """Those that are being removed count, too: a client that cuts its uploads gains nothing."""
        stored = [self.begin() for _ in range(MAX_UPLOADS)]
        self.threads.wait = True
        for body, one in zip(self.bodies, stored, strict=True):
            body.fail(ProtocolError("cut", "gone"))
            one.cancel()
        self.assertEqual(self.assertRaises(ProtocolError, self.begin).code, "busy")
        done, function, arguments = self.threads.waiting.pop(0)
        done.callback(function(*arguments))
        self.assertIs(self.successResultOf(stored[0]), CancelledError)
        self.begin()
        self.assertRaises(ProtocolError, self.begin)
        self.bodies[-1].end()
        self.threads.work()
        self.assertEqual(left_behind(self.root), [])
        self.assertTrue(repr(self.uploads_of_all).startswith("<Uploads 0 "))

    def test_cut_while_it_waits_for_a_thread(self) -> None:
        """What was to be written is let go at once, and removing it waits for no other upload."""
        self.threads.wait = True
        stored = [self.begin() for _ in range(WRITERS + 1)]
        for body in self.bodies:
            body.feed(b"data")
        self.assertEqual(len(self.threads.waiting), WRITERS)
        stored[-1].cancel()
        self.assertEqual(len(self.threads.waiting), WRITERS + CLOSERS)
        done, function, arguments = self.threads.waiting.pop()
        done.callback(function(*arguments))
        self.assertIs(self.successResultOf(stored[-1]), CancelledError)
        self.assertEqual(len(left_behind(self.root)), WRITERS)
        for body in self.bodies:
            body.end()
        self.threads.work()
        self.assertEqual((self.root / "new0").read_bytes(), b"data")

    def test_refused_at_once(self) -> None:
        """What cannot be put takes no place."""
        for _ in range(MAX_UPLOADS + 1):
            error = self.assertRaises(ProtocolError, self.uploads_of_all.begin, parse_path(b"sub"))
            self.assertEqual(error.code, "is-directory")
