"""What every :class:`~tcpsuite.interfaces.ILoadBalancer` keeps to, and besides an
:class:`~tcpsuite.interfaces.ILearning`, :class:`~tcpsuite.interfaces.ITimed` and
:class:`~tcpsuite.interfaces.IReasoned`.
"""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from itertools import permutations
from math import isfinite
from random import Random
from typing import TYPE_CHECKING, cast
from unittest import SkipTest

from attrs import evolve
from zope.interface.verify import verifyObject

from tcpsuite.core.choosing import choice
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import ILearning, ILoadBalancer, IReasoned, ITimed, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twisted.trial.unittest import SynchronousTestCase

    from tcpsuite.core.picks import Basis, Told

    Case = SynchronousTestCase
else:
    Case = object

CLIENTS = ("", "127.0.0.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0")
OK = Outcome(True, seconds=0.002)
FAILED = Outcome(False, "refused", 0.001)
WORDS = ("started", "connected", "failed", "answered", "finished")
"""What it may be told."""
CYCLES = 200
"""So many times the sum of the weights is the long run."""


def servers(*weights: float) -> tuple[Server, ...]:
    """A server for each weight, in the order of the configuration: ``a``, ``b`` and so on."""
    return tuple(
        Server(chr(ord("a") + index), f"tcp:192.0.2.{index}:1", weight)
        for index, weight in enumerate(weights)
    )


