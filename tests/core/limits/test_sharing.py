"""Tests for tcpsuite.core.limits.sharing: with whom a process counts, and when it counts alone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import Limits, ResourceLimiter, Terms
from tcpsuite.core.limits.sharing import AT_ONCE, NOTHING_SHARED
from tests.core.limits.test_places import BATCH, CLIENT, LIMIT, Server
from tests.support.limit_store import Process, Store

LEASE = 9.0


class SharingTests(SynchronousTestCase):
    """Two processes and their store."""

    def setUp(self) -> None:
        self.store = Store()
        self.one, self.two = self.both(Terms(batch=BATCH / LIMIT, local_share=0.5))

    def both(self, terms: Terms, names: str = "ab") -> tuple[Server, Server]:
        one, two = (Server(name, self.store, terms) for name in names)
        one.talk()
        two.talk()
        self.store.now += LEASE / 3
        one.talk()
        return one, two

    def away_for(self, server: Server) -> float | None:
        since = server.sharing.standing.away_since
        return None if since is None else self.store.now - since

    def test_peers(self) -> None:
        """Each knows of the others that live, and of a life of its own nothing else than itself."""
        self.assertEqual(self.one.sharing.peers, {"b.0"})
        self.assertEqual(self.two.sharing.peers, {"a.0"})
        self.store.now += LEASE + 1
        self.two.talk()
        self.assertEqual(self.two.sharing.peers, set())
        self.assertEqual(repr(self.two.sharing), "<Sharing <Standing together> peers=0 tables=2>")

    def test_beats(self) -> None:
        """Whoever has nothing to ask is heard of thrice in a lease."""
        asked = 0
        for _ in range(180):
            self.store.now += 0.1
            asked += self.one.talk()
        self.assertIn(asked, (5, 6))

    def test_a_process_dies(self) -> None:
        """What it had is the others' when its lease has ended, and not before."""
        self.assertEqual(self.one.come_slowly(15), 15)
        self.two.talk()
        self.store.now += LEASE - 0.1
        had = self.two.come_slowly(LIMIT)
        self.assertLessEqual(had, LIMIT - 15)
        self.store.now += 0.2
        self.assertEqual(self.two.come_slowly(LIMIT), LIMIT - had)

    def test_alone(self) -> None:
        """While nobody answers it lets in its local share, of what is reserved too as long as that is."""
        self.assertEqual(self.one.come_slowly(1), 1)
        self.store.now += LEASE / 3
        self.one.lose()
        self.assertEqual(self.away_for(self.one), 0)
        self.assertEqual(self.one.come(LIMIT), LIMIT // 2 - 1)
        verdict = self.one.limiter.admit(CLIENT, self.store.now)
        self.assertEqual(
            verdict.reason,
            "192.0.2.1 has 10 connections open here, of 20 in all; it may have 10 here; "
            "the others cannot be asked, and this process counts alone",
        )
        self.assertEqual(repr(self.one.sharing), "<Sharing <Standing alone> peers=1 tables=2>")

    def test_refuses(self) -> None:
        """One that refuses while nobody answers lets in what is reserved until its lease ends."""
        one, _ = self.both(Terms(batch=BATCH / LIMIT, refuse=True), "cd")
        self.assertEqual(one.come_slowly(1), 1)
        self.store.now += LEASE / 3
        one.lose()
        self.assertEqual(one.come(2), 2)
        self.store.now += LEASE
        self.assertEqual(one.come(LIMIT), 0)

    def test_asks_whether_it_is_back(self) -> None:
        """While the store is away nothing is asked but whether it is back, and nothing is hurried."""
        self.one.come(2)
        self.one.lose()
        self.one.come(2)
        self.assertFalse(self.one.sharing.wanting)
        question = self.one.ask()
        assert question is not None
        self.assertEqual((question.claims, question.purchases, question.whole), ([], [], False))

    def test_back(self) -> None:
        """When it answers again all is said, and then it counts with the others."""
        self.one.come_slowly(2)
        self.one.lose()
        self.store.now += 2.0
        self.one.lose()
        self.one.come(6)
        self.one.talk()
        self.assertIsNone(self.away_for(self.one))
        self.assertEqual(self.store.reserved["l:connections_per_ip:192.0.2.1"]["a.0"], 8 + BATCH)

    def test_a_lost_answer(self) -> None:
        """What was heard, and not answered, is said again; nothing counts twice."""
        self.one.come(3)
        question = self.one.ask()
        assert question is not None
        self.one.send(question)
        self.one.sharing.failed(question, self.store.now)
        self.one.talk()
        self.assertIsNone(self.away_for(self.one))
        self.assertEqual(self.two.come_slowly(LIMIT), LIMIT - 3 - BATCH)

    def test_the_store_forgot(self) -> None:
        """A store that lost all gives nobody more until all that were there have said what they have."""
        self.one.come_slowly(10)
        self.two.come_slowly(5)
        self.store.forget()
        self.assertEqual(self.one.come(1), 1, "reserved before")
        self.store.now += LEASE / 3
        self.one.talk()
        self.assertEqual(self.away_for(self.one), 0)
        self.assertEqual(self.one.come(5), 0, "it has its local share")
        self.two.talk()
        self.store.now += 1.0
        self.one.talk()
        for server in (self.one, self.two):
            self.assertIsNone(self.away_for(server))
        self.assertLessEqual(self.one.come_slowly(LIMIT), LIMIT - 16)

    def test_the_store_waits_no_longer_than_a_lease(self) -> None:
        """One that died with what the store knew is waited for until its lease would have ended."""
        self.store.forget()
        self.store.now += LEASE / 3
        for _ in range(8):
            self.one.talk()
            self.assertIsNotNone(self.away_for(self.one))
            self.store.now += 1.0
        self.store.now += 1.0
        self.one.talk()
        self.assertIsNone(self.away_for(self.one))

    def test_a_new_life(self) -> None:
        """Who slept for longer than its lease says all again as somebody new: nothing stays from before."""
        self.one.come_slowly(6)
        self.one.go(2)
        self.store.now += LEASE + 1
        self.assertEqual(self.two.come_slowly(LIMIT), LIMIT)
        self.assertEqual(self.one.come(1), 1, "it has its local share before it has spoken")
        self.one.talk()
        self.assertIsNone(self.away_for(self.one))
        self.assertEqual(self.store.reserved["l:connections_per_ip:192.0.2.1"], {"b.1": LIMIT, "a.1": 5})
        self.store.now += 1
        self.assertEqual(self.one.come_slowly(1), 0)

    def test_long_away(self) -> None:
        """However long it is away, who has left leaves nothing behind."""
        self.one.lose()
        for number in range(100):
            self.one.lose()
            self.one.come(1, f"198.51.100.{number}")
            self.one.go(1)
            self.store.now += 1.0
            self.one.turn()
        table = self.one.tables.connections_per_ip
        assert table is not None
        self.assertLess(len(table._shares), 5)

    def test_many_keys(self) -> None:
        """A question is about so many keys at most; all tables come in turn, and all is said in the end."""
        number = 2 * AT_ONCE + 1
        for each in range(number):
            self.one.come(1, f"10.0.{each // 250}.{each % 250}")
            self.one.limiter.admit_user(f"u{each}", self.store.now)
        sizes = []
        while (question := self.one.ask()) is not None:
            sizes.append(len(question.claims))
            self.assertTrue(question.whole)
            self.one.receive(question, self.one.send(question))
        self.assertEqual(sizes, [AT_ONCE] * 4 + [2])
        self.store.now += LEASE / 3
        self.one.lose()
        self.assertIsNotNone(self.away_for(self.one))
        whole = []
        while (question := self.one.ask()) is not None:
            whole.append(question.whole)
            self.assertIsNotNone(self.away_for(self.one), whole)
            self.one.receive(question, self.one.send(question))
            self.assertIs(self.one.sharing.wanting, not question.whole)
        self.assertEqual(whole, [False] * 5 + [True])
        self.assertIsNone(self.away_for(self.one))


class TablesTests(SynchronousTestCase):
    def test_nothing_shared(self) -> None:
        """Who shares nothing has no tables, and nobody to stand with."""
        self.assertEqual((NOTHING_SHARED.given, NOTHING_SHARED.standing), ({}, None))
        self.assertIs(ResourceLimiter().shared, NOTHING_SHARED)

    def test_some(self) -> None:
        """What is not shared is counted here, whatever the others do."""
        process = Process("a", Store())
        tables = process.sharing.tables("l", {"connections_per_user": Terms()})
        limiter = ResourceLimiter(Limits(connections_per_ip=3), shared=tables)
        self.assertEqual(list(tables.given), ["connections_per_user"])
        self.assertIs(tables.standing, process.sharing.standing)
        self.assertEqual([limiter.admit(CLIENT, 0.0).allowed for _ in range(4)], [True] * 3 + [False])
