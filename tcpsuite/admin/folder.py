"""The folder of the manhole: ours alone, and one process's at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tcpsuite.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator


def folder_of(state_directory: str) -> Path:
    """Where the manhole's socket, lock and host key lie."""
    return Path(state_directory, "manhole")


def secure(folder: Path) -> None:
    """See that ``folder`` is there, is ours, and can be entered by nobody else.

    :raises StartError: naming it, when it is a link, is another user's, or cannot be made.
    """
    with _opened(folder):
        pass


def claim(folder: Path) -> int:
    """Take ``folder`` for this process, after :func:`secure`.

    :return: a descriptor; closing it, or the end of the process, however it comes, gives the folder up.
    :raises StartError: as :func:`secure` does, or when another process has the folder.
    """
    with _opened(folder) as directory:
        lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=directory)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StartError(f"manhole: another process holds {folder / 'lock'}") from None
        except BaseException:
            os.close(lock)
            raise
    return lock


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A descriptor of the folder: what was looked at is then what is used."""
    directory = -1
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        owner = os.fstat(directory).st_uid
        if owner != os.geteuid():
            raise StartError(f"manhole: {folder} belongs to user {owner}, not to {os.geteuid()}")
        os.fchmod(directory, 0o700)
        yield directory
    except OSError as error:
        why = "is a link, or no folder" if folder.is_symlink() else error.strerror
        raise StartError(f"manhole: {folder}: {why}") from error
    finally:
        if directory >= 0:
            os.close(directory)
