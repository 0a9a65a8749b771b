"""Who logs in: passwords checked through ``twisted.cred``, failures limited by address.

The checker is a ``twisted.cred`` one behind a ``Portal``, so another may stand in its place.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, DeferredSemaphore, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import Attribute, Interface, implementer

from tcpsuite.core.lockout import FAILURES, Lockout
from tcpsuite.core.passwords import (
    COST,
    MAX_PASSWORD,
    SALT_BYTES,
    PasswordFileError,
    PasswordHash,
    decoy,
    hashed,
    is_password,
    is_user,
    parse_passwords,
    with_user,
)
from tcpsuite.errors import LoginFailed, StartError
from tcpsuite.net.heap import keep_one
from tcpsuite.net.login_turns import LoginTurns
from tcpsuite.net.shield import shield
from tcpsuite.options import FilePath, OptionError, between, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.core.connections import Connection

    InThread = Callable[[Callable[[], Any]], Deferred[Any]]

HASHES_AT_ONCE = 4
"""Threads that may hash at once: the reactor's pool has ten, and name resolution needs some of them."""
HASHES_WAITING = 100
"""Logins that may wait for these: some seconds of work.  Past it a login is refused at once."""


@frozen
class AuthOptions:
    """The ``[auth]`` table: who may log in, and how."""

    passwords: FilePath = option(
        FilePath(""), "The file of users and password hashes (tcpsuite passwd writes it); empty for none."
    )
    allow_plaintext: bool = option(
        False, "Whether a password may come without TLS from another machine, where others can read it."
    )
    failures_per_minute: int = option(
        FAILURES,
        "Failed logins a minute that one address may have; past it, each is refused at once.",
        check=between(1, 10_000),
    )


class IAccount(Interface):
    """Someone who has logged in: the avatar of our realm."""

    name = Attribute("The user's name.")


@implementer(IAccount)
@frozen
class Account:
    """See :class:`IAccount`."""

    name: str


@implementer(IRealm)
class Accounts:
    """The realm of those who have logged in."""

    def requestAvatar(self, avatarId: bytes | tuple[()], mind: object, *interfaces: Any) -> Any:
        """The account of that name."""
        if IAccount not in interfaces or not isinstance(avatarId, bytes):
            raise NotImplementedError("there are accounts only, and none without a name")
        return IAccount, Account(avatarId.decode()), lambda: None


@implementer(ICredentialsChecker)
class ScryptPasswordFile:
    """Checks passwords against a file of :mod:`tcpsuite.core.passwords`.

    The file is read again when it has changed.  One that has become unreadable or malformed meanwhile changes
    nothing: those who were in it stay, and the log says why, once.

    :param path: the file.
    :param in_thread: runs a function in a thread, and gives a Deferred of its result.
    """

    log = Logger()
    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, path: str, in_thread: InThread) -> None:
        self.path = path
        self._in_thread = in_thread
        self._hashing = DeferredSemaphore(HASHES_AT_ONCE)
        self._stamp: tuple[int, ...] = ()
        self._users: dict[str, PasswordHash] = {}
        self._nobody = decoy(*COST)

    def __repr__(self) -> str:
        return f"<ScryptPasswordFile {self.path} users={len(self._users)}>"

    def load(self) -> None:
        """Read the file; may block.

        :raises StartError: when it cannot be read, or is malformed: with its path and line.
        """
        self._stamp = self._stat()
        self._read()

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """Fires with the user's name, in UTF-8; fails with ``UnauthorizedLogin``, or with
        :class:`~tcpsuite.errors.LoginFailed`, with the code ``limit``, when too many wait already.
        """
        if len(self._hashing.waiting) >= HASHES_WAITING:
            return fail(LoginFailed("too many logins at once", "limit"))
        user = credentials.username.decode()
        work = partial(self._check, user, credentials.password.decode())
        # Who leaves meanwhile does not make room for one more hash: its thread is still at work.
        checked: Deferred[Any] = shield(self._hashing.run(self._in_thread, work))
        return checked.addCallback(self._decide, user)

    def _decide(self, outcome: tuple[bool, StartError | None], user: str) -> bytes:
        right, fault = outcome
        if fault is not None:
            self.log.error("the users stay as they were: {fault}", fault=fault)
        if not right:
            raise UnauthorizedLogin
        return user.encode()

    # What follows runs in threads, several at once: each attribute is replaced whole.

    def _check(self, user: str, password: str) -> tuple[bool, StartError | None]:
        fault = None
        try:
            stamp = self._stat()
            if stamp != self._stamp:
                self._stamp = stamp
                self._read()
        except StartError as error:
            fault = error
        return self._users.get(user, self._nobody).matches(password), fault

    def _stat(self) -> tuple[int, ...]:
        try:
            status = os.stat(self.path)
        except OSError:
            return ()  # reading it says why
        # The change time tells of a new mode or owner too: who could not be read perhaps can be now.
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _read(self) -> None:
        users = read_users(self.path)
        if users:
            # Whoever does not exist costs as much as the first who does.
            first = next(iter(users.values()))
            self._nobody = decoy(first.n, first.r, first.p)
        self._users = users


