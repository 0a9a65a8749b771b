"""Files on their way in: written beside their place, and put there in one step when they are whole.

An upload that is cut, refused or does not have the announced digest leaves nothing.  What a crash of the
process leaves is removed when the service starts: while anyone writes an upload it is locked (``flock``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
from contextlib import suppress
from hmac import compare_digest
from threading import Lock
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.defer import Deferred

from tcpsuite.core.conditions import Condition, Conditions, Validators
from tcpsuite.core.paths import Path
from tcpsuite.errors import Closed, LoginFailed, ProtocolError
from tcpsuite.net.auth import is_private
from tcpsuite.net.places import Places
from tcpsuite.net.shield import finished
from tcpsuite.services.files.root import TEMPORARY, Opened, Root, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.core.connections import Connection
    from tcpsuite.net.auth import Authenticator
    from tcpsuite.net.body import Body
    from tcpsuite.services.files.sums import InThread
    from tcpsuite.services.logins import Logins

WRITERS = 2
"""Threads that write uploads of one listener: more would only wait for the same disk."""
CLOSERS = 1
"""Threads that remove cut uploads: they wait for no other upload to reach the disk."""
MAX_UPLOADS = 64
"""Uploads of one listener at a time, with those that are being removed: 128 descriptors, 20 MiB of memory."""
UNCONDITIONAL = Conditions()
"""Whatever there is may be replaced."""

_TEMPORARY_NAME = re.compile(re.escape(TEMPORARY) + rb"[0-9a-f]{16}")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_placing = Lock()
"""Held while a place is judged and taken: of two uploads that must be the first, one is."""


@frozen
class UploadRights:
    """Who may put files, and how large they may be.

    :ivar authenticator: logs users in; ``None`` when nobody can.
    :ivar allow_plaintext: whether a secret may come from another machine without TLS.
    """

    enabled: bool
    max_size: int
    token: str
    authenticator: Authenticator | None
    allow_plaintext: bool = False

    async def login(self, user: str, password: str, connection: Connection, logins: Logins) -> None:
        """Log a user in.

        :param logins: those of the connection.
        :raises ProtocolError: ``login`` when it is not right, ``plaintext`` when it could be overheard,
            ``limit`` when the user is logged in on as many connections as one may be.
        """
        if self.authenticator is None:
            raise ProtocolError("login", "nobody can log in here")
        self._need_privacy(connection)
        try:
            name = await self.authenticator.login(user, password, connection.host)
        except LoginFailed as error:
            raise ProtocolError(error.code, str(error)) from None
        logins.enter(connection, name)

    def check_token(self, token: str, connection: Connection) -> None:
        """See whether the token is the right one.

        :raises ProtocolError: ``login`` when it is not, ``plaintext`` when it could be overheard.
        """
        self._need_privacy(connection)
        if not self.token or not compare_digest(token.encode(), self.token.encode()):
            raise ProtocolError("login", "the token is not right")

    def check_size(self, size: int) -> None:
        """See whether a file of so many bytes may be put.

        :raises ProtocolError: ``too-large``.
        """
        if size > self.max_size:
            raise ProtocolError("too-large", f"a file has at most {self.max_size} bytes here")

    def _need_privacy(self, connection: Connection) -> None:
        if not self.allow_plaintext and not is_private(connection):
            raise ProtocolError("plaintext", "a password or token is taken over TLS only")


class Upload:
    """One file that is being put.  All but its making may block: call it in a thread.

    Of two calls in two threads one waits for the other: a descriptor that was closed under a write would let
    the bytes go wherever its number leads by then.

    :param root: beneath which it is put.
    :param path: where; its directory exists.
    :param conditions: what must hold of the file that is there now, and still when it is replaced.
    :raises ProtocolError: ``is-directory``, ``forbidden``, ``not-found``, ``precondition``, ``no-space`` …
    """

    def __init__(self, root: Root, path: Path, conditions: Conditions = UNCONDITIONAL) -> None:
        self._conditions = conditions
        self._calling = Lock()
        self._open = True
        self._digest = hashlib.sha256()
        self._temporary: bytes | None
        self._directory, self._name = root.parent(path)
        try:
            self._judge()
            self._temporary, self._fd = _make_temporary(self._directory)
        except ProtocolError:
            os.close(self._directory)
            raise
        except OSError as error:
            os.close(self._directory)
            raise refusal(error) from None

    def write(self, data: bytes) -> None:
        """More of it.

        :raises Closed: it was let go.
        """
        with self._calling:
            self._need_open()
            self._digest.update(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]

    def commit(self, digest: bytes | None) -> bool:
        """That was all: make it durable, and put it in its place.

        :param digest: the SHA-256 that it must have, unless ``None``.
        :return: whether there was no such file before.
        :raises ProtocolError: ``digest``, when it has another; ``precondition``, ``is-directory``.
        :raises Closed: it was let go.
        """
        with self._calling:
            self._need_open()
            return self._put_in_place(digest)

    def close(self) -> None:
        """Let go of it; unless it was put in its place, nothing is left.  Safe to call twice."""
        with self._calling:
            if self._open:
                self._open = False
                self._let_go()

    def _need_open(self) -> None:
        if not self._open:
            raise Closed("this upload was let go")

    def _put_in_place(self, digest: bytes | None) -> bool:
        if digest is not None and digest != self._digest.digest():
            raise ProtocolError("digest", f"what arrived has the SHA-256 {self._digest.hexdigest()}")
        os.fchmod(self._fd, 0o644)
        os.fsync(self._fd)
        assert self._temporary is not None
        with _placing:
            new = self._judge()
            os.rename(self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._temporary = None
        os.fsync(self._directory)
        return new

    def _let_go(self) -> None:
        if self._temporary is not None:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._directory)
        os.close(self._fd)
        os.close(self._directory)

    def _judge(self) -> bool:
        """May the place be taken?  Returns whether it is free."""
        current = Validators()
        with suppress(FileNotFoundError):
            status = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                raise ProtocolError("is-directory", "there is a directory of that name")
            if not stat.S_ISREG(status.st_mode):
                raise ProtocolError("forbidden", "what has that name is no file")
            current = Opened(-1, status).validators
        if self._conditions.judge(current, reading=False) is not Condition.HOLDS:
            raise ProtocolError("precondition", "the file is not the one that was meant")
        return current.etag is None


def _make_temporary(directory: int) -> tuple[bytes, int]:
    """The name and descriptor of a new file, locked and still there.

    Before it is locked, a process that starts may take it for a leftover.
    """
    while True:
        name = TEMPORARY + secrets.token_hex(8).encode()
        fd = os.open(name, _NEW, mode=0o600, dir_fd=directory)
        if _lock(fd, directory, name):
            return name, fd
        os.close(fd)


def _lock(fd: int, directory: int, name: bytes) -> bool:
    """Whether a file is ours now, and not one that is being swept away."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: then nobody takes it for a leftover either.
        return True
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


