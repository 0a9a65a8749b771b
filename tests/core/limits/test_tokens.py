"""Tests for tcpsuite.core.limits.tokens: rates that several processes count together."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.limits import Limits, ResourceLimiter, Terms
from tcpsuite.core.limits.sharing import AT_ONCE
from tcpsuite.core.limits.standing import STEP
from tcpsuite.core.limits.tokens import Tokens
from tests.support.limit_store import Counted, Process, Store

RATE, BURST, BATCH = 10.0, 20, 4
KEY = "192.0.2.1"


class Asker(Process):
    """A process with clients that ask."""

    def __init__(self, name: str, store: Store, terms: Terms | None = None) -> None:
        super().__init__(name, store)
        self.store = store
        found = self.sharing.tables("l", {"message_rate": terms or Terms(batch=BATCH / BURST)}).message_rate
        assert found is not None
        self.table: Tokens = found

    def spend(self, number: int = 1) -> int:
        """So many requests come in one moment; how many are allowed."""
        return sum(not self.table.spend(KEY, 1, RATE, BURST, self.store.now) for _ in range(number))

    def spend_slowly(self, number: int) -> int:
        count = 0
        for _ in range(number):
            count += self.spend()
            self.talk()
        return count


class TokensTests(SynchronousTestCase):
    """Two processes and their store."""

    def setUp(self) -> None:
        self.store = Store()
        self.one, self.two = (Asker(name, self.store) for name in "ab")

    def test_a_batch_on_credit(self) -> None:
        """Of who is new a batch is let through before anything was told; then what was paid for."""
        self.assertEqual(self.one.spend(10), BATCH)
        self.one.talk()
        self.assertEqual(self.one.table.reserved, BATCH)
        self.assertEqual(self.one.spend(10), 2 * BATCH)

    def test_a_burst_over_all(self) -> None:
        """Together they let a burst through, and then so many a second."""
        total = self.one.spend_slowly(15) + self.two.spend_slowly(15)
        self.assertGreaterEqual(total, BURST - 2 * BATCH)
        self.assertLessEqual(total, BURST + 2 * 2 * BATCH)
        begun = self.store.now
        for _ in range(400):
            self.store.now += 0.025
            total += self.one.spend_slowly(1) + self.two.spend_slowly(1)
        due = BURST + RATE * (self.store.now - begun)
        self.assertGreaterEqual(total, 0.9 * due)
        self.assertLessEqual(total, due + 2 * 2 * BATCH)

    def test_retry_after(self) -> None:
        """Who is refused learns when there is one more, and then there is."""
        while self.one.spend_slowly(1):
            pass
        wait = self.one.table.spend(KEY, 1, RATE, BURST, self.store.now)
        self.assertGreater(wait, 0)
        self.store.now += wait
        self.assertEqual(self.one.spend(), 1)

    def test_more_than_a_burst(self) -> None:
        """What is more than a burst is never allowed; what is more than a batch is, if there is so much."""
        self.assertEqual(self.one.table.spend(KEY, BURST + 1, RATE, BURST, 0.0), float("inf"))
        self.assertEqual(self.one.table.spend(KEY, BURST, RATE, BURST, 0.0), 0.0)
        self.assertGreater(self.one.table.spend(KEY, 1, RATE, BURST, 0.0), 0.0)

    def test_gives_back(self) -> None:
        """What nobody spends is given back, and who is quiet is forgotten."""
        self.assertEqual(self.one.spend_slowly(1), 1)
        spent = self.store.paid[f"l:message_rate:{KEY}"]
        for _ in range(3):
            self.one.turn()
            self.one.talk()
        self.assertAlmostEqual(self.store.paid[f"l:message_rate:{KEY}"], spent - BATCH / RATE)
        self.assertEqual(repr(self.one.table), "<Tokens l:message_rate purses=0 asks=0>")

    def test_forgets_who_has_nothing(self) -> None:
        """Who has neither anything left nor anything to pay is forgotten without a word."""
        self.assertEqual(self.one.spend_slowly(1), 1)
        self.one.table.spend(KEY, BATCH, RATE, BURST, self.store.now)
        self.one.turn()
        while self.one.table.reserved:
            self.one.spend()
        self.one.talk()
        self.one.spend(int(self.one.table.reserved))
        self.one.table.asks.clear()
        for _ in range(3):
            self.one.turn()
        question = self.one.ask()
        assert question is None or question.purchases == []
        self.assertIn("purses=0", repr(self.one.table))

    def test_no_answer(self) -> None:
        """What was spent on credit is said again when nobody knows whether it was heard."""
        self.one.spend(3)
        question = self.one.lose()
        self.assertEqual([each.debt for each in question.purchases], [3])
        self.store.now += 1.0
        self.one.talk()
        self.assertGreaterEqual(self.store.paid[f"l:message_rate:{KEY}"], self.store.now + 3 / RATE)
        self.assertEqual(repr(self.one.table), "<Tokens l:message_rate purses=1 asks=0>")

    def test_quiet_under_way(self) -> None:
        """Who is quiet when the answer comes gives back what it brings, and is forgotten then."""
        self.one.spend(1)
        question = self.one.ask()
        assert question is not None
        for _ in range(3):
            self.one.turn()
        self.one.receive(question, self.one.send(question))
        self.assertEqual(self.one.table.reserved, BATCH)
        self.one.talk()
        self.assertAlmostEqual(self.store.paid[f"l:message_rate:{KEY}"], self.store.now + 1 / RATE)
        self.assertEqual(repr(self.one.table), "<Tokens l:message_rate purses=0 asks=0>")

    def test_capacity(self) -> None:
        """Of more keys than there is room for those are forgotten that were heard of longest ago."""
        table = Tokens("l", self.one.sharing.standing, Terms(), capacity=2)
        for keys in ("ab", "a", "c"):
            for key in keys:
                table.spend(key, 1, RATE, BURST, 0.0)
            deque(table.turn(0.0), 0)
        self.assertEqual(sorted(table.top(9, 0.0)), ["a", "c"])
        purchases = table.purchases(9, 0.0)
        self.assertEqual([each.key for each in purchases], ["a", "c"])
        table.spend("d", 1, RATE, BURST, 0.0)
        table.spend("e", 1, RATE, BURST, 0.0)
        for each in purchases:
            table.answer(each, 2.0, 0.3, 0.0)
        table.failed(purchases)
        self.assertEqual(list(table.asks), ["d", "e"])

    def test_alone(self) -> None:
        """While nobody answers the local share of rate and burst is let through, and said when it is back."""
        self.one.spend_slowly(1)
        self.one.lose()
        self.store.now += 3.1
        self.one.lose()
        allowed = self.one.spend(100)
        self.assertEqual(allowed, BATCH + 7, "what was paid for, and 0.34 of 20")
        self.one.talk()
        self.assertIsNone(self.one.sharing.standing.away_since)
        self.assertGreaterEqual(self.store.paid[f"l:message_rate:{KEY}"], self.store.now + 0.7)
        self.assertGreater(self.one.table.spent(KEY, RATE, self.store.now), 7)

    def test_refuses(self) -> None:
        """Where it refuses while nobody answers, nothing is let through; the reason says why."""
        one = Asker("c", self.store, Terms(refuse=True))
        limiter = ResourceLimiter(
            Limits(message_rate=RATE, message_burst=BURST),
            shared=one.sharing.tables("m", {"message_rate": Terms(refuse=True)}),
        )
        one.lose()
        self.assertEqual(one.spend(3), 0)
        verdict = limiter.spend(KEY, 1, self.store.now)
        why = "the others cannot be asked, and this process counts alone"
        self.assertEqual(
            (verdict.allowed, verdict.reason, verdict.retry_after),
            (False, f"{KEY} has more than 10 requests a second; {why}", 1.0),
        )

    def test_many_at_once(self) -> None:
        """However many keys are to be asked about, a question begins once to look for them."""
        table = self.one.table
        for number in range(3 * AT_ONCE):
            table.spend(f"k{number}", 1, RATE, BURST, 0.0)
        table.asks = Counted(table.asks)
        purchases = table.purchases(AT_ONCE, 0.0)
        self.assertEqual([each.key for each in purchases], [f"k{number}" for number in range(AT_ONCE)])
        self.assertEqual((table.asks.begun, len(table.asks)), (1, 2 * AT_ONCE))

    def test_many_are_quiet(self) -> None:
        """A turn looks at so many keys in one step, and all of them are given back."""
        for number in range(2 * STEP + 1):
            self.one.table.spend(f"k{number}", 1, RATE, BURST, 0.0)
        self.one.talk()
        self.assertEqual([self.one.turn() for _ in range(3)], [1, 3, 1])
        self.assertEqual(len(self.one.table.asks), 2 * STEP + 1)
        self.one.talk()
        self.assertEqual(repr(self.one.table), "<Tokens l:message_rate purses=0 asks=0>")

    def test_many_while_alone(self) -> None:
        """What many have spent while it counted alone is said some at a time; of whom it was not said yet
        nothing more is let through on credit.
        """
        self.one.lose()
        keys = [f"k{number}" for number in range(AT_ONCE + 2)]
        for key in keys:
            while not self.one.table.spend(key, 1, RATE, BURST, 0.0):
                pass
        for _ in range(2):
            question = self.one.ask()
            assert question is not None
            self.one.receive(question, self.one.send(question))
        self.assertIsNone(self.one.sharing.standing.away_since)
        self.assertTrue(self.one.sharing.wanting)
        self.assertNotIn("l:message_rate:k0", self.store.paid)
        self.assertGreater(self.one.table.spend("k0", 1, RATE, BURST, 0.0), 0)
        self.one.talk()
        for key in keys:
            self.assertGreaterEqual(self.store.paid[f"l:message_rate:{key}"], 0.7)

    def test_forgotten_before_it_was_said(self) -> None:
        """Who was forgotten since the store is back is not spoken of."""
        table = Tokens("l", self.one.sharing.standing, Terms(), capacity=2)
        for key in "ab":
            table.spend(key, 1, RATE, BURST, 0.0)
        table.tell_all()
        table.spend("c", 1, RATE, BURST, 0.0)
        self.assertEqual([each.key for each in table.purchases(9, 0.0)], ["b", "c"])

    def test_top(self) -> None:
        """Who has spent most, here and elsewhere, comes first."""
        for number in range(3):
            for _ in range(number):
                self.one.table.spend(f"k{number}", 1, RATE, BURST, 0.0)
        self.assertEqual(self.one.table.top(9, 0.0), ["k2", "k1"])
        self.assertEqual(self.one.table.spent("k2", RATE, 0.0), 2)
        self.assertEqual(self.one.table.spent("nobody", RATE, 0.0), 0)
        self.two.spend_slowly(12)
        self.one.spend()
        self.one.talk()
        self.assertGreater(self.one.table.spent(KEY, RATE, 0.0), 12)

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.integers(1, 12),
                st.sampled_from([0.0, 0.05, 0.3, 1.0, 4.0]),
                st.booleans(),
            ),
            max_size=60,
        )
    )
    def test_never_too_many(self, steps: list[tuple[int, int, float, bool]]) -> None:
        """Whoever asks, whenever: in all time they let through no more than a burst, what the rate gave
        meanwhile, and two batches of each.
        """
        store = Store()
        askers = [Asker(name, store) for name in "abc"]
        total = 0
        for which, number, seconds, talks in steps:
            total += askers[which].spend(number)
            store.now += seconds
            for asker in askers:
                if talks:
                    asker.talk()
                asker.turn()
            self.assertLessEqual(total, BURST + RATE * store.now + 3 * 2 * BATCH)
