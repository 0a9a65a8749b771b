"""No path leaves the root."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.paths import parse_path
from tcpsuite.core.ranges import Span
from tcpsuite.errors import ProtocolError, StartError
from tcpsuite.net.pagecache import Extent
from tcpsuite.services.files.root import Entry, Root, refusal
from tests.support.files import CONTENT, HOSTILE, make_tree


def descriptors() -> int:
    """How many are open."""
    return len(os.listdir("/proc/self/fd"))


class RootCase(SynchronousTestCase):
    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.path = make_tree(Path(holder.name))
        self.root = Root(str(self.path))
        self.addCleanup(self.root.close)

    def refused(self, path: str) -> str:
        """The code with which a path is refused; nothing stays open."""
        before = descriptors()
        with self.assertRaises(ProtocolError) as caught:
            self.root.open(parse_path(path.encode()))
        self.assertEqual(descriptors(), before, path)
        code: str = caught.exception.code
        return code


class OpenTests(RootCase):
    def test_file(self) -> None:
        """A regular file is opened for reading, with its size, its time, and nothing else left open."""
        os.utime(self.path / "sub" / "inner", ns=(0, 1_234_567_890_123_456_789))
        before = descriptors()
        with self.root.open(parse_path(b"sub/inner")) as opened:
            self.assertFalse(opened.directory)
            self.assertEqual((opened.size, opened.modified), (5, 1234567890))
            self.assertEqual(os.pread(opened.fd, 100, 0), b"inner")
            self.assertEqual(descriptors(), before + 1)
        self.assertEqual(descriptors(), before)

    def test_directory(self) -> None:
        """A directory is opened, with a / at its end or without; so is the root."""
        for path in (b"", b"/", b"sub", b"sub/"):
            with self.root.open(parse_path(path)) as opened:
                self.assertTrue(opened.directory, path)

    def test_hostile(self) -> None:
        """Whatever leads elsewhere is refused, and no descriptor stays open."""
        for path in HOSTILE:
            self.assertIn(self.refused(path), {"bad-path", "not-found", "forbidden"}, path)

    def test_codes(self) -> None:
        """A refusal says why."""
        for path, code in {
            "nothing": "not-found",
            "sub/nothing/x": "not-found",
            "file/x": "not-found",
            "file/": "not-found",
            "link": "forbidden",
            "loop": "forbidden",
            "folderlink/secret": "forbidden",
            "sub/up/secret": "forbidden",
            "fifo": "forbidden",
            "socket": "forbidden",
            "../secret": "bad-path",
        }.items():
            self.assertEqual(self.refused(path), code, path)

    def test_names_of_any_bytes(self) -> None:
        """A name need not be text."""
        (self.path / os.fsdecode(b"\xff\xfe %")).write_bytes(b"odd")
        with self.root.open(parse_path(b"%FF%fe%20%25")) as opened:
            self.assertEqual(opened.size, 3)

    def test_swapped_for_a_link(self) -> None:
        """A directory that becomes a symbolic link is not followed, though it was a directory before."""
        with self.root.open(parse_path(b"sub/inner")):
            pass
        os.rename(self.path / "sub", self.path / "old")
        os.symlink(self.path.parent, self.path / "sub")
        self.assertEqual(self.refused("sub/secret"), "forbidden")

    def test_swapped_after_opening(self) -> None:
        """What was opened stays what it was, whatever takes its name."""
        with self.root.open(parse_path(b"file")) as opened:
            os.unlink(self.path / "file")
            os.symlink(self.path.parent / "secret", self.path / "file")
            self.assertEqual(os.pread(opened.fd, opened.size, 0), CONTENT)

    def test_moved_root(self) -> None:
        """A root that is moved is still the root; what takes its name is not."""
        os.rename(self.path, self.path.parent / "moved")
        os.symlink("/etc", self.path)
        with self.root.open(parse_path(b"file")) as opened:
            self.assertEqual(opened.size, len(CONTENT))
        self.assertEqual(self.refused("passwd"), "not-found")

    @skipIf(os.geteuid() == 0, "root may read everything")
    def test_not_permitted(self) -> None:
        """What the system does not permit is forbidden."""
        (self.path / "file").chmod(0)
        self.assertEqual(self.refused("file"), "forbidden")

    def test_not_there(self) -> None:
        """A root that is not there, or is a file, cannot be served; the error names it."""
        for name in ("nothing", "file"):
            path = str(self.path / name)
            error = self.assertRaises(StartError, Root, path)
            self.assertIn(path, str(error))

    def test_lives_as_long_as_it_is_wanted(self) -> None:
        """The root's descriptor is closed when nobody has the root any more."""
        before = descriptors()
        root = Root(str(self.path))
        self.assertEqual(descriptors(), before + 1)
        del root
        self.assertEqual(descriptors(), before)
        root = Root(str(self.path))
        root.close()
        root.close()
        self.assertEqual(descriptors(), before)

    def test_repr(self) -> None:
        """A root says where it is."""
        self.assertEqual(repr(self.root), f"<Root {self.path}>")


