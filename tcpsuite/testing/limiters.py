"""What every :class:`~tcpsuite.interfaces.ILimiter` keeps to."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from zope.interface.verify import verifyObject

from tcpsuite.interfaces import ILimiter, Verdict

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase

    Case = SynchronousTestCase
else:
    Case = object

CLIENT = "192.0.2.1"
OTHERS = ("192.0.2.2", "198.51.100.1", "2001:db8:1::1", "2001:db8:2::1")
STRANGE = (
    "",
    "127.0.0.1",
    "::1",
    "::ffff:192.0.2.9",
    "fe80::1%eth0",
    "no address",
    "\N{SNOWMAN}",
    "x" * 1000,
)
DAY = 86400.0


class LimiterContract(Case):
    """Mix into a ``SynchronousTestCase``, and give ``make_limiter``.

    :cvar connections: how many connections at a time the limiter that is made allows each client (the
        addresses of the documentation networks); any rate that it limits must leave room for a thousand
        connections at one moment.
    :cvar logins: on how many connections at a time it allows each user to be logged in.
    """

    connections: int
    logins: int

    def make_limiter(self) -> ILimiter:
        """A limiter that has counted nothing yet."""
        raise NotImplementedError

    def _admit(self, limiter: ILimiter, client: str = CLIENT, now: float = 0.0) -> Verdict:
        verdict = limiter.admit(client, now)
        self.assertTrue(verdict.allowed, verdict)
        return verdict

    def _fill(self, limiter: ILimiter, client: str = CLIENT) -> list[Verdict]:
        verdicts = [self._admit(limiter, client) for _ in range(self.connections)]
        self.assertFalse(limiter.admit(client, 0.0).allowed)
        return verdicts

    def test_provides_the_interface(self) -> None:
        """It has all that the interface asks for."""
        self.assertTrue(verifyObject(ILimiter, self.make_limiter()))

    def test_allows_up_to_its_limit(self) -> None:
        """A client may have as many connections as the limit says, and not one more."""
        self._fill(self.make_limiter())

    def test_verdict_of_an_admission(self) -> None:
        """An admission names no limit that refused, and nothing to wait for, but whom it counts for."""
        verdict = self._admit(self.make_limiter())
        self.assertEqual((verdict.limit, verdict.reason, verdict.retry_after), ("", "", 0.0))
        self.assertTrue(verdict.key)

    def test_verdict_of_a_refusal(self) -> None:
        """A refusal says by which limit, and why, and never to come back in the past."""
        limiter = self.make_limiter()
        self._fill(limiter)
        verdict = limiter.admit(CLIENT, 0.0)
        self.assertTrue(verdict.limit)
        self.assertTrue(verdict.reason)
        self.assertGreaterEqual(verdict.retry_after, 0.0)

    def test_users(self) -> None:
        """A user may be logged in as often as the limit says, and not once more; each end makes room for one,
        however often it is told.
        """
        limiter = self.make_limiter()
        verdicts = [limiter.admit_user("ann", 0.0) for _ in range(self.logins)]
        self.assertTrue(all(verdict.allowed for verdict in verdicts), verdicts)
        refused = limiter.admit_user("ann", 0.0)
        self.assertFalse(refused.allowed)
        self.assertTrue(refused.limit and refused.reason, refused)
        for verdict in (refused, verdicts[0], verdicts[0]):
            limiter.release(verdict)
        self.assertTrue(limiter.admit_user("ann", 0.0).allowed)
        self.assertFalse(limiter.admit_user("ann", 0.0).allowed)

    def test_users_are_no_clients(self) -> None:
        """Neither other users nor clients have less for what a user has, nor the user for what they have; not
        even when the user is called like a client.
        """
        limiter = self.make_limiter()
        for user in (CLIENT, "ann", "ben"):
            for _ in range(self.logins):
                self.assertTrue(limiter.admit_user(user, 0.0).allowed, user)
        self._fill(limiter)
        self.assertFalse(limiter.admit_user(CLIENT, 0.0).allowed)

    def test_release_makes_room(self) -> None:
        """Each connection that is gone makes room for one."""
        limiter = self.make_limiter()
        for verdict in self._fill(limiter):
            limiter.release(verdict)
            self._admit(limiter)
            self.assertFalse(limiter.admit(CLIENT, 0.0).allowed)

    def test_release_twice(self) -> None:
        """Releasing a verdict again makes no more room, not even when the client has come back meanwhile."""
        limiter = self.make_limiter()
        first, *_ = self._fill(limiter)
        limiter.release(first)
        limiter.release(first)
        self._admit(limiter)
        limiter.release(first)
        self.assertFalse(limiter.admit(CLIENT, 0.0).allowed)

    def test_release_of_a_refusal(self) -> None:
        """Releasing a refusal makes no room."""
        limiter = self.make_limiter()
        self._fill(limiter)
        limiter.release(limiter.admit(CLIENT, 0.0))
        self.assertFalse(limiter.admit(CLIENT, 0.0).allowed)

    def test_clients_do_not_share(self) -> None:
        """What one client has leaves to the others all that is theirs."""
        limiter = self.make_limiter()
        for client in (CLIENT, *OTHERS):
            self._fill(limiter, client)

    def test_time_releases_nothing(self) -> None:
        """A connection counts for as long as it is open."""
        limiter = self.make_limiter()
        self._fill(limiter)
        self.assertFalse(limiter.admit(CLIENT, 365 * DAY).allowed)

    def test_nothing_leaks(self) -> None:
        """However connections come and go, a client has exactly the room that its open ones leave."""
        limiter, chance = self.make_limiter(), Random(1)
        held: dict[str, list[Verdict]] = {client: [] for client in (CLIENT, *OTHERS)}
        for _ in range(1000):
            client = chance.choice(list(held))
            if held[client] and chance.random() < 0.5:
                limiter.release(held[client].pop(chance.randrange(len(held[client]))))
            else:
                verdict = limiter.admit(client, 0.0)
                self.assertEqual(verdict.allowed, len(held[client]) < self.connections, verdict)
                held[client] += [verdict] if verdict.allowed else []
        for client, verdicts in held.items():
            for verdict in verdicts:
                limiter.release(verdict)
            self._fill(limiter, client)

    def test_any_client(self) -> None:
        """Whatever names a client, it gets a verdict, which can be released."""
        limiter = self.make_limiter()
        for client in STRANGE:
            verdict = limiter.admit(client, 0.0)
            self.assertIsInstance(verdict, Verdict)
            limiter.release(verdict)
            limiter.release(verdict)

    def test_spending_is_no_connection(self) -> None:
        """Spending nothing is always allowed; whatever is spent, the room for connections stays."""
        limiter = self.make_limiter()
        self.assertTrue(limiter.spend(CLIENT, 0, 0.0).allowed)
        for _ in range(self.connections + 1):
            limiter.release(limiter.spend(CLIENT, 1, 0.0))
        self._fill(limiter)
        limiter.release(limiter.spend(CLIENT, 1, 0.0))
        self.assertFalse(limiter.admit(CLIENT, 0.0).allowed)
