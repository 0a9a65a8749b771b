"""A file that one process has to itself."""

from __future__ import annotations

import fcntl
import os

from tcpsuite.errors import StartError, StoreFailed


class Claim:
    """A file that nobody else may claim until this is released, or the process ends, however it ends.

    It lies on the file itself, with ``flock``: a stale one cannot be left behind, and SQLite's own locks,
    which are ``fcntl``'s, do not meet it.  Closing any descriptor of a file gives up all of a process's
    ``fcntl`` locks on it, though: release the claim after the database was closed.

    :param path: the file; it is made, with mode 0600, when it does not exist.
    :raises StartError: when it is claimed already.
    :raises OSError: when it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StartError("in use by another process") from None
        except OSError:
            os.close(self._descriptor)
            raise
        # The descriptor keeps the inode from being given to another file.
        self._status = os.fstat(self._descriptor)

    def __repr__(self) -> str:
        return f"<Claim {self.path}>"

    def make_private(self) -> None:
        """Let its owner alone read and write it, whoever could before."""
        os.fchmod(self._descriptor, 0o600)

    def check(self) -> None:
        """Make sure that the path still leads to the file.

        :raises StoreFailed: when the file was moved or removed, or another one has taken its place.
        """
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise StoreFailed(f"its file is gone: {error.strerror}") from None
        if not os.path.samestat(status, self._status):
            raise StoreFailed("its file is gone: another one has taken its place")

    def release(self) -> None:
        """Let others claim it; call it once."""
        os.close(self._descriptor)
