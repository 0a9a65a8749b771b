"""Logging in."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from attrs import define
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tcpsuite.core.connections import Connection
from tcpsuite.core.passwords import PasswordHash
from tcpsuite.errors import LoginFailed, StartError
from tcpsuite.net.auth import (
    HASHES_AT_ONCE,
    HASHES_WAITING,
    Accounts,
    Authenticator,
    AuthOptions,
    IAccount,
    ScryptPasswordFile,
    set_password,
)
from tcpsuite.options import FilePath

if TYPE_CHECKING:
    from collections.abc import Callable

SALT = b64encode(b"salt").decode()


def entry(user: str, key: bytes = b"key", n: int = 2) -> str:
    """A line of a password file, cheap to check."""
    return f"{user}:scrypt${n}$1$1${SALT}${b64encode(key).decode()}\n"


def line(user: str, password: str) -> str:
    """A line of a password file with a password that is right."""
    return entry(user, hashlib.scrypt(password.encode(), salt=b"salt", n=2, r=1, p=1, dklen=32))


@define
class Password:
    """What a checker is asked."""

    username: bytes
    password: bytes


class PasswordFileTests(SynchronousTestCase):
    """The checker of a password file."""

    def setUp(self) -> None:
        """A file with one user, checked in no thread."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        self.path = folder / "passwords"
        self.path.write_text(line("alice", "sesame"))
        self.checker = ScryptPasswordFile(str(self.path), execute)
        self.checker.load()

    def check(self, user: str, password: str) -> bool:
        """Whether they are let in."""
        asked: Deferred[Any] = self.checker.requestAvatarId(Password(user.encode(), password.encode()))
        asked.addErrback(lambda failure: failure.trap(UnauthorizedLogin))
        outcome = self.successResultOf(asked)
        self.assertIn(outcome, (user.encode(), UnauthorizedLogin))
        return outcome is not UnauthorizedLogin

    def costs(self) -> list[int]:
        """Note the cost of each hash that is checked from now on, and find all wrong."""
        costs: list[int] = []

        def matches(entry: PasswordHash, password: str) -> bool:
            costs.append(entry.n)
            return False

        self.patch(PasswordHash, "matches", matches)
        return costs

    def fault(self) -> str:
        """What is wrong with the file."""
        return str(self.assertRaises(StartError, self.checker.load))

    def rewrite(self, text: str) -> None:
        """Replace the file, as an editor or ``set_password`` does."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)

    def test_is_a_checker(self) -> None:
        """It stands wherever ``twisted.cred`` takes a checker of names and passwords."""
        verifyObject(ICredentialsChecker, self.checker)
        self.assertEqual(self.checker.credentialInterfaces, (IUsernamePassword,))
        self.assertEqual(repr(self.checker), f"<ScryptPasswordFile {self.path} users=1>")

    def test_check(self) -> None:
        """The right password lets its user in, and no other does."""
        self.assertTrue(self.check("alice", "sesame"))
        self.assertFalse(self.check("alice", "Sesame"))
        self.assertFalse(self.check("alice", ""))
        self.assertFalse(self.check("bob", "sesame"))
        self.assertFalse(self.check("", ""))

    def test_changed_file(self) -> None:
        """A file that has changed counts from the next login on."""
        self.rewrite(line("bob", "opens"))
        self.assertTrue(self.check("bob", "opens"))
        self.assertFalse(self.check("alice", "sesame"))

    def test_unchanged_file(self) -> None:
        """A file that has not changed is not read again."""
        self.check("alice", "sesame")
        users = self.checker._users
        self.check("alice", "sesame")
        self.assertIs(self.checker._users, users)

    def test_fault_while_running(self) -> None:
        """A file that becomes malformed, or vanishes, changes nothing; the log says it once each."""
        with capturedLogs() as events:
            self.rewrite("nonsense\n")
            self.assertTrue(self.check("alice", "sesame"))
            self.assertTrue(self.check("alice", "sesame"))
            self.path.unlink()
            self.assertTrue(self.check("alice", "sesame"))
            self.assertTrue(self.check("alice", "sesame"))
        faults = [str(event["fault"]) for event in events if event["log_level"] is LogLevel.error]
        self.assertEqual(len(faults), 2)
        self.assertIn(f"{self.path}:1: expected user:scrypt", faults[0])
        self.assertEqual(faults[1], f"{self.path}: No such file or directory")

    def test_readable_again(self) -> None:
        """A change of the mode alone is a change: who may read the file at last does."""
        users = self.checker._users
        self.path.chmod(0o640)
        self.check("alice", "sesame")
        self.assertIsNot(self.checker._users, users)

    def test_no_file(self) -> None:
        """A folder is no password file; neither is a pipe, and nobody waits for its other end."""
        self.path.unlink()
        os.mkfifo(self.path)
        self.assertEqual(self.fault(), f"{self.path}: it is no ordinary file")
        self.path.unlink()
        self.path.mkdir()
        self.assertEqual(self.fault(), f"{self.path}: Is a directory")

    def test_faults_at_the_start(self) -> None:
        """Nothing starts with a file that is absent, malformed or no text; its path and line are told."""
        self.path.write_text("# users\nalice:plain\n")
        self.assertEqual(self.fault(), f"{self.path}:2: expected a hash of the form scrypt$n$r$p$salt$key")
        self.path.write_bytes(b"\xff\xfe")
        self.assertEqual(self.fault(), f"{self.path}: it is not UTF-8")
        self.path.unlink()
        self.assertEqual(self.fault(), f"{self.path}: No such file or directory")

    def test_unknown_users_cost_the_same(self) -> None:
        """For a user who does not exist a hash of the same cost is computed."""
        costs = self.costs()
        self.rewrite(entry("alice", n=64))
        self.check("alice", "x")
        self.check("nobody", "x")
        self.assertEqual(costs, [64, 64])

    def test_empty_file(self) -> None:
        """Nobody is in an empty file, and finding that out takes as long as ever."""
        costs = self.costs()
        self.path.write_text("")
        self.checker = ScryptPasswordFile(str(self.path), execute)
        self.checker.load()
        self.assertFalse(self.check("alice", "sesame"))
        self.assertEqual(costs, [2**14])


class HashesAtOnceTests(SynchronousTestCase):
    """How much work a crowd can cause."""

    def setUp(self) -> None:
        """A checker whose threads are held."""
        self.running: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        path = self.mktemp()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text(line("alice", "sesame"))
        self.checker = ScryptPasswordFile(path, self.run_held)
        self.checker.load()

    def run_held(self, function: Callable[[], Any]) -> Deferred[Any]:
        """A thread that is told when to run."""
        done: Deferred[Any] = Deferred()
        self.running.append((function, done))
        return done

    def finish(self) -> None:
        """Let the first thread finish."""
        function, done = self.running.pop(0)
        execute(function).chainDeferred(done)

    def ask(self) -> Deferred[Any]:
        """One login."""
        return self.checker.requestAvatarId(Password(b"alice", b"sesame"))

    def test_four_at_once(self) -> None:
        """Few hashes are computed at once; the next begins when one is done."""
        asked = [self.ask() for _ in range(HASHES_AT_ONCE + 1)]
        self.assertEqual(len(self.running), HASHES_AT_ONCE)
        self.finish()
        self.assertEqual(len(self.running), HASHES_AT_ONCE)
        self.assertEqual(self.successResultOf(asked[0]), b"alice")

    def test_leaving_makes_no_room(self) -> None:
        """Who leaves while its hash is computed does not make room for another one before it is done."""
        asked = [self.ask() for _ in range(HASHES_AT_ONCE)]
        for each in asked:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.ask()
        self.assertEqual(len(self.running), HASHES_AT_ONCE)

    def test_bounded_queue(self) -> None:
        """Past a bound, who would have to wait is refused at once."""
        for _ in range(HASHES_AT_ONCE + HASHES_WAITING):
            self.assertNoResult(self.ask())
        self.assertEqual(self.failureResultOf(self.ask(), LoginFailed).value.code, "limit")
        self.finish()
        self.assertNoResult(self.ask())


@implementer(ICredentialsChecker)
class Doorman:
    """A checker that lets those in whose password is their name."""

    credentialInterfaces = (IUsernamePassword,)
    busy = False

    def __init__(self) -> None:
        self.asked = 0

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See the class."""
        self.asked += 1
        if self.busy:
            return fail(LoginFailed("too many logins at once", "limit"))
        if credentials.username != credentials.password:
            return fail(UnauthorizedLogin())
        return succeed(credentials.username)


