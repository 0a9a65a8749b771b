"""Trees of files, shares of them, and clients, for the tests of the file service."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.connections import Connection
from tcpsuite.net.auth import Authenticator
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.pagecache import PageCache
from tcpsuite.services.files.http import FilesSite
from tcpsuite.services.files.lines import FilesFactory
from tcpsuite.services.files.root import Root
from tcpsuite.services.files.share import Share
from tcpsuite.services.files.sums import Sums
from tcpsuite.services.files.upload import UploadRights, Uploads
from tcpsuite.services.patience import Patience

TOKEN = "a token of some length"
CONTENT = b"0123456789" * 100
SECRET = b"what nobody may read"

HOSTILE = [
    "..", "../secret", "/../secret", "../../../../etc/passwd", "sub/../../secret", "./../secret", "sub/..",
    "%2e%2e/secret", "%2E%2E/secret", ".%2e/secret", "..%2fsecret", "%2e%2e%2fsecret",
    "sub%2f..%2f..%2fsecret",
    "%252e%252e/secret", "%c0%ae%c0%ae/secret", "..%5csecret", "..;/secret", "....//secret", "//etc/passwd",
    "%2fetc%2fpasswd", "file%00", "%00", "sub/%00/../../secret", "link", "link/", "folderlink/secret",
    "sub/up/secret", "loop", "loop/loop", "fifo", "socket", "file/", "file/.", "file/x",
    "a" * 256, "a/" * 3000,
    "%zz", "%", "%2", "%ff%fe", ".tcpsuite-upload-0123456789abcdef", "sub/.tcpsuite-upload-x", "sub//inner",
]  # fmt: skip
"""Paths that lead out of the root, to what is no file, or nowhere; a FIFO would hold who opens it."""


def make_tree(folder: Path) -> Path:
    """A root with files, folders and traps in it, and a secret beside it."""
    root = folder / "root"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(CONTENT)
    (root / "sub" / "inner").write_bytes(b"inner")
    (folder / "secret").write_bytes(SECRET)
    (root / "link").symlink_to(folder / "secret")
    (root / "folderlink").symlink_to(folder)
    (root / "sub" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as trap:
        here = os.getcwd()
        os.chdir(root)  # the name of a socket is short
        try:
            trap.bind("socket")
        finally:
            os.chdir(here)
    (root / ".tcpsuite-upload-0123456789abcdef").write_bytes(SECRET)
    return root


def left_behind(root: Path) -> list[str]:
    """What unfinished uploads have left in a tree that had none."""
    return [str(path) for path in root.rglob(".tcpsuite-upload-*") if path.name[-16:] != "0123456789abcdef"]


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def drop(fd: int) -> bool:
    """Drop a file from the page cache, where that can be done; whether its beginning is gone."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        return not os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
    except OSError:
        return True


class Threads:
    """Threads that work at once, or when they are told to."""

    def __init__(self) -> None:
        self.wait = False
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call it, in no thread at all."""
        if not self.wait:
            return maybeDeferred(function, *arguments)
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, function, arguments))
        return done

    def work(self) -> None:
        """Do what waits, and what that brings."""
        self.wait = False
        while self.waiting:
            done, function, arguments = self.waiting.pop(0)
            maybeDeferred(function, *arguments).chainDeferred(done)


class FilesCase(SynchronousTestCase):
    """A share of a tree of files."""

    uploads = True
    listing = True
    max_upload = 10_000

    def setUp(self) -> None:
        """A tree, a share, and a clock that stands still."""
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = make_tree(Path(holder.name))
        self.clock = Clock()
        self.threads = Threads()
        self.users = InMemoryUsernamePasswordDatabaseDontUse(ada=b"open sesame")
        self.authenticator = Authenticator(self.users, self.clock)
        self.share = self.make_share()
        self.addCleanup(self.share.root.close)

    def make_share(self) -> Share:
        """What is shared."""
        root = Root(str(self.root))
        return Share(
            root,
            Sums(self.threads, lambda: 2e9),
            Uploads(root, self.threads),
            UploadRights(self.uploads, self.max_upload, TOKEN, self.authenticator),
            self.listing,
            self.threads,
            PageCache(self.threads),
            self.clock,
            Patience(Deadlines(self.clock)),
            lambda: 2e9,
        )

    def tearDown(self) -> None:
        """Nothing is left of any upload, and no timer."""
        self.assertEqual(left_behind(self.root), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Client:
    """One connection to a factory of the file service, on a transport of strings."""

    def __init__(self, case: FilesCase, factory: FilesSite | FilesFactory, host: str = "127.0.0.1") -> None:
        self.case = case
        self.record = Connection("1", f"{host}:4711", host, "web", "files", 0.0, 0.0)
        self.transport = StringTransport()
        self.protocol: Any = factory.buildProtocol(None)
        self.protocol.connection = self.record
        self.protocol.makeConnection(self.transport)
        self.lost = False
        case.addCleanup(self.lose)

    def say(self, data: bytes) -> bytes:
        """What is answered to ``data``, when all turns of the reactor that it takes are over."""
        self.protocol.dataReceived(data)
        return self.answer()

    def answer(self) -> bytes:
        """What was answered since this was last asked."""
        self.case.clock.advance(0)
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def lose(self, fault: Exception | None = None) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            if self.transport.producer is not None:
                self.transport.producer.stopProducing()
            self.protocol.connectionLost(Failure(fault or ConnectionDone()))
