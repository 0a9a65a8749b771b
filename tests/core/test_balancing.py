"""The built-in rules that pick a server: what holds for all of them."""

from __future__ import annotations

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
)
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
