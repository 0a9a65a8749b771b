"""The contract of session stores finds what is wrong with a store."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.stores.memory import MemoryStore
from tcpsuite.testing.stores import PLENTY, SessionStoreContract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tcpsuite.core.sessions import Session


class Sharing(MemoryStore):
    """Hands out what it keeps."""

    def get(self, digest: bytes) -> Deferred[Session | None]:
        return self._answer(lambda: self._sessions.get(digest))


class Boundless(MemoryStore):
    """Keeps any number of sessions."""

    def create(self, session: Session, limit: int) -> Deferred[bool]:
        return super().create(session, PLENTY)


class Replacing(MemoryStore):
    """Takes a change for all that there is."""

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], used: float, requests: int
    ) -> Deferred[bool]:
        if digest in self._sessions:
            self._sessions[digest].data.clear()
        return super().change(digest, changes, used, requests)


class Hasty(MemoryStore):
    """Forgets what was used at the very moment."""

    def expire(self, before: float) -> Deferred[int]:
        return super().expire(before + 0.001)


class Untouched(MemoryStore):
    """Does not hear of a touch."""

    def touch(self, digest: bytes, used: float, requests: int) -> None:
        pass


class Undead(MemoryStore):
    """Goes on after it was closed."""

    def close(self) -> Deferred[None]:
        return succeed(None)


def broken(store: type[MemoryStore]) -> set[str]:
    """The names of the tests that the store does not pass."""
    suite = type("Suite", (SessionStoreContract, SynchronousTestCase), {"make_store": lambda _: store()})
    result = unittest.TestResult()
    unittest.TestLoader().loadTestsFromTestCase(suite).run(result)
    return {case.id().rpartition(".")[2] for case, _ in result.failures + result.errors}


class SessionStoreContractTests(SynchronousTestCase):
    """Good stores pass, faulty ones do not."""

    def test_a_good_one(self) -> None:
        """A store that keeps its promises passes."""
        self.assertEqual(broken(MemoryStore), set())

    def test_faults(self) -> None:
        """Each fault is found, by the test that says so."""
        for store, test in (
            (Sharing, "test_sessions_are_copies"),
            (Boundless, "test_create_within_the_limit"),
            (Replacing, "test_change"),
            (Hasty, "test_expire"),
            (Untouched, "test_touch"),
            (Undead, "test_closed"),
        ):
            self.assertIn(test, broken(store))
