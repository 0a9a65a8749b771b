"""What the built-in rules say of a pick, in words and figures."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.balancing import (
    First,
    IPHash,
    LeastConnections,
    LeastTime,
    PowerOfTwo,
    RandomChoice,
    RoundRobin,
)
from tcpsuite.core.choosing import choice
from tcpsuite.core.picks import Told
from tcpsuite.interfaces import Outcome
from tcpsuite.testing.balancers import servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tcpsuite.core.picks import Basis
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import IReasoned

CLIENT = "192.0.2.1"
EARNED = "the one that had earned most; at each pick all earn their weight, and one pays for it"
TIED = "; of equals the one that was picked longest ago"


def busy(*loads: tuple[float, int]) -> tuple[Server, ...]:
    """A server for each weight and number of connections."""
    usable = servers(*(weight for weight, _ in loads))
    for server, (_, active) in zip(usable, loads, strict=True):
        server.active = active
    return usable


class WhyCase(SynchronousTestCase):
    def why(self, balancer: IReasoned, usable: Sequence[Server], client: str = CLIENT) -> tuple[str, Told]:
        """Who is picked, and what is said of it when all has changed."""
        picked: Server = balancer.pick(usable, client, 0.0)  # type: ignore[attr-defined]
        basis: Basis = balancer.because(usable, client)
        there_was, actives = choice(usable, usable), [server.active for server in usable]
        for server in usable:
            server.active, server.weight = server.active + 7, server.weight + 1
        balancer.pick(usable, client, 9.0)  # type: ignore[attr-defined]
        for server, active in zip(usable, actives, strict=True):
            server.active, server.weight = active, server.weight - 1
        return picked.name, basis.told(there_was, picked.name)


class TurnsTests(WhyCase):
    def test_round_robin(self) -> None:
        """Of round robin one sees what each had earned when one was picked, its last weight included."""
        balancer, usable = RoundRobin(Random(1)), servers(3, 1)
        seen = []
        for _ in range(4):
            picked = balancer.pick(usable, CLIENT, 0.0)
            assert picked is not None
            told = balancer.because(usable, CLIENT).told(choice(usable, usable), picked.name)
            seen.append((picked.name, *told.figures["earned"].values()))
        self.assertEqual(seen, [("a", 3, 1), ("a", 2, 2), ("b", 1, 3), ("a", 4, 0)])
        self.assertEqual(told.rule, EARNED)

    def test_round_robin_of_others(self) -> None:
        """A pick from some of them says what those had earned."""
        balancer, usable = RoundRobin(Random(1)), servers(1, 1, 1)
        balancer.pick(usable, CLIENT, 0.0)
        self.assertEqual(self.why(balancer, usable[1:])[1].figures, {"earned": {"b": 2, "c": 2}})

    def test_first(self) -> None:
        """Of the first one there is nothing to compare."""
        told = Told("the first that has weight and room")
        self.assertEqual(self.why(First(Random(1)), servers(1, 2)), ("a", told))


class LoadTests(WhyCase):
    def test_least_connections(self) -> None:
        """Of the least loaded one sees what each had, and the load that was compared."""
        balancer, usable = LeastConnections(Random(1)), busy((1, 1), (4, 5), (1, 3))
        rule = "the least load, (active + 1) / weight" + TIED
        active, load = {"a": 1, "b": 5, "c": 3}, {"a": 2.0, "b": 1.5, "c": 4.0}
        self.assertEqual(self.why(balancer, usable), ("b", Told(rule, {"active": active, "load": load})))

    def test_a_slow_start(self) -> None:
        """Who is due a pick in its slow start is named; its load is that by its whole weight."""
        ending = "; due one in its slow start, and counted with the whole weight: b"
        for balancer in (LeastConnections(Random(1)), PowerOfTwo(Random(1)), LeastTime(Random(1))):
            usable = busy((1, 1), (0.5, 1))
            usable[1].share = 0.25
            for expected, ends, ratio in (("a", False, 2.0), ("b", True, 0.5)):
                picked = balancer.pick(usable, CLIENT, 0.0)
                assert picked is not None
                told = balancer.because(usable, CLIENT).told(choice(usable, usable), picked.name)
                self.assertEqual((picked.name, told.rule.endswith(ending)), (expected, ends))
                load = told.figures.get("load") or told.figures["load_ms"]
                self.assertAlmostEqual(load["b"] / load["a"], ratio)


class ChanceTests(WhyCase):
    def test_random(self) -> None:
        """Of a lot there is nothing to compare but weights."""
        self.assertEqual(
            self.why(RandomChoice(Random(1)), servers(1, 2))[1],
            Told("one by lot, each as likely as its weight says"),
        )

    def test_power_of_two(self) -> None:
        """Of the two that were drawn one sees the load, of others nothing; the first to be drawn is first."""
        balancer, usable = PowerOfTwo(Random(1)), busy((1, 1), (1, 5), (1, 3), (2, 8))
        load = {"a": 2.0, "b": 6.0, "c": 4.0, "d": 4.5}
        drawn = set()
        for _ in range(200):
            picked, told = self.why(balancer, usable)
            one, other = told.figures["load"]
            drawn.add((one, other))
            self.assertEqual(told.figures["load"], {one: load[one], other: load[other]})
            self.assertEqual(list(told.figures["active"]), [one, other])
            self.assertEqual(picked, min(one, other, key=load.__getitem__))
        self.assertEqual(len(drawn), 12)
        self.assertEqual(
            told.rule,
            "of two drawn by lot, each as likely as its weight says,"
            " that of less load, (active + 1) / weight",
        )

    def test_power_of_one(self) -> None:
        """When there is no second one to draw, that is said; though there was one before."""
        balancer, usable = PowerOfTwo(Random(1)), servers(1, 1)
        balancer.pick(usable, CLIENT, 0.0)
        alone = Told("there was no other to draw")
        self.assertEqual(self.why(balancer, usable[1:]), ("b", alone))


class LeastTimeTests(WhyCase):
    def test_times(self) -> None:
        """Of least time one sees both averages as they counted, and the load: who takes up to 1.2 times as
        long as the quickest counts as quick, and of whom nothing is known as the median.
        """
        balancer, usable = LeastTime(Random(1)), busy((1, 3), (2, 3), (1, 0), (1, 1))
        for server, connect, answer in zip(usable, (1, 1, 40), (3, 3.5, 10), strict=False):
            balancer.connected(server, Outcome(True, seconds=connect / 1000), 0.0)
            balancer.answered(server, answer / 1000, 0.0)
        picked, told = self.why(balancer, usable)
        shown = {
            what: {name: round(value, 6) for name, value in values.items()}
            for what, values in told.figures.items()
        }
        self.assertEqual(
            (picked, shown),
            (
                "b",
                {
                    "connect_ms": {"a": 1, "b": 1, "c": 40, "d": 1},
                    "first_byte_ms": {"a": 3, "b": 3.5, "c": 10, "d": 3.5},
                    "active": {"a": 3, "b": 3, "c": 0, "d": 1},
                    "load_ms": {"a": 4 * 4, "b": 4 * 4 / 2, "c": 50, "d": 2 * 4},
                },
            ),
        )
        self.assertEqual(
            told.rule,
            "the least load, time * (active + 1) / weight, where the time of the quickest is that of all who"
            " take up to 1.2 times as long" + TIED,
        )


class IPHashTests(WhyCase):
    def test_a_hash(self) -> None:
        """Without a bound nothing was compared: the hash says whose the client is."""
        self.assertEqual(
            self.why(IPHash(Random(1)), servers(1, 2))[1],
            Told("the client's own: its address, hashed with each server's name, wins there"),
        )

    def test_no_address(self) -> None:
        """A client without an address takes turns, and so it is said."""
        _, told = self.why(IPHash(Random(1)), servers(1, 1), "")
        self.assertEqual(told, Told(EARNED, {"earned": {"a": 1, "b": 1}}))

    def test_bounded(self) -> None:
        """With a bound one sees what each had, and how many it might have, the one to come included; and who
        was moved on from its own server is told so.
        """
        balancer, usable = IPHash(Random(1), bounded_load=1.5), servers(1, 1, 1)
        own, told = self.why(balancer, usable)
        self.assertEqual(
            told,
            Told(
                "the client's own: its address, hashed with each server's name, wins there,"
                " and is under its bound",
                {"active": {"a": 0, "b": 0, "c": 0}, "bound": {"a": 1, "b": 1, "c": 1}},
            ),
        )
        for server in usable:
            server.active = 5 if server.name == own else 1
        picked, told = self.why(balancer, usable)
        self.assertNotEqual(picked, own)
        self.assertEqual(
            told.rule,
            f"the next best for its address that is under its bound: its own, {own}, is at that",
        )
        # 1.5 * (7 + 1) / 3
        self.assertEqual(told.figures["bound"], {"a": 4, "b": 4, "c": 4})
        self.assertEqual(told.figures["active"][own], 5)
