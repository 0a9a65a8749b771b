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
    from collections.abc import Callable, Mapping
    from typing import Any

    from tcpsuite.core.sessions import Kept, Session, SessionTotals


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
    ) -> Deferred[int | None]:
        if digest in self._sessions:
            version = self._sessions[digest].version
        return super().change(digest, changes, version, used, requests)


class Overwriting(MemoryStore):
    """Takes a session whose digest is there for a new one."""

    def create(self, session: Session, limit: int, user_limit: int = 0) -> Deferred[Kept]:
        return self._answer(lambda: self._create(session, limit, user_limit))


class Late(MemoryStore):
    """Does some of what it is asked only behind the next question."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[tuple[Callable[[], Deferred[Any]], Deferred[Any]]] = []

    def postpone(self, work: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Do it later."""
        self.late.append((work, Deferred()))
        return self.late[-1][1]

    def catch_up(self) -> None:
        """Do what is late, unless nobody waits for it any more."""
        late, self.late = self.late, []
        for work, done in late:
            if not done.called:
                work().chainDeferred(done)


class Disorderly(Late):
    """Deletes behind the question that comes after it."""

    def delete(self, digest: bytes) -> Deferred[bool]:
        delete = super().delete
        return self.postpone(lambda: delete(digest))

    def get(self, digest: bytes) -> Deferred[Session | None]:
        got = super().get(digest)
        self.catch_up()
        return got


class Dropping(Late):
    """Does not change what nobody waits for."""

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[int | None]:
        change = super().change
        return self.postpone(lambda: change(digest, changes, version, used, requests))

    def get(self, digest: bytes) -> Deferred[Session | None]:
        self.catch_up()
        return super().get(digest)


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

    async def _totals(self, top: int) -> SessionTotals:
        totals = await super()._totals(len(self._users))
        return evolve(totals, top={user: self._users[user] for user in [*self._users][:top]})


class Replacing(MemoryStore):
    """Takes a change for all that there is."""

    def change(
        self, digest: bytes, changes: Mapping[str, str | None], version: int, used: float, requests: int
    ) -> Deferred[int | None]:
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
            (Overwriting, "test_create_what_is_there"),
            (Disorderly, "test_in_order"),
            (Dropping, "test_cancel"),
            (Ageless, "test_expire_by_age"),
            (Lingering, "test_expire_many"),
            (Miscounting, "test_totals"),
            (Unranked, "test_totals_of_users"),
            (Untouched, "test_touch"),
            (Undead, "test_closed"),
        ):
            self.assertIn(test, broken(store))
