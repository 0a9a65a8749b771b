"""The contract suites find what is wrong with a provider."""

from __future__ import annotations

import unittest
from collections import Counter
from math import inf
from random import Random
from typing import TYPE_CHECKING

from attrs import define, evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.balancing import RoundRobin
from tcpsuite.core.limits import Limits, ResourceLimiter
from tcpsuite.core.limits.counts import Counts
from tcpsuite.core.picks import Told
from tcpsuite.interfaces import ILearning, ILimiter, ILoadBalancer, ITimed, Outcome, Verdict
from tcpsuite.testing.balancers import LoadBalancerContract
from tcpsuite.testing.limiters import LimiterContract

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server


def run(contract: type, **given: object) -> unittest.TestResult:
    """Run the tests of a contract on what ``given`` makes."""
    suite = type("Suite", (contract, SynchronousTestCase), given)
    result = unittest.TestResult()
    unittest.TestLoader().loadTestsFromTestCase(suite).run(result)
    return result


class First(RoundRobin):
    """The first server that there is."""

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        return servers[0]

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        return Told("the first")


class Copying(RoundRobin):
    """Returns a server that is like one of those given."""

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        return evolve(servers[0])


class Sticky(RoundRobin):
    """Stays with the first server that it saw."""

    seen: Server | None = None

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        self.seen = self.seen or servers[0]
        return self.seen


class Unequal(RoundRobin):
    """Treats all servers alike, whatever their weight."""

    turn = 0

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        self.turn += 1
        return servers[self.turn % len(servers)]


class Gambling(RoundRobin):
    """Draws from a die of its own."""

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        return Random().choice(servers)


class Learning(RoundRobin):
    """Listens to what becomes of its picks, and does not say that it does."""

    def started(self, server: Server, now: float) -> None: ...

    def connected(self, server: Server, outcome: Outcome, now: float) -> None: ...

    def finished(self, server: Server, outcome: Outcome, now: float) -> None: ...


@implementer(ILearning)
class Remembering(Learning):
    """Expects to be told of a start before an end."""

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.known: set[str] = set()

    def started(self, server: Server, now: float) -> None:
        self.known.add(server.name)

    def finished(self, server: Server, outcome: Outcome, now: float) -> None:
        self.known.remove(server.name)


@implementer(ILearning)
class Meddling(Learning):
    """Counts the connections itself, where the upstream does."""

    def started(self, server: Server, now: float) -> None:
        server.active += 1


class Choosy(RoundRobin):
    """Leaves backups out, as if the upstream did not."""

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        return super().pick([server for server in servers if not server.backup], client, now)


class Shortsighted(RoundRobin):
    """Begins anew whenever the servers come in another sequence, the same servers or not."""

    given: Sequence[Server] = ()

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        if servers is not self.given:
            self.given, self.turns = servers, RoundRobin(Random(1))
        return self.turns.pick(servers, client, now)


class Stubborn(RoundRobin):
    """Keeps to the weights that it saw first."""

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.seen: dict[str, Server] = {}

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        for server in servers:
            self.seen.setdefault(server.name, evolve(server))
        picked = super().pick([self.seen[server.name] for server in servers], client, now)
        return next((server for server in servers if picked and server.name == picked.name), None)


class Undeclared(RoundRobin):
    """Wants to be told of first bytes, and does not say so."""

    def answered(self, server: Server, seconds: float, now: float) -> None:
        pass


@implementer(ILearning, ITimed)
class Talkative(Learning):
    """Takes first bytes of servers only that it has picked."""

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.open: set[str] = set()

    def started(self, server: Server, now: float) -> None:
        self.open.add(server.name)

    def answered(self, server: Server, seconds: float, now: float) -> None:
        self.open.remove(server.name)


class Wordless(RoundRobin):
    """Says why, in no words."""

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        return Told("", {"active": {server.name: server.active for server in servers}})


class Farsighted(RoundRobin):
    """Compares servers that were not there."""

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        return Told("the nearest", {"miles": {"far": 5.0}})


class Boundless(RoundRobin):
    """Gives figures that cannot be shown."""

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        return Told("the nearest", {"miles": {server.name: inf for server in servers}})


class Impatient(RoundRobin):
    """Picks once more when it is asked why it did."""

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        self.pick(servers, client, 0.0)
        return super().because(servers, client)


@define
class Watching:
    """Looks at its servers when it is asked, not when one was picked."""

    servers: Sequence[Server]

    def told(self, choice: Choice, picked: str) -> Told:
        return Told("the least", {"active": {server.name: server.active for server in self.servers}})


class Clinging(RoundRobin):
    """Has its servers kept, where what they had is to be."""

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        return Watching(servers)


class Rewriting(RoundRobin):
    """Says of every pick what goes for the latest."""

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self.active: dict[str, float] = {}

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        self.active.update((server.name, server.active) for server in servers)
        return Told("the least", {"active": self.active})


class Incomplete:
    """Picks, and listens to nothing."""

    def __init__(self, chance: Random) -> None:
        pass

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        return servers[0]


@implementer(ILoadBalancer)
class Wary(Incomplete):
    """All that must be, and no word of why."""


class Unreasoned(Wary):
    """Says why, and does not say that it can."""

    def because(self, servers: Sequence[Server], client: str) -> Basis:
        return Told("the first")


