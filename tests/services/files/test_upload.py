"""What a crash leaves is removed, and nothing else."""

from __future__ import annotations

import fcntl
import os

from tcpsuite.core.conditions import Conditions
from tcpsuite.core.paths import parse_path
from tcpsuite.errors import ProtocolError
from tcpsuite.services.files import upload
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.files.upload import Upload, sweep
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
