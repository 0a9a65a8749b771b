"""A client is led to the server that it had."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.affinity import KEPT, Affinity, StickTable
from tcpsuite.core.balancing import RoundRobin
from tcpsuite.core.choosing import Choice, candidates, choice
from tcpsuite.core.servers import Administration, Server
from tcpsuite.interfaces import ILoadBalancer
from tcpsuite.testing.balancers import LoadBalancerContract, servers

if TYPE_CHECKING:
    from collections.abc import Sequence

ANN, BEN, CEM = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@implementer(ILoadBalancer)
class Mute:
    """Picks the last, and does not say why."""

    def pick(self, servers: Sequence[Server], client: str, now: float) -> Server | None:
        return servers[-1]


class AffinityTests(SynchronousTestCase):
    """Three servers in turns."""

    def setUp(self) -> None:
        self.servers = servers(1, 1, 1)
        self.a, self.b, self.c = self.servers
        self.affinity = Affinity(StickTable(timeout=10.0), RoundRobin(Random(1)))
        self.usable = candidates(self.servers)

    def go(self, client: str = ANN, now: float = 0.0) -> tuple[str, str]:
        """Where a client is led, and what is said of that."""
        picked = self.affinity.pick(self.usable, client, now)
        assert picked is not None
        there_was = choice(self.servers, self.usable)
        basis = self.affinity.because(self.usable, client)
        if client:
            self.affinity.led(picked.name, there_was, now)
        return picked.name, basis.told(there_was, picked.name).rule

    def test_kept(self) -> None:
        """Who comes again goes where it was, and the balancer is not asked: the others have its turns."""
        self.assertEqual([self.go(client)[0] for client in (ANN, BEN, ANN, ANN, BEN, CEM)], list("abaabc"))
        self.assertEqual(self.go(ANN), ("a", KEPT.rule))
        self.assertEqual(self.affinity.picks, {"new": 3, "kept": 4})

    def test_new(self) -> None:
        """Of who comes for the first time, or too late, what is said is what the balancer says."""
        turns = RoundRobin(Random(1))
        turns.pick(self.usable, ANN, 0.0)
        said = turns.because(self.usable, ANN).told(Choice(("a", "b", "c"), weights=(1, 1, 1)), "a").rule
        self.assertEqual(self.go(ANN), ("a", said))
        self.assertEqual(self.go(ANN, now=10.0)[0], "b")
        self.assertEqual(self.affinity.picks, {"new": 2})

    def test_broken(self) -> None:
        """What keeps its server from new connections moves a client, for good; it is counted and told."""
        for why, changes in (
            ("maint", {"administration": Administration.MAINT}),
            ("draining", {"administration": Administration.DRAIN}),
            ("down", {"up": False}),
            ("ejected", {"ejected": True}),
            ("no_weight", {"weight": 0}),
            ("full", {"max_connections": 1, "active": 1}),
        ):
            self.setUp()
            self.assertEqual(self.go()[0], "a")
            for name, value in changes.items():
                setattr(self.a, name, value)
            self.usable = candidates(self.servers)
            server, rule = self.go()
            self.assertEqual(server, "b")
            moved = f"affinity with a is broken, {why.replace('_', ' ')}; the one that had earned most"
            self.assertEqual(rule[: len(moved)], moved)
            for name in changes:
                setattr(self.a, name, getattr(Server("a", ""), name))
            self.usable = candidates(self.servers)
            self.assertEqual(self.go()[0], "b")
            self.assertEqual(self.affinity.picks, {"new": 1, why: 1, "kept": 1})

    def test_a_backup_is_no_home(self) -> None:
        """A client that was on a backup leaves it when another server may be picked again."""
        self.c.backup = True
        self.a.up = self.b.up = False
        self.usable = candidates(self.servers)
        self.assertEqual([self.go()[0], self.go()[0]], ["c", "c"])
        self.a.up = self.b.up = True
        self.usable = candidates(self.servers)
        self.assertEqual(self.go()[0], "a")
        self.assertEqual(self.affinity.picks, {"new": 1, "kept": 1, "backup": 1})

    def test_removed(self) -> None:
        """A server that is gone is looked for no longer; nobody need have taken its clients out."""
        self.go()
        self.servers = self.servers[1:]
        self.usable = candidates(self.servers)
        self.assertEqual(self.go()[1][:36], "affinity with a is broken, removed; ")
        self.assertEqual(self.affinity.picks, {"new": 1, "removed": 1})

    def test_addresses(self) -> None:
        """All of an address counts, also of IPv6; an IPv4 address is itself also where IPv6 is spoken."""
        self.assertEqual(self.go("2001:db8::1")[0], "a")
        self.assertEqual(self.go("2001:db8::2")[0], "b")
        self.assertEqual(self.go("2001:db8::1")[0], "a")
        self.assertEqual((self.go(ANN)[0], self.go(f"::ffff:{ANN}")[0]), ("c", "c"))

    def test_no_address(self) -> None:
        """Clients on UNIX sockets are not told from one another: the balancer is asked for each."""
        self.assertEqual([self.go("")[0] for _ in range(4)], list("abca"))
        self.assertEqual((len(self.affinity.table), self.affinity.picks), (0, {}))

    def test_a_balancer_that_says_nothing(self) -> None:
        """A balancer of somebody's own need not say why."""
        self.affinity = Affinity(StickTable(), Mute())
        self.assertEqual(self.go(), ("c", ""))
        self.c.up = False
        self.usable = candidates(self.servers)
        self.assertEqual(self.go(), ("b", "affinity with c is broken, down; it does not say why this one"))

    def test_a_copy_that_is_asked(self) -> None:
        """A pick alone changes nothing that is remembered: a copy with the same table may be asked."""
        self.go(ANN)
        shared = (*self.servers, self.affinity.table)
        for client, server in ((ANN, "a"), (BEN, "b"), (BEN, "b")):
            copy = deepcopy(self.affinity, {id(each): each for each in shared})
            picked = copy.pick(self.usable, client, 0.0)
            self.assertEqual((picked and picked.name, copy.picks), (server, {"new": 1}))
        self.assertEqual(self.go(BEN)[0], "b")

    def test_looking(self) -> None:
        """One client is looked up, and forgotten, in whatever way its address is written; so are all."""
        self.go(ANN, now=1.0)
        self.assertEqual(self.affinity.look(ANN, 3.5), {"server": "a", "idle": 2.5, "open": 0})
        self.affinity.pick(self.usable, ANN, 4.0)
        key = self.affinity.led("b", Choice(("b",)), 4.0)
        self.affinity.table.enter(key)
        self.assertEqual(self.affinity.look(f"::ffff:{ANN}", 50.0), {"server": "b", "idle": 0.0, "open": 1})
        self.assertIsNone(self.affinity.look(BEN, 3.5))
        self.assertEqual((self.affinity.forget(BEN), self.affinity.forget(f"::ffff:{ANN}")), (0, 1))
        for client in (ANN, BEN, CEM):
            self.go(client)
        self.assertEqual((self.affinity.forget(), len(self.affinity.table)), (3, 0))
        self.assertEqual(repr(self.affinity)[:28], "<Affinity before <RoundRobin")

    def test_figures(self) -> None:
        """The figures tell how many are remembered, without those whose time is over."""
        self.go(ANN)
        self.go(ANN)
        self.assertEqual(
            self.affinity.stats(1.0), {"entries": 1, "most": 100_000, "picks": {"new": 1, "kept": 1}}
        )
        self.assertEqual(self.affinity.stats(10.0)["entries"], 0)


class AffinityContractTests(LoadBalancerContract, SynchronousTestCase):
    """Where it knows nobody it is the balancer behind it."""

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        return Affinity(StickTable(), RoundRobin(chance))