class Authenticator:
    """Logs users in, by name and password.

    :param checker: says whether a name and a password are right.
    :param clock: an ``IReactorTime``.
    :param failures_per_minute: failed logins that one address may have.
    :param allow_plaintext: whether passwords may come without TLS from other machines.
    """

    def __init__(
        self,
        checker: ICredentialsChecker,
        clock: IReactorTime,
        *,
        failures_per_minute: int = FAILURES,
        allow_plaintext: bool = False,
    ) -> None:
        self.allow_plaintext = allow_plaintext
        self._portal = Portal(Accounts(), [checker])
        self._turns = LoginTurns(Lockout(failures_per_minute), clock)
        self._checker = checker

    def __repr__(self) -> str:
        return f"<Authenticator {self._checker!r}>"

    @classmethod
    def build(cls, options: AuthOptions, reactor: Any) -> Authenticator:
        """One for the ``[auth]`` table, which names a password file.

        :raises StartError: when the file cannot be read, or is malformed.
        """
        in_thread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
        keep_one()  # a hash takes 16 MiB, in any of the ten threads of the pool
        checker = ScryptPasswordFile(options.passwords, in_thread)
        checker.load()
        return cls(
            checker,
            reactor,
            failures_per_minute=options.failures_per_minute,
            allow_plaintext=options.allow_plaintext,
        )

    def may_use_password(self, connection: Connection) -> bool:
        """May a password come on this connection?  Over TLS, from this machine, or if the file says so."""
        return self.allow_plaintext or is_private(connection)

    def login(self, user: str, password: str, host: str) -> Deferred[str]:
        """Log in.

        :param host: the address that failures are counted for; empty for a UNIX peer.
        :return: fires with the user's name; fails with :class:`~tcpsuite.errors.LoginFailed`, at once when
            the address has failed too often.  It takes as long for a user who does not exist.  No more of an
            address are checked at once than may be wrong yet: the others wait for their turn, in order.
        """
        return Deferred.fromCoroutine(self._login(user, password, host))

    async def _login(self, user: str, password: str, host: str) -> str:
        await self._turns.begin(host)
        # Who leaves from here on is judged all the same: by what it tried, not by its haste.
        return await shield(Deferred.fromCoroutine(self._check(user, password, host)))

    async def _check(self, user: str, password: str, host: str) -> str:
        credentials = UsernamePassword(user.encode(), password.encode())
        account: Any
        failed = False
        try:
            _, account, _ = await self._portal.login(credentials, None, IAccount)
        except UnauthorizedLogin:
            failed = True
            raise LoginFailed("the user or the password is not right") from None
        finally:
            self._turns.end(host, failed=failed)
        return str(account.name)


def set_password(path: str, user: str, password: str) -> bool:
    """Give ``user`` a new password in the file, which is made, with mode 0600, when it does not exist.

    The file is replaced in one step, so that who reads it sees the old one or the new one; its owner and mode
    stay.  Several processes may do so at once: each waits for the one before.

    :return: whether the user is new.
    :raises OptionError: when nobody can be called so, or it cannot be a password.
    :raises StartError: when the file cannot be read, or is malformed: with its path and line.
    :raises OSError: when it cannot be replaced.
    """
    if not is_user(user):
        raise OptionError(
            "a user of 1 to 64 printable ASCII characters but ':', not beginning with # or ~", user
        )
    if not is_password(password):
        raise OptionError(
            f"a password of 1 to {MAX_PASSWORD} bytes of UTF-8, on one line, not ending with CR",
            f"{len(password)} characters",
        )
    path, entry = os.path.realpath(path), hashed(password, os.urandom(SALT_BYTES))
    with _alone_in(os.path.dirname(path)):
        return _replace(path, user, entry)


def read_users(path: str) -> dict[str, PasswordHash]:
    """The users of a password file; may block.

    :raises StartError: when it cannot be read, or is malformed: with its path and line.
    """
    return _read(path)[1]


@contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Let nobody else change a password file of that folder.

    The file cannot be locked itself: it is replaced.

    :raises OSError: when there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: str, user: str, entry: PasswordHash) -> bool:
    status = os.stat(path) if os.path.exists(path) else None
    old, users = _read(path) if status is not None else ("", {})
    text = with_user(old, user, entry)
    # Made with mode 0600, beside the file, so that it can take its place.
    folder = os.path.dirname(path)
    with NamedTemporaryFile("w", encoding="utf-8", dir=folder, prefix=".passwords-", delete=False) as file:
        try:
            if status is not None:
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return user not in users


def _read(path: str) -> tuple[str, dict[str, PasswordHash]]:
    """The text of a password file, and the users in it.

    :raises StartError: when it cannot be read, or is malformed: with its path and line.
    """
    try:
        with open(path, encoding="utf-8", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StartError(f"{path}: it is no ordinary file")
            text = file.read()
        return text, parse_passwords(text)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except PasswordFileError as error:
        raise StartError(f"{path}:{error.line}: {error}") from None
    except UnicodeDecodeError:
        raise StartError(f"{path}: it is not UTF-8") from None


def _open_at_once(path: str, flags: int) -> int:
    # A pipe would wait for its other end.
    return os.open(path, flags | os.O_NONBLOCK)


def is_private(connection: Connection) -> bool:
    """Can nobody overhear it: does it come over TLS, or from this machine?"""
    if connection.secure or not connection.host:
        return True
    try:
        address = ip_address(connection.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
