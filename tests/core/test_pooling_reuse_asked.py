"""What a pool that lends again asks its connections: whether they are well, and to be clean."""

from __future__ import annotations

from tcpsuite.core.pooling import (
    Close,
    Connect,
    End,
    Lease,
    Reset,
    Validate,
)
from tests.core.test_pooling_reuse import ReuseCase


class ValidationTests(ReuseCase):
    """Asking a connection whether it works."""

    def setUp(self):
        super().setUp()
        self.state.release(self.lease(11, 0.0), 0.0)

    def test_before_it_is_lent_when_it_was_idle_for_long(self):
        """Up to half a second behind its last success it is lent as it is; behind that it is asked first."""
        self.assertEqual(self.state.acquire(12, 0.5), [Lease(12, 1)])
        self.state.release(1, 0.6)
        self.assertEqual(self.state.acquire(13, 1.2), [Validate(1)])
        self.assertEqual(self.state.stats()["validating"], 1)
        self.assertEqual(self.state.answered(1, True, 1.3), [Lease(13, 1)])

    def test_before_it_is_lent_when_it_failed_last(self):
        """One with which something went wrong is asked before anybody else gets it, a waiter too."""
        self.state = self.make(max_connections=1)
        connection = self.lease(11, 0.0)
        self.state.acquire(12, 0.0)
        self.assertEqual(self.state.release(connection, 0.1, ok=False), [Validate(1)])
        self.assertEqual(self.state.answered(1, True, 0.2), [Lease(12, 1)])
        self.assertEqual(self.state.release(connection, 0.3, ok=False), [])
        self.assertEqual(self.state.acquire(13, 0.3), [Validate(1)])

    def test_nobody_waits_for_it_while_another_is_good(self):
        """While the doubtful one is asked, the taker gets the one behind it."""
        self.state = self.make()
        leases = [self.lease(taker, 0.0) for taker in (11, 12)]
        for connection, ok in zip(leases, (True, False), strict=True):
            self.state.release(connection, 0.1, ok=ok)
        self.assertEqual(self.state.acquire(13, 0.2), [Validate(2), Lease(13, 1)])

    def test_one_that_is_not_valid_is_replaced(self):
        """Who waited for it has another made."""
        self.state.acquire(12, 10.0)
        self.assertEqual(self.state.answered(1, False, 10.1), [Close(1, End.NOT_VALID), Connect(2)])
        self.assertEqual(self.state.connected(2, 10.2, 0.0), [Lease(12, 2)])
        self.assertEqual(self.state.answered(1, True, 10.3), [], "what it says later is too late")

    def test_each_who_waits_has_one_asked(self):
        """Old connections are asked for as many as wait, and no more; another is made for the rest."""
        self.state = self.make()
        for connection in [self.lease(taker, 0.0) for taker in (11, 12)]:
            self.state.release(connection, 0.0)
        asked = [self.state.acquire(taker, 10.0) for taker in (21, 22, 23)]
        self.assertEqual(asked, [[Validate(2)], [Validate(1)], [Connect(3)]])
        self.state.give_up(21)
        self.assertEqual(self.state.answered(1, True, 10.1), [Lease(22, 1)])
        self.assertEqual(self.state.answered(2, True, 10.1), [Lease(23, 2)])
        self.assertEqual(self.state.connected(3, 10.1, 0.0), [])

    def test_enough_are_asked_already(self):
        """While one is asked for the taker that waits, another old one is left alone."""
        self.state = self.make()
        for connection in [self.lease(taker, 0.0) for taker in (11, 12)]:
            self.state.release(connection, 0.0)
        self.state.acquire(21, 10.0)
        self.assertEqual(self.state.tick(10.0), [])

    def test_idle_ones_are_checked_now_and_then(self):
        """Those that were not seen to work for the whole interval are asked; they stay idle as they were."""
        self.assertEqual(self.state.due(), 30.0)
        self.assertEqual(self.state.tick(30.0), [Validate(1)])
        self.assertEqual(self.state.answered(1, True, 30.1), [])
        self.assertEqual(self.state.tick(60.0), [], "it worked 29.9 seconds ago")
        self.assertEqual(self.state.tick(90.0), [Validate(1)])
        self.assertEqual(self.state.answered(1, False, 91.0), [Close(1, End.NOT_VALID), Connect(2)])

    def test_one_that_was_checked_keeps_its_place(self):
        """To be asked is no use: the one used last is still the next, and the oldest still goes first."""
        for order, expected in (("lifo", [3, 2, 1]), ("fifo", [1, 2, 3])):
            self.state = self.make(idle_order=order, validate_idle=100.0)
            for connection in [self.lease(taker, 0.0) for taker in (11, 12, 13)]:
                self.state.release(connection, connection / 10)
            self.assertEqual(self.state.tick(30.2), [Validate(1), Validate(2)])
            for connection in (2, 1):
                self.assertEqual(self.state.answered(connection, True, 30.3), [])
            lent = [self.state.acquire(taker, 30.4) for taker in (21, 22, 23)]
            self.assertEqual(lent, [[Lease(21 + n, each)] for n, each in enumerate(expected)])

    def test_a_loss_while_it_is_asked(self):
        """One that is gone meanwhile is counted as lost, and who waits has another made."""
        self.state.acquire(12, 10.0)
        self.assertEqual(self.state.lost(1, 10.1, 0.0), [Connect(2)])
        self.assertEqual(self.state.answered(1, False, 10.2), [])


class ResetTests(ReuseCase):
    """Cleaning a connection behind each lease."""

    resets = True

    def test_before_it_is_lent_again(self):
        """What comes back is cleaned at once, and then it is there for who waits, or idle."""
        connection = self.lease(11, 0.0)
        self.assertEqual(self.state.release(connection, 0.1), [Reset(1)])
        self.assertEqual(self.state.stats()["resetting"], 1)
        self.assertEqual(self.state.acquire(12, 0.1), [], "one is on its way")
        self.assertEqual(self.state.answered(1, True, 0.2), [Lease(12, 1)])

    def test_one_that_cannot_be_cleaned_is_closed(self):
        """Nobody meets what is left of another."""
        connection = self.lease(11, 0.0)
        self.state.release(connection, 0.1)
        self.assertEqual(self.state.answered(1, False, 0.2), [Close(1, End.NOT_RESET), Connect(2)])
        self.assertEqual(self.state.answered(1, True, 0.3), [])

    def test_what_is_not_reusable_is_not_cleaned(self):
        """It is closed straight away."""
        connection = self.lease(11, 0.0)
        decisions = self.state.release(connection, 0.1, reusable=False)
        self.assertEqual(decisions, [Close(1, End.RELEASED), Connect(2)])