class Uploads:
    """All uploads of a listener: so many at a time, in threads of their own.

    :param root: beneath which they are put.
    :param in_thread: calls a function with arguments in a thread, and gives a Deferred of its result.
    """

    def __init__(self, root: Root, in_thread: InThread) -> None:
        self._root = root
        self._writing = Places(in_thread, WRITERS)
        self._closing = Places(in_thread, CLOSERS)
        self._count = 0

    def __repr__(self) -> str:
        return f"<Uploads {self._count} writing={self._writing!r} closing={self._closing!r}>"

    def begin(self, path: Path, conditions: Conditions = UNCONDITIONAL) -> Upload:
        """Make an upload, which :meth:`store` must be given then.

        :raises ProtocolError: ``busy``, when there are too many; and as :class:`Upload` does.
        """
        if self._count >= MAX_UPLOADS:
            raise ProtocolError("busy", "too many files are being put; try again later")
        upload = Upload(self._root, path, conditions)
        self._count += 1
        return upload

    async def store(self, upload: Upload, body: Body, digest: bytes | None) -> bool:
        """Take a body to its place.

        Who is cancelled writes nothing that does not yet have a thread.

        :param digest: the SHA-256 that it must have, unless ``None``.
        :return: whether there was no such file before, once it is durable.
        :raises ProtocolError: when it is not stored, and nothing is left of it.
        """
        try:
            while data := await body.read():
                await self._writing.run(upload.write, data)
            new: bool = await self._writing.run(upload.commit, digest)
        except OSError as error:
            raise refusal(error) from None
        else:
            return new
        finally:
            await self._end(upload)

    async def sweep(self, unwanted: Callable[[], bool]) -> int:
        """Do as :func:`sweep` does, in a thread."""
        removed: int = await self._writing.run(sweep, self._root, unwanted)
        return removed

    async def _end(self, upload: Upload) -> None:
        """Let go of an upload, whoever gives up waiting for that; its place is free only then."""
        try:
            await finished(Deferred.fromCoroutine(self._closing.run(upload.close)))
        finally:
            self._count -= 1


def sweep(root: Root, unwanted: Callable[[], bool]) -> int:
    """Remove what uploads of processes that are no more have left beneath ``root``; blocks.

    Only regular files of our own user whose names are those of uploads, and that nobody has locked.

    :param unwanted: asked now and then whether to give up.
    :return: how many they were.
    """
    removed = 0
    with root.open(Path()) as top:
        for _, _, names, directory in os.fwalk(b".", dir_fd=top.fd):
            if unwanted():
                break
            for name in filter(_TEMPORARY_NAME.fullmatch, names):
                with suppress(OSError):
                    removed += _remove_abandoned(directory, name)
    return removed


def _remove_abandoned(directory: int, name: bytes) -> bool:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=directory)
        return True
    finally:
        os.close(fd)