class ReadTests(RootCase):
    def test_extent(self) -> None:
        """A span of a file is that of its descriptor."""
        with self.root.open(parse_path(b"file")) as opened:
            self.assertEqual(opened.extent(Span(1, 5)), Extent(opened.fd, 1, 5))

    def test_validators(self) -> None:
        """The entity tag is strong, and changes with the file."""
        tags = set()
        for change in (0, 1, 2):
            os.utime(self.path / "file", ns=(0, change))
            with self.root.open(parse_path(b"file")) as opened:
                self.assertRegex(opened.validators.etag or "", '^"[0-9a-f-]+"$')
                tags.add(opened.validators.etag)
        self.assertEqual(len(tags), 3)

    def test_written_in_place(self) -> None:
        """Who writes into a file and sets its time back has made another version of it."""
        status = (self.path / "file").stat()
        with self.root.open(parse_path(b"file")) as before:
            while (self.path / "file").stat().st_ctime_ns == status.st_ctime_ns:
                # The kernel's clock ticks some hundred times a second.
                os.utime(self.path / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
            with self.root.open(parse_path(b"file")) as after:
                self.assertEqual(after.status.st_mtime_ns, before.status.st_mtime_ns)
                self.assertNotEqual(after.version, before.version)
                self.assertNotEqual(after.validators.etag, before.validators.etag)

    def test_before_1970(self) -> None:
        """A time before 1970 is negative, and a second begins before its fractions."""
        os.utime(self.path / "file", ns=(0, -1))
        with self.root.open(parse_path(b"file")) as opened:
            self.assertEqual(opened.modified, -1)
        with self.root.open(parse_path(b"")) as opened:
            self.assertIn(Entry(b"file", directory=False, size=1000, modified=-1), opened.entries())

    def test_entries(self) -> None:
        """A listing shows what can be asked for: no links, no unfinished uploads, nothing special."""
        os.utime(self.path / "file", (0, 77))
        with self.root.open(parse_path(b"")) as opened:
            looked_at = list(opened.entries())
        entries = {entry.name: entry for entry in looked_at if entry is not None}
        self.assertEqual(len(looked_at), len(os.listdir(self.path)))
        self.assertEqual(set(entries), {b"file", b"sub"})
        self.assertEqual(entries[b"file"], Entry(b"file", directory=False, size=1000, modified=77))
        self.assertTrue(entries[b"sub"].directory)

    def test_gone_while_listed(self) -> None:
        """A name that is gone before it is looked at is left out."""
        for number in range(3):
            (self.path / "sub" / str(number)).touch()
        with self.root.open(parse_path(b"sub")) as opened:
            entries = opened.entries()
            found = [next(filter(None, entries)).name]
            for name in os.listdir(self.path / "sub"):
                if os.fsencode(name) not in found:
                    os.unlink(self.path / "sub" / name)
            self.assertEqual(set(entries), {None})

    def test_listing_left_alone(self) -> None:
        """A listing that nobody wants any more leaves no descriptor open."""
        before = descriptors()
        with self.root.open(parse_path(b"")) as opened:
            entries = opened.entries()
            next(entries)
            entries.close()
        self.assertEqual(descriptors(), before)


class RefusalTests(SynchronousTestCase):
    def test_codes(self) -> None:
        """What the system says becomes a code; what is no fault of the client's is ``unavailable``."""
        for number, code in {
            errno.ENOENT: "not-found",
            errno.EACCES: "forbidden",
            errno.ENOSPC: "no-space",
            errno.EMFILE: "unavailable",
            errno.EIO: "unavailable",
        }.items():
            self.assertEqual(refusal(OSError(number, "x")).code, code)
        self.assertEqual(refusal(OSError()).code, "unavailable")
