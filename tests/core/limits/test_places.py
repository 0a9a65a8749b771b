"""Tests for tcpsuite.core.limits.places: connections that several processes count together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import Limits, ResourceLimiter, Terms
from tcpsuite.core.limits.sharing import AT_ONCE
from tcpsuite.core.limits.standing import STEP, Backlog, Recency
from tcpsuite.errors import LocalError
from tcpsuite.interfaces import Verdict
from tcpsuite.testing.limiters import LimiterContract
from tests.support.limit_store import Counted, Process, Store

CLIENT, OTHER = "192.0.2.1", "192.0.2.2"
LIMIT, BATCH = 20, 4
AHEAD = 1.0


class Server(Process):
    """A process with clients."""

    def __init__(
        self, name: str, store: Store, terms: Terms | None = None, limits: Limits | None = None
    ) -> None:
        super().__init__(name, store)
        terms = terms or Terms(batch=BATCH / LIMIT)
        self.tables = self.sharing.tables(
            "l", dict.fromkeys(("connections_per_ip", "connections_per_user"), terms)
        )
        self.limiter = ResourceLimiter(
            limits or Limits(connections_per_ip=LIMIT, connections_per_user=LIMIT), shared=self.tables
        )
        self.store = store
        self.open: list[Verdict] = []

    def come(self, number: int = 1, client: str = CLIENT) -> int:
        """So many come in one moment; how many of them are let in."""
        verdicts = [self.limiter.admit(client, self.store.now) for _ in range(number)]
        allowed = [verdict for verdict in verdicts if verdict.allowed]
        self.open += allowed
        return len(allowed)

    def go(self, number: int) -> None:
        for _ in range(number):
            self.limiter.release(self.open.pop())

    def come_slowly(self, number: int) -> int:
        """So many come, each behind the answers to the one before."""
        count = 0
        for _ in range(number):
            count += self.come()
            self.talk()
        return count

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.store.now += 1.0
            self.turn()
            self.talk()

    @property
    def reserved(self) -> float:
        assert self.tables.connections_per_ip is not None
        return self.tables.connections_per_ip.reserved


class PlacesTests(SynchronousTestCase):
    """Two processes and their store."""

    def setUp(self) -> None:
        self.store = Store()
        self.one, self.two = (Server(name, self.store) for name in "ab")

    def test_a_batch_on_credit(self) -> None:
        """Of who is new a process lets in a batch before it was told anything, and then as many as it has."""
        self.assertEqual(self.one.come(10), BATCH)
        self.one.talk()
        self.assertEqual(self.one.reserved, BATCH)
        self.assertEqual(self.one.come(20), 2 * BATCH)

    def test_all_of_the_limit(self) -> None:
        """One by one a client has all that there is, wherever it comes, and of each of them one more."""
        self.assertEqual(self.one.come_slowly(12), 12)
        self.one.turns(3)
        self.assertEqual(self.one.reserved, 0)
        self.assertEqual(self.two.come_slowly(12), 8)
        self.assertEqual(self.one.come_slowly(5), 1, "what it knew was old")

    def test_the_error(self) -> None:
        """Where all processes are new to a client, each lets in a batch too many, and no more."""
        self.assertEqual(self.one.come_slowly(LIMIT), LIMIT)
        self.assertEqual(self.two.come(LIMIT), BATCH)
        self.two.talk()
        self.store.now += AHEAD
        self.assertEqual(self.two.come_slowly(5), 0)
        self.two.go(1)
        self.assertEqual(self.two.come_slowly(5), 0, "what was too much is not given out again")
        self.one.go(BATCH)
        self.one.turns(3)
        self.store.now += AHEAD
        self.assertEqual(self.two.come_slowly(5), 1)

    def test_reason(self) -> None:
        """A refusal says that the others are elsewhere, and of whom."""
        self.one.come_slowly(LIMIT - 1)
        self.one.turns(3)
        self.two.come_slowly(1)
        self.assertEqual(self.two.come(), 0)
        verdict = self.two.limiter.admit(CLIENT, self.store.now)
        self.assertEqual(verdict.limit, "connections_per_ip")
        self.assertEqual(
            verdict.reason,
            f"{CLIENT} has 1 connections open here, of 20 in all; no others are free on the machines that "
            "share it",
        )

    def test_asks_seldom_when_there_is_none(self) -> None:
        """Who is refused again and again is asked about ten times a second at most."""
        self.two.come_slowly(LIMIT)
        self.two.turns(3)
        self.one.come_slowly(BATCH + 1)
        self.assertEqual(self.one.come_slowly(100), 0)
        asked = 0
        for _ in range(100):
            self.store.now += 0.01
            self.one.come()
            asked += self.one.talk()
        self.assertLessEqual(asked, 11)
        self.assertGreaterEqual(asked, 9)

    def test_gives_back(self) -> None:
        """What nobody uses is the others' after two seconds; a client that has left leaves nothing behind."""
        self.one.come_slowly(1)
        self.assertEqual(self.one.reserved, BATCH)
        self.one.turns(3)
        self.assertEqual(self.one.reserved, 0)
        self.one.go(1)
        self.one.turns(3)
        self.assertIn("open=0 shares=0 asks=0", repr(self.one.tables.connections_per_ip))
        self.assertEqual(self.two.come_slowly(LIMIT), LIMIT)

    def test_gives_back_what_many_had(self) -> None:
        """Of a client that comes and goes all the time no more than two batches stay reserved."""
        self.one.come_slowly(LIMIT)
        self.one.go(15)
        for _ in range(3):
            self.one.go(1)
            self.one.come_slowly(1)
            self.one.turns(1)
        self.assertLessEqual(self.one.reserved, 2 * BATCH)
        self.two.come_slowly(1)
        self.assertGreaterEqual(self.two.come_slowly(LIMIT), LIMIT - 5 - 2 * BATCH - 1)

    def test_given_back_is_given_out_no_more(self) -> None:
        """What it gives back it lets nobody in from, from the moment that it says so."""
        self.one.come_slowly(LIMIT)
        self.one.go(15)
        self.two.talk()
        self.one.turn()
        question = self.one.ask()
        assert question is not None
        answer = self.one.send(question)
        self.two.come_slowly(LIMIT)
        self.assertLessEqual(self.one.come(LIMIT), 2 * BATCH)
        self.one.receive(question, answer)
        self.assertLessEqual(len(self.one.open) + len(self.two.open), LIMIT + 2 * BATCH)

    def test_asks_before_it_runs_out(self) -> None:
        """When half of a batch is left the next one is asked for."""
        self.one.come_slowly(1)
        asks = self.one.tables.connections_per_ip.asks  # type: ignore[union-attr]
        self.one.come(BATCH // 2)
        self.assertEqual(len(asks), 0)
        self.one.come(1)
        self.assertEqual(list(asks), [CLIENT])

    def test_users(self) -> None:
        """Logins are counted the same way, by user."""
        for server in (self.one, self.two):
            for _ in range(LIMIT // 2):
                self.assertTrue(server.limiter.admit_user("ann", self.store.now).allowed)
                server.talk()
            server.turns(3)
        self.two.come_slowly(1)
        for server in (self.one, self.two):
            self.store.now += AHEAD
            for _ in range(BATCH + 1):
                verdict = server.limiter.admit_user("ann", self.store.now)
                server.talk()
            self.assertFalse(verdict.allowed)
            self.assertIn("ann has ", verdict.reason)

    def test_no_limit(self) -> None:
        """Who may have any number is counted, and nobody is asked about that."""
        server = Server("c", self.store, limits=Limits(connections_per_ip=0, connections_per_user=0))
        server.talk()
        self.assertEqual(server.come(1000), 1000)
        self.assertTrue(server.limiter.admit_user("ann", 0.0).allowed)
        self.assertEqual(server.talk(), 0)

    def test_said_again(self) -> None:
        """What is open is said again every minute, for Redis forgets what nobody says."""
        self.one.come_slowly(3)
        self.one.turns(3)
        self.store.reserved.clear()
        self.one.turns(60)
        self.assertEqual(self.store.reserved["l:connections_per_ip:192.0.2.1"]["a.0"], 3)

    def test_answer_to_who_has_left(self) -> None:
        """A claim may be answered when nothing is left of its key."""
        self.one.come()
        claim = self.one.ask().claims[0]  # type: ignore[union-attr]
        self.one.go(1)
        for _ in range(3):
            self.one.turn()
        claim.table.answer(claim, 5, 5, self.store.now)
        claim.table.answer(claim, 5, 5, self.store.now)
        self.assertEqual(self.one.reserved, 0)

    def test_many_at_once(self) -> None:
        """However many keys claims are to be made of, a question begins once to look for them, and a turn
        looks at so many in one step.
        """
        table = self.one.tables.connections_per_ip
        assert table is not None
        for number in range(2 * STEP):
            self.one.come(1, f"10.0.{number // 250}.{number % 250}")
        self.assertEqual([self.one.turn() for _ in range(2)], [3, 3])
        table.asks = Counted(table.asks)
        self.assertEqual(len(table.claims(AT_ONCE)), AT_ONCE)
        self.assertEqual((table.asks.begun, len(table.asks)), (1, 2 * STEP - AT_ONCE))

    def test_forgotten_before_it_was_said(self) -> None:
        """Of whom nothing is left, since the store is back, no claim is made."""
        table = self.one.tables.connections_per_ip
        assert table is not None
        self.one.come(1, CLIENT)
        self.one.come(1, OTHER)
        claims = table.claims(2)
        self.one.go(1)
        for _ in range(3):
            self.one.turn()
        table.tell_all()
        for claim in claims:
            table.answer(claim, 1, 9, self.store.now)
        self.assertEqual([claim.key for claim in table.claims(9)], [CLIENT])
        self.assertEqual(len(table.untold), 0)


class TermsTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Parts of a limit: one at least, a share rounded up, nothing where it is refused."""
        terms = Terms(batch=0.1, local_share=0.34)
        self.assertEqual([terms.batch_of(most) for most in (1, 5, 100)], [1, 1, 10])
        self.assertEqual([terms.alone_of(most) for most in (1, 5, 100)], [1, 2, 34])
        self.assertEqual(Terms(refuse=True).alone_of(100), 0)

    def test_nonsense(self) -> None:
        """No part, and more than all, are refused."""
        for value in (0, 1.01, -1, float("nan")):
            self.assertRaises(LocalError, Terms, batch=value)
            self.assertRaises(LocalError, Terms, local_share=value)


class RecencyTests(SynchronousTestCase):
    def test_two_turns(self) -> None:
        """A key is recent in the turn in which one hears of it, however often, and in the next."""

        class Thing:
            heard = 0

        recency: Recency[Thing] = Recency()
        first, second = Thing(), Thing()
        recency.note("a", first)
        recency.note("a", first)
        self.assertEqual(repr(recency), "<Recency turn=1 heard=1>")
        self.assertEqual(recency.turn(), (["a"], []))
        self.assertTrue(recency.recent(first))
        recency.note("b", second)
        self.assertEqual(recency.turn(), (["b"], ["a"]))
        self.assertEqual([recency.recent(each) for each in (first, second)], [False, True])


class BacklogTests(SynchronousTestCase):
    def test_some(self) -> None:
        """All come once, some at a time, and none when none is wanted."""
        backlog = Backlog()
        backlog.fill("abcde")
        self.assertEqual(backlog.some(0), [])
        self.assertEqual(backlog.some(3), ["c", "d", "e"])
        self.assertEqual(repr(backlog), "<Backlog 2>")
        self.assertEqual((backlog.some(3), len(backlog), backlog.some(3)), (["a", "b"], 0, []))


class ContractTests(LimiterContract, SynchronousTestCase):
    """A limiter that shares its limits keeps to the contract, as far as nobody else is there."""

    connections = LIMIT
    logins = LIMIT

    def make_limiter(self) -> ResourceLimiter:
        return Server("a", Store(), Terms(batch=1.0)).limiter
