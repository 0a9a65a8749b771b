"""Clients that an upstream leads to the server that they had."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tcpsuite.core.affinity import KEPT, StickTable
from tcpsuite.core.balancing import First, RoundRobin
from tcpsuite.core.connections import Connection
from tcpsuite.core.servers import Administration
from tcpsuite.errors import ChangeRefused, ConnectFailed, NoServer
from tcpsuite.net.search import Patience
from tcpsuite.testing.pools import Taker
from tests.support.upstreams import Client, UpstreamCase

if TYPE_CHECKING:
    from tcpsuite.testing.endpoints import ScriptedTransport

ANN, BEN = "192.0.2.1", "192.0.2.2"


class Guest(Client):
    """A client with an address of its own."""

    def __init__(self, upstream: Any, host: str) -> None:
        self.record = Connection("1", f"{host}:1", host, "gate", "gateway", 0.0, 0.0)
        self.acquired = upstream.acquire(host, self.record)


class AffinityCase(UpstreamCase):
    """Three servers in turns, and clients that are remembered for ten seconds."""

    def build(self, names: str = "abc", **options: Any) -> None:
        self.table = StickTable(timeout=10.0)
        super().build(names, balancer=RoundRobin(random.Random(1)), stick_table=self.table, **options)

    def guest(self, host: str = ANN) -> Guest:
        """A client who asks for a connection."""
        return Guest(self.upstream, host)

    def come(self, server: str, host: str = ANN) -> ScriptedTransport:
        """A client who must be led to ``server``, and gets its connection there."""
        guest = self.guest(host)
        transport = self.endpoints[server].accept()
        self.served(guest)
        self.assertEqual(guest.record.server, server)
        return transport

    def open(self) -> list[int]:
        """How many connections each client has that is remembered."""
        return [home.open for home in self.table.homes(self.table.keys(), self.clock.seconds())]

    def picks(self) -> dict[str, int]:
        """What picks came to."""
        picks: dict[str, int] = self.upstream.status()["affinity"]["picks"]
        return picks


class KeptTests(AffinityCase):
    """A client whose server may be picked."""

    def test_where_it_was(self) -> None:
        """Each client is led to its own server, while it has a connection there and after; the record says
        that affinity did it.
        """
        for host, server in ((ANN, "a"), (BEN, "b")):
            for _ in range(5):
                self.come(server, host).lose()
                self.come(server, host)
        guest = self.guest()
        self.endpoints["a"].accept()
        self.served(guest)
        (pick,) = guest.record.picks
        self.assertEqual((pick.server, pick.basis, pick.choice.candidates), ("a", KEPT, ("a", "b", "c")))
        self.assertEqual(self.picks(), {"new": 2, "kept": 19})

    def test_several_at_once(self) -> None:
        """The connections that a new client makes at once go to one server, before the first is made."""
        guests = [self.guest() for _ in range(4)]
        for guest in guests:
            self.endpoints["a"].accept()
            self.served(guest)
        self.assertEqual(self.servers["a"].active, 4)

    def test_time(self) -> None:
        """The time of a client begins when its last connection ends."""
        first, second = self.come("a"), self.come("a")
        self.clock.advance(60)
        first.lose()
        self.clock.advance(60)
        self.come("a").lose()
        second.lose()
        self.clock.advance(9)
        self.come("a").lose()
        self.clock.advance(10)
        self.come("b").lose()
        self.assertEqual(self.open(), [0])

    def test_who_leaves_early(self) -> None:
        """A client that gives up while it is connected has no connection that would be counted."""
        guest = self.guest()
        guest.acquired.cancel()
        self.failureResultOf(guest.acquired)
        self.assertEqual(self.open(), [0])
        self.come("a")

    def test_no_address(self) -> None:
        """Clients without an address take their turns, and leave nothing behind."""
        for server in "abca":
            self.come(server, "")
        self.assertEqual((len(self.table), self.picks()), (0, {}))

    def test_a_balancer_that_is_named(self) -> None:
        """Who names a balancer gets the server that this one picks, and is not remembered."""
        self.come("a")
        acquired = self.upstream.acquire(ANN, balancer=RoundRobin(random.Random(1)))
        self.endpoints["a"].accept()
        self.successResultOf(acquired).attach(Taker())
        other = self.upstream.acquire(BEN, balancer=First(random.Random(1)))
        self.endpoints["a"].accept()
        self.successResultOf(other).attach(Taker())
        self.assertEqual(self.open(), [1])

    def test_whatif(self) -> None:
        """What would become of a client is told as it would be, and nothing of it is remembered."""
        self.come("a")
        home = {"server": "a", "idle": 0.0, "open": 1}
        for host, server, known in ((ANN, "a", home), (BEN, "b", None), (BEN, "b", None)):
            told = self.upstream.whatif(host)
            self.assertEqual((told.pick.server, told.home), (server, known))
            self.assertEqual(told.pick.basis == KEPT, known is not None)
        self.assertEqual((len(self.table), self.picks()), (1, {"new": 1}))

    def test_off(self) -> None:
        """Without a table there is nothing to be told."""
        UpstreamCase.build(self)
        self.assertIsNone(self.upstream.affinity)
        self.assertIsNone(self.upstream.status()["affinity"])
        self.assertIsNone(self.upstream.whatif(ANN).home)
        with self.assertRaisesRegex(ChangeRefused, "upstream db has no affinity"):
            self.upstream.clear_affinity()

    def test_cleared(self) -> None:
        """Who is forgotten is led as one who is new, and what was counted of its connections stays true."""
        connection = self.come("a")
        self.come("b", BEN)
        self.assertEqual(self.upstream.clear_affinity(ANN), 1)
        self.come("c")
        connection.lose()
        self.assertEqual(self.open(), [1, 1])
        self.assertEqual((self.upstream.clear_affinity(), self.upstream.clear_affinity()), (2, 0))


class MovedTests(AffinityCase):
    """A client whose server may not be picked, or is not reached."""

    def test_for_good(self) -> None:
        """A client whose server goes down, or is drained, is at home where it was led to instead."""
        self.come("a").lose()
        self.down("a")
        self.come("b").lose()
        self.down("a", up=True)
        self.come("b").lose()
        self.members.administer(self.servers["b"], Administration.DRAIN)
        self.come("c").lose()
        self.members.administer(self.servers["b"], Administration.READY)
        self.come("c").lose()
        self.assertEqual(self.picks(), {"new": 1, "down": 1, "kept": 2, "draining": 1})

    def test_full(self) -> None:
        """A client whose server is full does not wait for it."""
        self.build(max_connections=1)
        self.come("a")
        self.come("b")
        self.assertEqual(self.picks(), {"new": 1, "full": 1})

    def test_refused(self) -> None:
        """When its server refuses, a client is moved in the same search, and the record says from where."""
        self.come("a").lose()
        guest = self.guest()
        self.endpoints["a"].refuse()
        self.endpoints["b"].accept()
        self.served(guest)
        first, second = guest.record.picks
        assert second.basis is not None
        self.assertEqual((first.server, first.basis, second.server), ("a", KEPT, "b"))
        rule = second.basis.told(second.choice, "b").rule
        self.assertEqual(rule[:34], "affinity with a is broken, tried; ")
        self.assertEqual(self.picks(), {"new": 1, "kept": 1, "tried": 1})
        self.come("b")

    def test_nobody(self) -> None:
        """When there is nobody, or all have refused, nothing is counted as open."""
        self.build("a", patience=Patience(retries=0))
        guest = self.guest()
        self.endpoints["a"].refuse()
        self.failureResultOf(guest.acquired, ConnectFailed)
        self.down("a")
        self.failureResultOf(self.guest().acquired, NoServer)
        self.assertEqual(self.open(), [0])

    def test_removed(self) -> None:
        """The clients of a server that is removed are led elsewhere when they come."""
        self.come("a").lose()
        self.members.remove(self.servers["a"], "gone")
        self.come("b").lose()
        self.assertEqual(self.picks(), {"new": 1, "removed": 1})
