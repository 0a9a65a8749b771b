"""The contracts of pools hold for a provider that is not ours, and find what is wrong with one."""

from __future__ import annotations

import gc
import unittest

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.servers import Server
from tcpsuite.testing.pools import SingleUsePoolContract
from tcpsuite.testing.pools_reuse import ReusingPoolContract
from tests.support import broken_leases as leases
from tests.support import broken_pools as broken
from tests.support.sample_pool import StackPool

SERVER = Server("a", "tcp:192.0.2.1:1")


class SampleOnceTests(SingleUsePoolContract, SynchronousTestCase):
    """A pool of somebody's own that lends once."""

    def make_pool(self, endpoint, clock):
        return StackPool(SERVER, endpoint, clock)


class SampleReuseTests(ReusingPoolContract, SynchronousTestCase):
    """A pool of somebody's own that lends again."""

    def make_pool(self, endpoint, clock):
        return StackPool(SERVER, endpoint, clock, self.maximum, self.waiters)


EVERY: dict[type[StackPool], tuple[str, ...]] = {
    broken.Anonymous: ("says_its_state",),
    broken.Belated: ("who_is_answered_may_ask_and_think_better_of_it",),
    broken.Blunt: ("cutting_ends_leases_now",),
    leases.Borrowing: ("a_lease_is_released_to_its_own_pool",),
    broken.Credulous: ("a_time_that_is_none_is_refused",),
    broken.Discreet: ("closing_tells_who_waits_and_who_comes",),
    broken.Dropping: ("execute_gives_the_result_and_the_connection_back",),
    leases.Early: ("tells_of_the_end_behind_the_taker",),
    broken.Endless: ("nobody_is_held_for_longer_than_the_pause_allows",),
    leases.Forgetful: ("what_happened_before_attach_is_not_lost",),
    broken.Hasty: ("closing_gives_leases_their_time",),
    broken.Keeping: ("execute_gives_the_result_and_the_connection_back",),
    broken.Leaky: ("giving_up_loses_no_connection",),
    leases.Loose: ("a_lease_is_attached_once",),
    broken.Lying: ("counts_what_there_is_and_what_there_was",),
    leases.Mumbling: ("a_lease_carries_bytes_both_ways",),
    broken.Mute: ("a_server_that_says_nothing_is_an_answer",),
    leases.Numb: ("a_loss_before_attach_is_not_lost",),
    broken.Oblivious: ("closing_tells_who_is_held",),
    broken.Patient: ("cutting_refuses_who_waits",),
    broken.Restless: ("a_pause_holds_who_comes",),
    leases.Rigid: ("a_protocol_without_half_close_is_closed",),
    broken.Rushing: ("goes_on_as_fast_as_it_is_told",),
    leases.Sharing: ("no_connection_serves_two_takers",),
    broken.Silent: ("counts_what_there_is_and_what_there_was",),
    broken.Sluggish: ("closing_does_not_wait_for_what_has_ended",),
    broken.Stiff: ("provides_the_interface",),
    broken.Stoic: ("a_server_that_refuses_is_an_answer",),
    leases.Strict: ("release_is_safe_to_call_twice",),
    broken.Uncounting: ("counts_what_there_is_and_what_there_was",),
}
"""Faults that a pool of any kind may have, and the tests that say so."""

ONCE: dict[type[StackPool], tuple[str, ...]] = {
    broken.Stingy: ("a_lease_takes_nobodys_room",),
    leases.Trusting: ("what_is_released_is_closed",),
    broken.Wasteful: ("who_is_answered_may_cancel_the_others",),
}
"""Those of one that lends once."""

REUSE: dict[type[StackPool], tuple[str, ...]] = {
    broken.Abrupt: ("who_is_answered_may_cancel_the_others",),
    broken.Blind: (
        "a_connection_that_its_server_ended_is_never_lent",
        "a_connection_that_spoke_unasked_is_never_lent",
    ),
    leases.Busy: ("a_taker_may_be_done_as_soon_as_it_begins",),
    leases.Careless: ("a_lease_that_is_over_cannot_be_used",),
    leases.Clinging: ("what_comes_behind_a_taker_that_was_done_at_once_is_nobodys",),
    broken.Greedy: ("never_more_than_the_maximum",),
    broken.Hoarding: ("closing_leaves_nothing_idle",),
    broken.Lame: ("a_loss_makes_room",),
    broken.Leaky: ("a_waiter_that_gives_up_is_passed_over",),
    broken.Mute: ("nobody_waits_for_ever",),
    broken.Roomy: ("too_many_waiters_are_refused_at_once", "too_many_are_not_held_by_a_pause"),
    broken.Soft: ("execute_gives_the_result_and_the_connection_back",),
    leases.Spending: ("what_is_released_is_lent_again",),
    broken.Stoic: ("without_hope_all_are_told",),
    leases.Trusting: ("what_is_not_reusable_is_closed", "what_is_still_in_use_is_closed"),
    leases.Twice: ("what_is_released_twice_is_lent_once",),
    broken.Unfair: ("never_more_than_the_maximum",),
    broken.Wasteful: ("who_gives_up_leaves_its_connection_to_the_next",),
}
"""Those of one that lends again."""


class FaultsTests(SynchronousTestCase):
    """What the contracts find: each of their tests is there for a fault that it finds."""

    def test_in_a_pool_that_lends_once(self) -> None:
        """Those of every pool, and its own."""
        self.find(SampleOnceTests, EVERY, ONCE)

    def test_in_a_pool_that_lends_again(self) -> None:
        """Those of every pool, and its own."""
        self.find(SampleReuseTests, EVERY, REUSE)

    def find(self, case: type[SynchronousTestCase], *faults: dict[type[StackPool], tuple[str, ...]]) -> None:
        found = {(pool, test) for each in faults for pool, tests in each.items() for test in tests}
        for pool, test in sorted(found, key=str):
            self.assertFalse(self.passes(case, pool, test), f"{test} does not find {pool.__name__}")
        self.assertEqual(
            {f"test_{test}" for _, test in found}, {name for name in dir(case) if name.startswith("test_")}
        )

    def passes(self, case: type[SynchronousTestCase], pool: type[StackPool], test: str) -> bool:
        """Whether a pool passes that test, which one without a fault does."""
        bounds = (4, 3) if issubclass(case, ReusingPoolContract) else ()

        class Suite(case):  # type: ignore[misc,valid-type]
            def make_pool(self, endpoint, clock):
                return pool(SERVER, endpoint, clock, *bounds)

        result = unittest.TestResult()
        Suite(f"test_{test}").run(result)
        gc.collect()  # what nobody heard of is told of when it goes, and would be the next one's fault
        self.flushLoggedErrors()
        return result.wasSuccessful()
