"""Logins that come together."""

from __future__ import annotations

from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.lockout import Lockout
from tcpsuite.errors import LoginFailed
from tcpsuite.net.auth import Authenticator
from tcpsuite.net.login_turns import WAITING, LoginTurns


@implementer(ICredentialsChecker)
class SlowDoorman:
    """Lets those in whose password is their name, when it is told to look.

    :ivar asked: whom it has been asked about, in that order.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._held: list[tuple[Any, Deferred[Any]]] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """See the class."""
        self.asked.append(credentials.username.decode())
        self._held.append((credentials, Deferred()))
        return self._held[-1][1]

    def look(self) -> bool:
        """Look at the first; whether there was one."""
        if not self._held:
            return False
        credentials, answer = self._held.pop(0)
        right = credentials.username == credentials.password
        answer.callback(credentials.username if right else Failure(UnauthorizedLogin()))
        return True

    def look_at_all(self) -> None:
        """Look at all, also at who comes meanwhile."""
        while self.look():
            pass


class LoginsAtOnceTests(SynchronousTestCase):
    """Many logins of one address, before the first is judged."""

    def setUp(self) -> None:
        """Ten failures a minute, as ever."""
        self.clock = Clock()
        self.doorman = SlowDoorman()
        self.authenticator = Authenticator(self.doorman, self.clock)

    def login(self, user: str, password: str, host: str = "192.0.2.1") -> Deferred[str]:
        """One login."""
        return self.authenticator.login(user, password, host)

    def refusal(self, login: Deferred[str]) -> tuple[str, str]:
        """The code and the text."""
        error = self.failureResultOf(login, LoginFailed).value
        return error.code, str(error)

    def test_right_ones_wait(self) -> None:
        """Any number of right ones pass, ten at once, in their order: none is a failure."""
        users = [f"user{number}" for number in range(10 + WAITING)]
        logins = [self.login(user, user) for user in users]
        self.assertEqual(self.doorman.asked, users[:10])
        self.doorman.look_at_all()
        self.assertEqual([self.successResultOf(login) for login in logins], users)
        self.assertEqual(self.doorman.asked, users)

    def test_wrong_ones_at_once(self) -> None:
        """Of a hundred wrong ones at once ten are checked; the others are refused when these have failed."""
        logins = [self.login("alice", "guess") for _ in range(100)]
        self.assertEqual(len(self.doorman.asked), 10)
        self.doorman.look_at_all()
        self.assertEqual(len(self.doorman.asked), 10)
        told = [self.refusal(login)[1] for login in logins]
        self.assertEqual(set(told[:10]), {"the user or the password is not right"})
        self.assertEqual(set(told[10:]), {"too many failed logins; try again in 6 s"})

    def test_wrong_ones_on_and_on(self) -> None:
        """Whoever guesses on and on, thirty at once each second, has ten tries, and ten more a minute."""
        for _ in range(5 * 60):
            logins = [self.login("alice", "guess") for _ in range(30)]
            self.doorman.look_at_all()
            for login in logins:
                self.failureResultOf(login, LoginFailed)
            self.clock.advance(1)
        self.assertIn(len(self.doorman.asked), (10 + 49, 10 + 50))

    def test_right_ones_between_wrong_ones(self) -> None:
        """Right ones pass between wrong ones, until so many of these have failed as may."""
        logins = [self.login("alice", password) for password in ["guess", "alice"] * 15]
        self.doorman.look_at_all()
        good = sum(not isinstance(login.result, Failure) for login in logins)
        self.assertEqual((good, len(self.doorman.asked)), (9, 19))
        self.assertEqual(self.refusal(logins[-1]), ("login", "too many failed logins; try again in 6 s"))
        for login in logins:
            login.addErrback(lambda failure: failure.trap(LoginFailed))

    def test_another_address(self) -> None:
        """However long the line of one address is, others do not stand in it."""
        for _ in range(10 + WAITING):
            self.login("alice", "alice")
        self.login("bob", "bob", "192.0.2.2")
        self.assertEqual(self.doorman.asked[10:], ["bob"])
        self.doorman.look_at_all()

    def test_too_many_wait(self) -> None:
        """Past a bound, who would have to wait is refused at once, which is no failure, nor called one."""
        logins = [self.login("alice", "alice") for _ in range(10 + WAITING)]
        self.assertEqual(self.refusal(self.login("alice", "alice")), ("limit", "too many logins at once"))
        self.doorman.look()
        logins.append(self.login("alice", "alice"))
        self.doorman.look_at_all()
        self.assertEqual([self.successResultOf(login) for login in logins], ["alice"] * (11 + WAITING))

    def test_who_leaves_the_line(self) -> None:
        """Who leaves before the turn has come is not tried, and makes room for another one to wait."""
        logins = [self.login("alice", "alice") for _ in range(10 + WAITING)]
        for login in logins[10:]:
            login.cancel()
            self.failureResultOf(login, CancelledError)
        last = self.login("bob", "bob")
        self.doorman.look_at_all()
        self.assertEqual(self.doorman.asked, ["alice"] * 10 + ["bob"])
        self.assertEqual(self.successResultOf(last), "bob")

    def test_time_makes_room_for_the_first_in_line(self) -> None:
        """Who comes when there is room again does not pass by those who wait."""
        logins = [self.login("alice", "guess") for _ in range(10)]
        for login in logins[:5]:
            self.doorman.look()
            self.refusal(login)
        late = [self.login("first", "x")]
        self.clock.advance(12)
        late += [self.login("second", "x"), self.login("third", "x")]
        self.assertEqual(self.doorman.asked[10:], ["first", "second"])
        self.doorman.look_at_all()
        for login in logins[5:] + late:
            self.refusal(login)


class LoginTurnsTests(SynchronousTestCase):
    """The line itself."""

    def setUp(self) -> None:
        """One failure a minute, so one at a time."""
        self.turns = LoginTurns(Lockout(failures=1), Clock())

    def test_long_line_that_ends_at_once(self) -> None:
        """A line of logins of which each ends as soon as it begins is no deep call."""
        depths: list[int] = []
        deep = 0

        def try_it(_: object) -> None:
            nonlocal deep
            deep += 1
            depths.append(deep)
            self.turns.end("", failed=False)
            deep -= 1

        self.turns.begin("")
        for _ in range(WAITING):
            self.turns.begin("").addCallback(try_it)
        self.turns.end("", failed=False)
        self.assertEqual(depths, [1] * WAITING)

    def test_nothing_is_left(self) -> None:
        """Nothing is kept of an address for which nobody waits; the repr tells how many do."""
        self.turns.begin("192.0.2.1")
        waiting = self.turns.begin("::ffff:192.0.2.1")
        self.assertEqual(repr(self.turns), "<LoginTurns waiting=1 <Lockout 0 failed, 1 under way>>")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.turns._lines, {})
        self.turns.end("192.0.2.1", failed=False)
        self.assertEqual(repr(self.turns), "<LoginTurns waiting=0 <Lockout 0 failed, 0 under way>>")
