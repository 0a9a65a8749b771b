"""Sessions in memory."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.sessions import SessionTotals
from tcpsuite.errors import Closed
from tcpsuite.stores import memory
from tcpsuite.stores.memory import MemoryStore
from tcpsuite.testing.stores import SessionStoreContract, digest_named, session


class MemoryStoreTests(SessionStoreContract, SynchronousTestCase):
    """The contract, and what is its own."""

    def make_store(self) -> MemoryStore:
        """An open store."""
        store = MemoryStore()
        store.open()
        self.addCleanup(store.close)
        return store

    def test_repr(self) -> None:
        """It says how much it holds, and whether it is closed."""
        self.store.create(session("a"), 10)
        self.assertEqual(repr(self.store), "<MemoryStore 1 sessions>")
        self.store.close()
        self.assertEqual(repr(self.store), "<MemoryStore 0 sessions closed>")


class ManyTests(SynchronousTestCase):
    """More sessions than are looked at in one go."""

    def setUp(self) -> None:
        self.patch(memory, "AT_ONCE", 2)
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        for number, user in enumerate(("ann", "ben", "cid", "ben", "dan")):
            self.store.create(session(str(number), user, used=float(number)), 10)

    def turn(self) -> bool:
        """What is due happens, and nothing that it leads to; whether there was anything."""
        due, self.clock.calls = self.clock.calls, []
        for call in due:
            call.called = 1
            call.func(*call.args)
        return bool(due)

    def turns(self) -> int:
        """Have turns until there are none; how many."""
        return next(number for number in range(100) if not self.turn())

    def test_expire(self) -> None:
        """Others have their turn meanwhile: whom they delete or use is not swept, whom they add stays."""
        sweep = self.store.expire(5.0)
        self.assertNoResult(sweep)
        self.assertEqual(repr(self.store), "<MemoryStore 3 sessions>")
        self.store.delete(digest_named("2"))
        self.store.touch(digest_named("4"), 6.0, 1)
        self.store.create(session("new", used=1.0), 10)
        self.assertEqual(self.turns(), 2)
        self.assertEqual(self.successResultOf(sweep), 3)
        for name, kept in (("3", False), ("4", True), ("new", True)):
            found = self.successResultOf(self.store.head(digest_named(name)))
            self.assertEqual(found is not None, kept, name)

    def test_totals(self) -> None:
        """They are counted over several turns; who is gone by then is not among them."""
        counted = self.store.totals(3)
        self.store.delete(digest_named("2"))
        self.assertEqual(self.turns(), 3)
        expected = SessionTotals(4, 3, {"ben": 2, "ann": 1, "dan": 1}, 0, 0.0, 0.0)
        self.assertEqual(self.successResultOf(counted), expected)
        counted = self.store.totals(3)
        self.turn()
        self.store.delete(digest_named("0"))
        self.turns()
        self.assertEqual(self.successResultOf(counted).top, {"ben": 2, "dan": 1})

    def test_closed_meanwhile(self) -> None:
        """Nothing is left behind by a store that is closed while it looks; whoever asked learns of it."""
        asked = [self.store.expire(5.0), self.store.totals()]
        self.store.close()
        self.assertEqual(self.turns(), 0)
        for each in asked:
            self.failureResultOf(each, Closed)

    def test_nobody_waits(self) -> None:
        """Whoever gives up waiting ends the look."""
        asked = self.store.totals()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(self.turns(), 0)
