"""The contracts of pools hold for a provider that is not ours, and find what is wrong with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.servers import Server
from tcpsuite.errors import Closed
from tcpsuite.net.leases import PooledLease
from tcpsuite.testing.pools import SingleUsePoolContract
from tcpsuite.testing.pools_reuse import ReusingPoolContract
from tests.support.sample_pool import StackPool
from tests.testing.test_contracts import run

if TYPE_CHECKING:
    from tcpsuite.interfaces import ILease

SERVER = Server("a", "tcp:192.0.2.1:1")


class SampleOnceTests(SingleUsePoolContract, SynchronousTestCase):
    """A pool of somebody's own that lends once."""

    def make_pool(self, endpoint, clock):
        return StackPool(SERVER, endpoint, clock)


class SampleReuseTests(ReusingPoolContract, SynchronousTestCase):
    """A pool of somebody's own that lends again."""

    def make_pool(self, endpoint, clock):
        return StackPool(SERVER, endpoint, clock, self.maximum, self.waiters)


class Greedy(StackPool):
    """Makes as many connections as are wanted."""

    def has_room(self) -> bool:
        return True


class Unfair(StackPool):
    """Serves who came last."""

    def serve(self) -> None:
        self.queue.reverse()
        super().serve()
        self.queue.reverse()


class Trusting(StackPool):
    """Lends again whatever comes back."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        assert isinstance(lease, PooledLease)
        if (held := lease.give_back({held.number: held for held in self.held})) is not None:
            held.take_back()
            self.idle.append(held)
            self.serve()
            lease.end(self.clock.seconds())


class Twice(Trusting):
    """Takes back what was given back already."""

    def release(self, lease: ILease, reusable: bool = True, ok: bool = True) -> None:
        assert isinstance(lease, PooledLease)
        lease._returned, lease._outcome = False, None
        super().release(lease)


class Mute(StackPool):
    """Answers nobody with an error."""

    def reject(self, number: int, error: BaseException) -> None:
        pass


class Oblivious(StackPool):
    """Forgets those whom a pause holds."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.room.close = lambda error: None  # type: ignore[method-assign]


class Wasteful(StackPool):
    """Gives up what is being made when somebody gives up."""

    def forget(self, number: int) -> None:
        super().forget(number)
        for connection in tuple(self.making):
            self.attempts.give_up(connection, Closed("given up"))
        self.making.clear()


class Hasty(StackPool):
    """Is closed before its leases are."""

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        super().close(deadline)
        return succeed(None)


class PoolContractTests(SynchronousTestCase):
    """What the contract finds."""

    def broken(self, pool: type[StackPool]) -> set[str]:
        """The names of the tests that a pool of four connections does not pass."""
        result = run(
            ReusingPoolContract, make_pool=lambda _, endpoint, clock: pool(SERVER, endpoint, clock, 4, 3)
        )
        self.flushLoggedErrors()
        return {case.id().rpartition(".")[2] for case, _ in result.failures + result.errors}

    def test_faults(self) -> None:
        """Each fault is found, by the tests that say so."""
        for pool, test in (
            (Greedy, "test_never_more_than_the_maximum"),
            (Unfair, "test_never_more_than_the_maximum"),
            (Trusting, "test_what_is_not_reusable_is_closed"),
            (Trusting, "test_what_is_still_in_use_is_closed"),
            (Twice, "test_what_is_released_twice_is_lent_once"),
            (Mute, "test_nobody_waits_for_ever"),
            (Oblivious, "test_closing_tells_who_is_held"),
            (Wasteful, "test_who_gives_up_leaves_its_connection_to_the_next"),
            (Hasty, "test_closing_gives_leases_their_time"),
        ):
            self.assertIn(test, self.broken(pool), pool)
        self.assertEqual(self.broken(StackPool), set())
