"""The contract of session stores finds what is wrong with a store."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.stores.memory import MemoryStore
from tcpsuite.testing.stores import PLENTY, SessionStoreContract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tcpsuite.core.sessions import Kept, Session, Totals


class Sharing(MemoryStore):
    """Hands out what it keeps."""

    def get(self, digest: bytes) -> Deferred[Session | None]:
        return self._answer(lambda: self._sessions.get(digest))


class Boundless(MemoryStore):
    """Keeps any number of sessions."""

    def create(self, session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        return super().create(session, PLENTY, user_limit)


class Greedy(MemoryStore):
    """Lets a user keep any number of sessions."""

    def create(self, session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        return super().create(session, limit)


class Heavy(MemoryStore):
    """Brings the data along with the head."""

    def head(self, digest: bytes) -> Deferred[Session | None]:
        return self.get(digest)


class Careless(MemoryStore):
    """Makes a change of whatever version."""

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[bool]:
        if digest in self._sessions:
            version = self._sessions[digest].version
        return super().change(digest, changes, version, used, requests)


class Ageless(MemoryStore):
    """Lets none grow too old."""

    def expire(self, used: float, created: float = 0.0) -> Deferred[int]:
        return super().expire(used)


class Lingering(MemoryStore):
    """Forgets one at a time."""

    async def _expire(self, used: float, created: float) -> int:
        old = [digest for digest, session in self._sessions.items() if session.used < used][:1]
        return sum(self._delete(digest) for digest in old)


class Miscounting(MemoryStore):
    """Counts those that have gone."""

    def _delete(self, digest: bytes) -> bool:
        return self._sessions.pop(digest, None) is not None


class Unranked(MemoryStore):
    """Tells of those who came first."""

    async def _totals(self, top: int) -> Totals:
        totals = await super()._totals(len(self._users))
        return evolve(totals, top={user: self._users[user] for user in [*self._users][:top]})


class Replacing(MemoryStore):
    """Takes a change for all that there is."""

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[bool]:
        if digest in self._sessions:
            self._sessions[digest].data.clear()
        return super().change(digest, changes, version, used, requests)


class Hasty(MemoryStore):
    """Forgets what was used at the very moment."""

    def expire(self, used: float, created: float = 0.0) -> Deferred[int]:
        return super().expire(used + 0.001, created)


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
            (Greedy, "test_create_within_the_limit_of_a_user"),
            (Heavy, "test_head"),
            (Replacing, "test_change"),
            (Careless, "test_change_of_another_version"),
            (Hasty, "test_expire"),
            (Ageless, "test_expire_by_age"),
            (Lingering, "test_expire_many"),
            (Miscounting, "test_totals"),
            (Unranked, "test_totals_of_users"),
            (Untouched, "test_touch"),
            (Undead, "test_closed"),
        ):
            self.assertIn(test, broken(store))