class LoadBalancerContract(Case):
    """Mix into a ``SynchronousTestCase``, and give ``make_balancer``.

    A balancer that provides :class:`~tcpsuite.interfaces.ILearning` is told what becomes of its picks, one
    that provides :class:`~tcpsuite.interfaces.ITimed` of first bytes, and one that provides
    :class:`~tcpsuite.interfaces.IReasoned` is asked why it picked.

    :cvar weighted: whether, in the long run and with many clients, each server gets its weight's share of
        connections.  Set it to ``False`` for a rule that has another aim.
    :cvar tolerance: how far from its share a server may be, as a part of it; chance and hashing need room.
    """

    weighted = True
    tolerance = 0.15

    def make_balancer(self, chance: Random) -> ILoadBalancer:
        """A balancer that has picked nothing yet, and draws its chance from ``chance``."""
        raise NotImplementedError

    def _new(self, seed: int = 1) -> ILoadBalancer:
        return self.make_balancer(Random(seed))

    def _pick(
        self, balancer: ILoadBalancer, usable: Sequence[Server], client: str = "192.0.2.1", now: float = 0.0
    ) -> Server | None:
        """Pick, and see that the answer is allowed."""
        picked = balancer.pick(usable, client, now)
        if picked is not None:
            self.assertTrue(any(picked is server for server in usable), f"{picked} is none of {usable}")
        return picked

    def _start(self, balancer: ILoadBalancer, server: Server, now: float = 0.0) -> None:
        """As an upstream does: first it is counted, then told."""
        server.active += 1
        self._tell(balancer, server, "started", now)

    def _finish(self, balancer: ILoadBalancer, server: Server, now: float = 0.0) -> None:
        server.active -= 1
        self._tell(balancer, server, "finished", now)

    def _serve(self, balancer: ILoadBalancer, usable: Sequence[Server], clients: Iterable[str]) -> list[str]:
        """Give each client a connection that stays; the names of the servers picked."""
        names = []
        for now, client in enumerate(clients):
            picked = self._pick(balancer, usable, client, float(now))
            names.append(picked.name if picked is not None else "")
            if picked is not None:
                self._start(balancer, picked, float(now))
                self._tell(balancer, picked, "connected", float(now))
                self._tell(balancer, picked, "answered", float(now))
        return names

    def _tell(self, balancer: ILoadBalancer, server: Server, word: str, now: float = 1.0) -> None:
        if word == "answered":
            if ITimed.providedBy(balancer):
                cast(ITimed, balancer).answered(server, 0.003, now)
        elif ILearning.providedBy(balancer):
            learner = cast(ILearning, balancer)
            match word:
                case "started":
                    learner.started(server, now)
                case "connected":
                    learner.connected(server, OK, now)
                case "failed":
                    learner.connected(server, FAILED, now)
                case "finished":
                    learner.finished(server, OK, now)

    def _why(self, balancer: ILoadBalancer, usable: Sequence[Server], client: str) -> Basis:
        """What the last pick went by; a rule of which nothing is known says so here."""
        if not IReasoned.providedBy(balancer):
            raise SkipTest("this rule does not say why it picks")
        return cast(IReasoned, balancer).because(usable, client)

    def _told(self, basis: Basis, usable: Sequence[Server], picked: Server) -> Told:
        """The same in words and figures, and see that they can be shown."""
        told = basis.told(choice(usable, usable), picked.name)
        self.assertTrue(told.rule and isinstance(told.rule, str), told)
        names = {server.name for server in usable}
        for what, figures in told.figures.items():
            self.assertIsInstance(what, str)
            self.assertLessEqual(set(figures), names, f"{what} of servers that were not there")
            self.assertTrue(all(map(isfinite, figures.values())), f"{what} is {figures}")
        return told

    def test_provides_the_interface(self) -> None:
        """It has all that the interface asks for; and so for what else it wants to be told, and for saying
        why.
        """
        balancer = self._new()
        self.assertTrue(verifyObject(ILoadBalancer, balancer))
        if ILearning.providedBy(balancer) or hasattr(balancer, "connected"):
            self.assertTrue(verifyObject(ILearning, balancer))
        if ITimed.providedBy(balancer) or hasattr(balancer, "answered"):
            self.assertTrue(verifyObject(ITimed, balancer))
        if IReasoned.providedBy(balancer) or hasattr(balancer, "because"):
            self.assertTrue(verifyObject(IReasoned, balancer))

    def test_picks_from_what_is_given(self) -> None:
        """A pick is one of the servers given, whichever they are, for any client and at any time."""
        balancer, everyone, chance = self._new(), servers(1, 2, 3, 4, 5), Random(2)
        for now in range(500):
            usable = [server for server in everyone if chance.random() < 0.6] or [chance.choice(everyone)]
            self._pick(balancer, usable, chance.choice(CLIENTS), now * chance.random())

    def test_one_server(self) -> None:
        """A server alone is picked for whoever comes first, and the balancer lasts with it alone."""
        for client in CLIENTS:
            balancer, (only,) = self._new(), servers(3)
            self.assertIs(self._pick(balancer, [only], client), only)
            self._serve(balancer, [only], CLIENTS * 10)

    def test_idle_servers(self) -> None:
        """When all servers are idle, whoever comes first gets one."""
        for client in CLIENTS:
            self.assertIsNotNone(self._pick(self._new(), servers(1, 2, 3), client))

    def test_only_reads(self) -> None:
        """Picking and being told change nothing of a server, and nothing of the sequence."""
        balancer, usable = self._new(), list(servers(1, 2, 3))
        given, states = list(usable), [evolve(server) for server in usable]
        for server in usable:
            self._pick(balancer, usable)
            for word in WORDS:
                self._tell(balancer, server, word)
        self.assertTrue(all(server is before for server, before in zip(usable, given, strict=True)))
        self.assertEqual(list(map(repr, usable)), list(map(repr, states)))

    def test_servers_leave_and_come_back(self) -> None:
        """Whoever leaves, comes back or is new between two picks, and whatever becomes of the connections to
        those who are gone, the next pick is right.
        """
        balancer, everyone, chance = self._new(), list(servers(1, 2, 3)), Random(3)
        present, open_ = list(everyone), list[Server]()
        for turn in range(1000):
            now = float(turn)
            if chance.random() < 0.3 and len(present) > 1:
                present.remove(chance.choice(present))
            if chance.random() < 0.3:
                present = [server for server in everyone if server in present or chance.random() < 0.5]
            if turn % 100 == 99:
                everyone.append(Server(f"new{turn}", "tcp:198.51.100.1:1", chance.randint(1, 5)))
                present.append(everyone[-1])
            picked = self._pick(balancer, present, chance.choice(CLIENTS), now)
            if picked is not None:
                self._start(balancer, picked, now)
                self._tell(balancer, picked, chance.choice(["connected", "failed"]), now)
                open_.append(picked)
            if chance.random() < 0.5 and open_:
                self._finish(balancer, open_.pop(chance.randrange(len(open_))), now)

    def test_second_attempts(self) -> None:
        """When one server refuses every connection, its clients' second attempts go to others and all others
        are picked.
        """
        balancer, everyone = self._new(), servers(1, 1, 1)
        broken, seconds = everyone[0], Counter[str]()
        for turn in range(300):
            now, client = float(turn), f"192.0.2.{turn % 250}"
            picked = self._pick(balancer, everyone, client, now)
            if picked is broken:
                self._start(balancer, broken, now)
                broken.active -= 1
                self._tell(balancer, broken, "failed", now)
                picked = self._pick(balancer, everyone[1:], client, now)
            if picked is not None:
                seconds[picked.name] += 1
                self._start(balancer, picked, now)
                self._tell(balancer, picked, "connected", now)
        self.assertNotIn("a", seconds)
        if self.weighted:
            self._assert_shares(seconds, everyone[1:])

    def test_told_in_every_order(self) -> None:
        """It goes on, in whatever order it is told of a server's connections, known to it or not."""
        for order in permutations(WORDS):
            balancer, (known, other) = self._new(), servers(1, 2)
            for server in (known, other):
                for word in order:
                    self._tell(balancer, server, word)
                    self._pick(balancer, [known])
            self._pick(balancer, [known, other])

    def test_time_stands_still(self) -> None:
        """Any number of picks may happen in one moment, and the next may be years later."""
        balancer, usable = self._new(), servers(1, 2)
        for now in (0.0, 0.0, 0.0, 1e9, 1e9):
            picked = self._pick(balancer, usable, now=now)
            if picked is not None:
                self._start(balancer, picked, now)
                self._tell(balancer, picked, "connected", now)
                self._finish(balancer, picked, now)

    def test_chance_and_time_are_given(self) -> None:
        """Two balancers with the same chance, asked the same, pick the same: neither has a clock, a die, or
        anything in common with the other.
        """
        clients = CLIENTS * 20
        first = self._serve(self._new(), servers(1, 2, 3), clients)
        self.assertEqual(self._serve(self._new(), servers(1, 2, 3), clients), first)

    def test_backups(self) -> None:
        """What it is given it may pick: who is a backup, and when, the upstream knows."""
        clients = CLIENTS * 20
        backups = [evolve(server, backup=True) for server in servers(1, 2, 3)]
        picked = self._serve(self._new(), backups, clients)
        self.assertEqual(picked, self._serve(self._new(), servers(1, 2, 3), clients))

    def test_any_sequence(self) -> None:
        """It is the same to it whether the servers come in the same sequence, or in a new one each time."""
        balancer, other, chance = self._new(), self._new(), Random(4)
        usable = list(servers(1, 2, 3))
        for turn in range(200):
            copy = chance.choice((list, tuple))(usable)
            client, now = chance.choice(CLIENTS), turn / 10
            picked = self._pick(balancer, usable, client, now)
            self.assertIs(picked, self._pick(other, copy, client, now))
            if picked is not None:
                for each in (balancer, other):
                    self._start(each, picked, now)

    def test_says_why(self) -> None:
        """If it can say why it picked, it does for every pick, whoever may be picked; and it goes on to pick
        like one that was not asked.
        """
        balancer, silent, chance = self._new(), self._new(), Random(5)
        everyone = servers(1, 2, 3)
        for turn in range(300):
            usable = [server for server in everyone if chance.random() < 0.7] or [chance.choice(everyone)]
            client, now = chance.choice(CLIENTS), turn / 10
            picked = self._pick(balancer, usable, client, now)
            self.assertIs(self._pick(silent, usable, client, now), picked)
            if picked is not None:
                self._told(self._why(balancer, usable, client), usable, picked)
                picked.active += 1
                for word in ("started", "connected", "answered"):
                    for each in (balancer, silent):
                        self._tell(each, picked, word, now)
            chance.choice(everyone).active = chance.randrange(9)

    def test_why_is_kept(self) -> None:
        """What it says of a pick stays as it is, whatever happens later, and keeps no server in memory."""
        balancer, usable = self._new(), list(servers(1, 2, 3))
        picks, seen = [], [weakref.ref(server) for server in usable]
        for turn, client in enumerate(CLIENTS):
            if (picked := self._pick(balancer, usable, client, float(turn))) is None:
                continue
            basis = self._why(balancer, usable, client)
            there_was, name = choice(usable, usable), picked.name
            picks.append((basis, there_was, name, repr(self._told(basis, usable, picked))))
            self._start(balancer, picked, float(turn))
            self._tell(balancer, picked, "connected", float(turn))
        del balancer, usable, picked
        gc.collect()
        self.assertEqual([server for server in seen if server() is not None], [])
        for basis, there_was, name, told in picks:
            self.assertEqual(repr(basis.told(there_was, name)), told)

    def test_weights(self) -> None:
        """In the long run each server gets its weight's share of many clients' lasting connections."""
        self._needs_weights()
        for weights in ((1, 1, 1), (1, 2, 5), (7, 3), (0.5, 1, 2.5)):
            self._assert_lasting(self._new(), servers(*weights))

    def test_weights_change(self) -> None:
        """A new weight, and a fraction as of a slow start, counts from the next pick on."""
        self._needs_weights()
        balancer, usable = self._new(), servers(2, 2)
        for weight in (0.5, 1.2, 2):
            usable[0].weight = weight
            self._assert_lasting(balancer, list(usable))
            for server in usable:
                while server.active:
                    self._finish(balancer, server)

    def _needs_weights(self) -> None:
        if not self.weighted:
            raise SkipTest("this rule has another aim than weights")

    def _assert_lasting(self, balancer: ILoadBalancer, usable: Sequence[Server]) -> None:
        """Lasting connections of many clients are shared by weight."""
        runs = int(CYCLES * sum(server.weight for server in usable))
        clients = (f"10.{run >> 16 & 255}.{run >> 8 & 255}.{run & 255}" for run in range(runs))
        self._assert_shares(Counter(self._serve(balancer, usable, clients)), usable)

    def _assert_shares(self, picks: Counter[str], usable: Sequence[Server]) -> None:
        weights = sum(server.weight for server in usable)
        for server in usable:
            share = picks.total() * server.weight / weights
            off = abs(picks[server.name] - share)
            self.assertLessEqual(off, share * self.tolerance, f"{picks}, and {server.name} is due {share:g}")
