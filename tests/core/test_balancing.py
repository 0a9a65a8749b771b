"""The built-in rules that pick a server: what holds for all of them."""

from __future__ import annotations

import tracemalloc
from random import Random
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import (
    STRATEGIES,
    First,
    IPHash,
    LeastConnections,
    LeastTime,
    PowerOfTwo,
    RandomChoice,
    RoundRobin,
    hashing,
    rated,
    turns,
)
from tcpsuite.core.balancing.rated import KNOWN
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import ILearning, ITimed, Outcome
from tcpsuite.testing.balancers import LoadBalancerContract, servers
from tests.support.sample_balancer import LastAnswer

if TYPE_CHECKING:
    from tcpsuite.interfaces import ILoadBalancer


class RoundRobinContractTests(LoadBalancerContract, SynchronousTestCase):
    """Round robin."""

    tolerance = 0.02

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return RoundRobin(chance)


class LeastConnectionsContractTests(LoadBalancerContract, SynchronousTestCase):
    """Least connections."""

    tolerance = 0.02

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return LeastConnections(chance)


class LeastTimeContractTests(LoadBalancerContract, SynchronousTestCase):
    """Least time: among servers that answer alike it goes by connections."""

    tolerance = 0.02

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return LeastTime(chance)


class RandomChoiceContractTests(LoadBalancerContract, SynchronousTestCase):
    """By lot."""

    tolerance = 0.25

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return RandomChoice(chance)


class PowerOfTwoContractTests(LoadBalancerContract, SynchronousTestCase):
    """The better one of two."""

    tolerance = 0.05

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return PowerOfTwo(chance)


class IPHashContractTests(LoadBalancerContract, SynchronousTestCase):
    """By the client's address."""

    tolerance = 0.25

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return IPHash(chance)


class BoundedIPHashContractTests(LoadBalancerContract, SynchronousTestCase):
    """By the client's address, within a bound."""

    tolerance = 0.25

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return IPHash(chance, bounded_load=1.5)


class FirstContractTests(LoadBalancerContract, SynchronousTestCase):
    """The first one."""

    weighted = False

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return First(chance)


class SampleContractTests(LoadBalancerContract, SynchronousTestCase):
    """One that is not ours."""

    tolerance = 0.02

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return LastAnswer(chance)


class StrategiesTests(SynchronousTestCase):
    """The built-in balancers."""

    def test_names(self) -> None:
        """Each has the name that the configuration knows it by."""
        self.assertEqual(
            dict(STRATEGIES),
            {
                "round_robin": RoundRobin,
                "least_connections": LeastConnections,
                "least_time": LeastTime,
                "random": RandomChoice,
                "power_of_two": PowerOfTwo,
                "ip_hash": IPHash,
                "first": First,
            },
        )

    def test_servers_that_are_gone(self) -> None:
        """However many servers come and go for good, memory holds no more than some of them."""
        for module in (rated, turns):
            self.patch(module, "KNOWN", 50)
        self.assertEqual(hashing._factor.cache_info().maxsize, KNOWN)
        hashing._factor.cache_clear()
        self.patch(hashing, "_factor", hashing._factor.__wrapped__)
        self.addCleanup(tracemalloc.stop)
        for name, strategy in STRATEGIES.items():
            balancer = strategy(Random(1))
            tracemalloc.start()
            self._come_and_go(balancer, 0, 500)
            before, _ = tracemalloc.get_traced_memory()
            self._come_and_go(balancer, 500, 2000)
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            # Kept, what goes with their names would be 200 KB.
            self.assertLess(after - before, 20_000, name)

    def _come_and_go(self, balancer: ILoadBalancer, first: int, end: int) -> None:
        """So many servers are there for a while, some at a time, and each gets connections."""
        for begin in range(first, end, 25):  # Python keeps shorter tuples for later, which would count
            usable = [Server(f"server-{number}", "tcp:192.0.2.1:1") for number in range(begin, begin + 25)]
            for client in range(25):
                picked = balancer.pick(usable, f"192.0.2.{client}", float(begin))
                assert picked is not None
                picked.active += 1
                if ILearning.providedBy(balancer):
                    ILearning(balancer).connected(picked, Outcome(True, seconds=0.001), float(begin))
                if ITimed.providedBy(balancer):
                    ITimed(balancer).answered(picked, 0.001, float(begin))

    def test_who_is_away_is_remembered(self) -> None:
        """Who is away for a while is remembered among hundreds of others that came and went meanwhile."""
        for strategy in (RoundRobin, LeastConnections, LeastTime):
            balancer, usable = strategy(Random(1)), list(servers(1, 1, 1))
            self.assertEqual(balancer.pick(usable, "", 0.0), usable[0])
            self._come_and_go(balancer, 0, 1000)
            self.assertEqual(balancer.pick(usable, "", 0.0), usable[1], balancer)

    def test_no_weight(self) -> None:
        """A server without weight is not picked, and among such servers none is."""
        for strategy in STRATEGIES.values():
            for client in ("", "192.0.2.1"):
                balancer = strategy(Random(1))
                self.assertIsNone(balancer.pick(servers(0, 0), client, 0.0))
                self.assertIsNone(balancer.pick((), client, 0.0))
                usable = servers(0, 1, 0)
                picked = [balancer.pick(usable, client, 0.0) for _ in range(3)]
                self.assertEqual(picked, [usable[1]] * 3)