class LoadBalancerContractTests(SynchronousTestCase):
    """The contract of load balancers."""

    def broken(self, balancer: Callable[[Random], object], **given: object) -> set[str]:
        """The names of the tests that the balancer does not pass."""
        result = run(LoadBalancerContract, make_balancer=lambda _, chance: balancer(chance), **given)
        return {case.id().rpartition(".")[2] for case, _ in result.failures + result.errors}

    def test_a_good_one(self) -> None:
        """A rule that keeps to the contract passes."""
        self.assertEqual(self.broken(RoundRobin), set())

    def test_another_aim(self) -> None:
        """A rule with another aim than weights is not measured by them."""
        self.assertEqual(self.broken(First, weighted=False), set())
        self.assertEqual(self.broken(First), {"test_weights", "test_weights_change", "test_second_attempts"})

    def test_one_that_does_not_say_why(self) -> None:
        """A rule that does not say why it picks passes too."""
        result = run(LoadBalancerContract, make_balancer=lambda _, chance: Wary(chance), weighted=False)
        self.assertEqual(result.failures + result.errors, [])
        skipped = {case.id().rpartition(".")[2] for case, _ in result.skipped}
        self.assertLessEqual({"test_says_why", "test_why_is_kept"}, skipped)

    def test_faults(self) -> None:
        """Each fault is found, by the test that says so."""
        for balancer, test in (
            (Copying, "test_one_server"),
            (Copying, "test_picks_from_what_is_given"),
            (Sticky, "test_servers_leave_and_come_back"),
            (Unequal, "test_weights"),
            (Gambling, "test_chance_and_time_are_given"),
            (Remembering, "test_told_in_every_order"),
            (Meddling, "test_only_reads"),
            (Incomplete, "test_provides_the_interface"),
            (Choosy, "test_backups"),
            (Shortsighted, "test_any_sequence"),
            (Stubborn, "test_weights_change"),
            (Undeclared, "test_provides_the_interface"),
            (Learning, "test_provides_the_interface"),
            (Talkative, "test_told_in_every_order"),
            (Unreasoned, "test_provides_the_interface"),
            (Wordless, "test_says_why"),
            (Farsighted, "test_says_why"),
            (Boundless, "test_says_why"),
            (Impatient, "test_says_why"),
            (Clinging, "test_why_is_kept"),
            (Rewriting, "test_why_is_kept"),
        ):
            self.assertIn(test, self.broken(balancer))


LIMITS = Limits(connections_per_ip=3, connections_per_user=3)


@implementer(ILimiter)
class Naive:
    """Counts by name, and believes whatever it is told is gone."""

    def __init__(self, limits: Limits) -> None:
        self.limit = limits.connections_per_ip
        self.counts = Counter[str]()

    def admit(self, client: str, now: float) -> Verdict:
        if self.counts[client] >= self.limit:
            return Verdict(False, "naive", "too many", key=client)
        self.counts[client] += 1
        return Verdict(True, key=client)

    def spend(self, key: str, amount: float, now: float) -> Verdict:
        return Verdict(True)

    def admit_user(self, user: str, now: float) -> Verdict:
        return self.admit(user, now)

    def release(self, verdict: Verdict) -> None:
        self.counts[verdict.key] -= 1


class Shared(ResourceLimiter):
    """Counts all clients as one."""

    def admit(self, client: str, now: float) -> Verdict:
        return super().admit("192.0.2.1", now)


class Forgetful(ResourceLimiter):
    """Forgets what it counted after a day."""

    def admit(self, client: str, now: float) -> Verdict:
        if now > 86400:
            self._clients = Counts()
        return super().admit(client, now)


class OneForAll(ResourceLimiter):
    """Counts users and clients together."""

    def admit_user(self, user: str, now: float) -> Verdict:
        return self.admit(user, now)


class Silent(ResourceLimiter):
    """Refuses without a word."""

    def admit(self, client: str, now: float) -> Verdict:
        verdict = super().admit(client, now)
        return verdict if verdict.allowed else Verdict(False)


class LimiterContractTests(SynchronousTestCase):
    """The contract of limiters."""

    def broken(self, limiter: Callable[[Limits], object], connections: int = 3) -> set[str]:
        """The names of the tests that the limiter of three connections does not pass."""
        result = run(
            LimiterContract, make_limiter=lambda _: limiter(LIMITS), connections=connections, logins=3
        )
        return {case.id().rpartition(".")[2] for case, _ in result.failures + result.errors}

    def test_a_good_one(self) -> None:
        """A limiter that keeps to the contract passes."""
        self.assertEqual(self.broken(ResourceLimiter), set())

    def test_another_limit(self) -> None:
        """A limiter that allows more or less than it says is found."""
        self.assertIn("test_allows_up_to_its_limit", self.broken(ResourceLimiter, connections=2))
        self.assertIn("test_allows_up_to_its_limit", self.broken(ResourceLimiter, connections=4))

    def test_faults(self) -> None:
        """Each fault is found, by the test that says so."""
        for limiter, test in (
            (Naive, "test_release_twice"),
            (Naive, "test_release_of_a_refusal"),
            (Shared, "test_clients_do_not_share"),
            (Forgetful, "test_time_releases_nothing"),
            (Silent, "test_verdict_of_a_refusal"),
            (Naive, "test_users"),
            (OneForAll, "test_users_are_no_clients"),
        ):
            self.assertIn(test, self.broken(limiter))
