"""A directory that no path leaves.

Every name of a path is opened beneath the directory that the name before it gave (``openat``), and no
symbolic link is ever followed.  What was opened is then looked at through its descriptor: between check and
use there is nothing that could change.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, frozen

from tcpsuite.core.conditions import Validators
from tcpsuite.errors import ProtocolError, StartError
from tcpsuite.net.pagecache import Extent

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from types import TracebackType

    from tcpsuite.core.paths import Path
    from tcpsuite.core.ranges import Span

TEMPORARY = b".tcpsuite-upload-"
"""What the names of unfinished uploads begin with: no path leads there, and no listing shows them."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO without a writer must not hold us, and a terminal must not become ours.
_ANYTHING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_CODES = {
    errno.ENOENT: ("not-found", "there is no such file"),
    errno.ENOTDIR: ("not-found", "there is no such file"),
    errno.ELOOP: ("forbidden", "symbolic links are not followed"),
    errno.EACCES: ("forbidden", "the system does not permit it"),
    errno.EPERM: ("forbidden", "the system does not permit it"),
    errno.EROFS: ("forbidden", "the file system cannot be written to"),
    errno.ENXIO: ("forbidden", "it is neither a file nor a directory"),
    errno.ENAMETOOLONG: ("bad-path", "a name is too long"),
    errno.EISDIR: ("is-directory", "it is a directory"),
    errno.ENOTEMPTY: ("is-directory", "it is a directory"),
    errno.ENOSPC: ("no-space", "there is no space left"),
    errno.EDQUOT: ("no-space", "there is no space left"),
    errno.EFBIG: ("no-space", "the file system takes no file of that size"),
}


def refusal(error: OSError) -> ProtocolError:
    """What a client is told of a system call that failed: ``unavailable`` for what is no doing of its own."""
    code, text = _CODES.get(error.errno or 0, ("unavailable", "the file system failed"))
    return ProtocolError(code, text)


@frozen
class Entry:
    """One name in a directory."""

    name: bytes
    directory: bool
    size: int
    modified: int
    """Seconds since the epoch."""


@define(eq=False)
class Opened:
    """An open file or directory; whoever has it closes it."""

    fd: int
    status: os.stat_result

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def directory(self) -> bool:
        """Whether it is a directory; a regular file otherwise."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self.status.st_size

    @property
    def modified(self) -> int:
        """Seconds since the epoch."""
        return _seconds(self.status)

    @property
    def version(self) -> tuple[int, int, int, int, int]:
        """What changes when the file's bytes do.

        Who writes into a file may set its time of modification back (``rsync --inplace -t``), but not its
        time of change.  That a ``chmod`` or a new hard link counts as a new version costs a transfer; the
        other way round, a download that is resumed could be made of two files.
        """
        status = self.status
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    @property
    def validators(self) -> Validators:
        """What HTTP tells this version from another by."""
        _, inode, size, modified, changed = self.version
        return Validators(f'"{inode:x}-{size:x}-{modified:x}-{changed:x}"', self.modified)

    def close(self) -> None:
        """Let go of it; once."""
        os.close(self.fd)

    def extent(self, span: Span) -> Extent:
        """A part of a file, for as long as it is open."""
        return Extent(self.fd, span.start, span.stop)

    def entries(self) -> Generator[Entry | None, None, None]:
        """What the directory holds, in the order in which the system gives it; ``None`` for each name that no
        client may ask for, so that whoever takes turns can count what was looked at.
        """
        with os.scandir(self.fd) as scan:
            yield from map(_entry, scan)


class Root:
    """The directory beneath which everything is found.

    It is the directory that was opened: when it is moved it is still served, and what takes its name is not.
    Its descriptor is closed by :meth:`close`, or when nobody has this object any more.

    :raises StartError: when it is not there, is no directory, or may not be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StartError(f"root {path}: {error.strerror}") from None
        self._closing = weakref.finalize(self, os.close, self._fd)

    def __repr__(self) -> str:
        return f"<Root {self.path}>"

    def close(self) -> None:
        """Open nothing more; what is open stays so.  Safe to call twice."""
        self._closing()

    def open(self, path: Path) -> Opened:
        """The regular file or the directory of that path.

        :raises ProtocolError: ``not-found``, ``forbidden``, ``bad-path`` or ``unavailable``.
        """
        *above, last = path.names or (b".",)
        directory = self._directory(above)
        try:
            opened = _look(_open(directory, last, _ANYTHING))
        finally:
            os.close(directory)
        if path.slash and not opened.directory:
            opened.close()
            raise ProtocolError("not-found", "it is a file, not a directory")
        return opened

    def parent(self, path: Path) -> tuple[int, bytes]:
        """The directory in which the last name of a path is or would be: its descriptor, which the caller
        closes, and that name.

        :raises ProtocolError: as :meth:`open`; ``is-directory`` when the path can be no file's.
        """
        if not path.names or path.slash:
            raise ProtocolError("is-directory", "this is the path of a directory")
        _check(path.names[-1])
        return self._directory(path.names[:-1]), path.names[-1]

    def _directory(self, names: Iterable[bytes]) -> int:
        """Open one directory beneath the other; the caller closes the last."""
        directory = _open(self._fd, b".", _DIRECTORY)
        for name in names:
            try:
                inner = _open(directory, name, _DIRECTORY)
            finally:
                os.close(directory)
            directory = inner
        return directory


def _open(directory: int, name: bytes, flags: int) -> int:
    _check(name)
    try:
        return os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ENOTDIR and _is_link(directory, name):
            # O_DIRECTORY does not tell a link from a file.
            error.errno = errno.ELOOP
        raise refusal(error) from None


def _is_link(directory: int, name: bytes) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    return False


def _check(name: bytes) -> None:
    if name.startswith(TEMPORARY):
        raise ProtocolError("not-found", "there is no such file")


def _look(fd: int) -> Opened:
    """See what was opened."""
    opened = Opened(fd, os.fstat(fd))
    if opened.directory or stat.S_ISREG(opened.status.st_mode):
        return opened
    opened.close()
    raise ProtocolError("forbidden", "it is neither a file nor a directory")


def _seconds(status: os.stat_result) -> int:
    """The second in which a file was modified; before 1970 it is negative."""
    return status.st_mtime_ns // 10**9


def _entry(item: os.DirEntry[str]) -> Entry | None:
    """What a listing says of a name; ``None`` for what nobody may ask for, or what is gone by now."""
    name = os.fsencode(item.name)
    if name.startswith(TEMPORARY):
        return None
    try:
        status = item.stat(follow_symlinks=False)
    except OSError:
        return None
    directory = stat.S_ISDIR(status.st_mode)
    if not directory and not stat.S_ISREG(status.st_mode):
        return None
    return Entry(name, directory, 0 if directory else status.st_size, _seconds(status))
