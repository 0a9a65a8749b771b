"""Sessions in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.stores.memory import MemoryStore
from tcpsuite.testing.stores import SessionStoreContract, session


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