class AuthenticatorTests(SynchronousTestCase):
    """Logging in, whatever checks the password."""

    def setUp(self) -> None:
        """Three failures a minute."""
        self.clock = Clock()
        self.doorman = Doorman()
        self.authenticator = Authenticator(self.doorman, self.clock, failures_per_minute=3)

    def refused(self, user: str, password: str, host: str = "192.0.2.1") -> str:
        """Why they are not let in."""
        return str(self.failureResultOf(self.authenticator.login(user, password, host), LoginFailed).value)

    def test_login(self) -> None:
        """The right password gives the user's name, any characters in it."""
        for user in ("alice", "☃"):
            self.assertEqual(self.successResultOf(self.authenticator.login(user, user, "")), user)

    def test_repr(self) -> None:
        """It shows what it asks, and nobody's password."""
        self.assertEqual(repr(self.authenticator), f"<Authenticator {self.doorman!r}>")

    def test_accounts_only(self) -> None:
        """The realm has accounts and nothing else, and none without a name."""
        realm = Accounts()
        verifyObject(IRealm, realm)
        for asked in ((b"alice", None, IRealm), ((), None, IAccount)):
            self.assertRaises(NotImplementedError, realm.requestAvatar, *asked)
        interface, account, _ = realm.requestAvatar(b"alice", None, IRealm, IAccount)
        self.assertIs(interface, IAccount)
        verifyObject(IAccount, account)
        self.assertEqual(account.name, "alice")

    def test_refused_alike(self) -> None:
        """Whether it was the user or the password is not told."""
        self.assertEqual(self.refused("alice", "bob"), "the user or the password is not right")
        self.assertEqual(self.refused("nobody", "x"), "the user or the password is not right")

    def test_too_many_failures(self) -> None:
        """After so many failures an address is refused without a look at the password, others are not."""
        for _ in range(3):
            self.refused("alice", "bob")
        self.assertEqual(self.refused("alice", "alice"), "too many failed logins; try again in 20 s")
        self.assertEqual(self.doorman.asked, 3)
        self.successResultOf(self.authenticator.login("alice", "alice", "192.0.2.2"))
        self.clock.advance(20)
        self.successResultOf(self.authenticator.login("alice", "alice", "192.0.2.1"))

    def test_who_leaves_is_judged_by_what_was_tried(self) -> None:
        """A right password is no failure when its client leaves before it was checked; a wrong one is."""
        checks: list[Deferred[Any]] = []

        def slowly(credentials: Any) -> Deferred[Any]:
            checks.append(Deferred())
            return checks[-1]

        at_once = self.doorman.requestAvatarId
        self.patch(self.doorman, "requestAvatarId", slowly)
        for result in (*[b"alice"] * 4, *[Failure(UnauthorizedLogin())] * 3):
            left = self.authenticator.login("alice", "alice", "192.0.2.1")
            left.cancel()
            self.failureResultOf(left, CancelledError)
            checks[-1].callback(result)
        self.patch(self.doorman, "requestAvatarId", at_once)
        self.assertEqual(self.refused("alice", "alice"), "too many failed logins; try again in 20 s")

    def test_successes_do_not_count(self) -> None:
        """Logging in often is no failure; neither is coming at a busy time, nor a fault of the checker's."""
        for _ in range(10):
            self.successResultOf(self.authenticator.login("alice", "alice", "192.0.2.1"))
        self.doorman.busy = True
        for _ in range(10):
            self.assertEqual(self.refused("alice", "alice"), "too many logins at once")
        self.patch(self.doorman, "requestAvatarId", lambda _: fail(OSError()))
        for _ in range(10):
            self.failureResultOf(self.authenticator.login("alice", "alice", "192.0.2.1"), OSError)

    def connection(self, host: str, *, secure: bool = False) -> Connection:
        """A connection from there."""
        return Connection("1", host, host, "l", "session", 0.0, 0.0, secure=secure)

    def test_where_passwords_may_come_from(self) -> None:
        """This machine and TLS: there nobody listens.  The file may say that all others are fine too."""
        may = self.authenticator.may_use_password
        for host in ("", "127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(may(self.connection(host)), host)
        for host in ("192.0.2.1", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "localhost"):
            self.assertFalse(may(self.connection(host)), host)
            self.assertTrue(may(self.connection(host, secure=True)), host)
            lax = Authenticator(self.doorman, self.clock, allow_plaintext=True)
            self.assertTrue(lax.may_use_password(self.connection(host)), host)


@pytest_twisted.inlineCallbacks
def test_in_threads(tmp_path: Path):
    """An authenticator built from the options hashes in the reactor's threads, and waits for nobody."""
    path = str(tmp_path / "passwords")
    set_password(path, "alice", "open sesame")
    authenticator = Authenticator.build(AuthOptions(passwords=FilePath(path)), reactor)
    login = authenticator.login("alice", "open sesame", "192.0.2.1")
    assert not login.called
    assert (yield login) == "alice"
    with pytest.raises(LoginFailed):
        yield authenticator.login("alice", "wrong", "192.0.2.1")


def test_build_refuses(tmp_path: Path):
    """No authenticator is built on a file that is not there."""
    with pytest.raises(StartError, match="No such file"):
        Authenticator.build(AuthOptions(passwords=FilePath(str(tmp_path / "absent"))), reactor)
