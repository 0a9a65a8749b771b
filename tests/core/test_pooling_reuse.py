"""What a pool decides that takes its connections back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import (
    Close,
    Connect,
    Decision,
    End,
    Lease,
    PoolSettings,
    Refusal,
    Reject,
    Reuse,
    Validate,
    Warn,
)


def closed(state, end):
    """How many were closed for this."""
    return state.stats()[f"closed_{end.value}"]


class ReuseCase(SynchronousTestCase):
    """A pool of at most three connections, of which one is kept."""

    resets = False

    def setUp(self):
        self.state = self.make()

    def make(self, **settings):
        given = {"mode": "message", "min_connections": 1, "max_connections": 3, "lifetime_jitter": 0.0}
        return Reuse(PoolSettings(**{**given, **settings}), self.resets)

    def lease(self, taker, now):
        """Acquire for ``taker``: its connection is made, or found valid, if need be; its number."""
        (decision,) = self.state.acquire(taker, now)
        match decision:
            case Connect(connection):
                (decision,) = self.state.connected(connection, now, 0.0)
            case Validate(connection):
                (decision,) = self.state.answered(connection, True, now)
        self.assertEqual(decision, Lease(taker, decision.connection))
        return decision.connection


class LeaseTests(ReuseCase):
    """Who gets which connection."""

    def test_connects_when_asked_and_lends_again(self):
        """A taker has a connection made; what it gives back is lent to the next."""
        self.assertEqual(self.state.acquire(11, 0.0), [Connect(1)])
        self.assertEqual(self.state.connected(1, 0.1, 0.0), [Lease(11, 1)])
        self.assertEqual(repr(self.state), "<Reuse connecting=0 idle=0 leased=1 waiting=0>")
        self.assertEqual(self.state.release(1, 0.2), [])
        self.assertEqual(self.state.acquire(12, 0.3), [Lease(12, 1)])
        self.assertEqual((self.state.stats()["leases"], self.state.stats()["created"]), (2, 1))

    def test_the_one_used_last_is_lent_first(self):
        """Of several idle ones the next taker gets the one that was given back last, or first if told so."""
        for order, expected in (("lifo", 2), ("fifo", 1)):
            self.state = self.make(idle_order=order)
            leases = [self.lease(taker, 0.0) for taker in (11, 12)]
            for connection in leases:
                self.state.release(connection, 0.1)
            self.assertEqual(self.state.acquire(13, 0.2), [Lease(13, expected)])

    def test_never_more_than_the_maximum(self):
        """At the maximum, those being made counted, takers wait, and are served in their order."""
        asked = [self.state.acquire(taker, 0.0) for taker in range(5)]
        self.assertEqual(asked, [[Connect(1)], [Connect(2)], [Connect(3)], [], []])
        for connection in (3, 1, 2):
            self.state.connected(connection, 0.1, 0.0)
        self.assertEqual(self.state.release(1, 0.2), [Lease(3, 1)])
        self.assertEqual(self.state.release(3, 0.3), [Lease(4, 3)])
        self.assertEqual(self.state.release(2, 0.4), [])

    def test_one_being_closed_takes_room_until_it_is_gone(self):
        """The server sees a connection until it has ended: only then is there room for another."""
        leases = [self.lease(taker, 0.0) for taker in range(3)]
        self.state.acquire(9, 0.0)
        self.assertEqual(self.state.release(leases[0], 0.1, reusable=False), [Close(1, End.RELEASED)])
        self.assertEqual(self.state.stats()["open"], 3)
        self.assertEqual(self.state.lost(1, 0.2, 0.0), [Connect(4)])

    def test_too_many_waiters_are_refused_at_once(self):
        """Past the number that may wait a taker is told so; for whom one is being made does not count."""
        self.state = self.make(max_waiters=1)
        for taker in range(4):
            self.state.acquire(taker, 0.0)
        (refused,) = self.state.acquire(4, 0.0)
        self.assertEqual((refused.taker, refused.refusal), (4, Refusal.EXHAUSTED))
        self.assertEqual(refused.why, "3 connections are in use, and 4 clients wait")
        self.state.connected(1, 0.1, 0.0)
        self.assertEqual(self.state.release(1, 0.2), [Lease(1, 1)])
        self.assertEqual(self.state.release(1, 0.2), [Lease(2, 1)])

    def test_whose_time_is_over_is_told_how_it_stands(self):
        """The answer says what was in use and why the last attempt failed; it comes once."""
        self.lease(11, 0.0)
        self.state.acquire(12, 0.0)
        self.state.failed(2, "connection refused", 0.1, 0.0)
        (refused,) = self.state.expire(12, 5.0)
        self.assertEqual(refused.refusal, Refusal.EXHAUSTED)
        self.assertEqual(
            refused.why,
            "no connection within 5 s: 1 of 3 in use, 0 being made, "
            "the last attempt failed: connection refused",
        )
        self.assertEqual(self.state.expire(12, 5.0), [])

    def test_one_that_is_made_goes_to_who_still_waits(self):
        """A connection whose taker has left goes to the next, or is kept; none is thrown away."""
        for taker in (11, 12, 13):
            self.state.acquire(taker, 0.0)
        self.assertEqual(self.state.give_up(11), [])
        self.assertEqual(self.state.connected(1, 0.1, 0.0), [Lease(12, 1)])
        self.state.give_up(13)
        self.assertEqual(self.state.connected(2, 0.2, 0.0), [])
        self.assertEqual(self.state.acquire(14, 0.3), [Lease(14, 2)])

    def test_a_release_counts_once(self):
        """To give back what was given back, or is gone, changes nothing."""
        connection = self.lease(11, 0.0)
        self.state.release(connection, 0.1)
        self.assertEqual(self.state.release(connection, 0.1, reusable=False), [])
        connection = self.lease(12, 0.2)
        self.assertEqual(self.state.lost(connection, 0.3, 0.0), [Connect(2)])
        self.assertEqual(self.state.release(connection, 0.4), [])
        self.assertEqual(closed(self.state, End.LOST), 1)


class FailureTests(ReuseCase):
    """Connections that cannot be made."""

    def test_without_hope_all_are_told(self):
        """When the last attempt fails and nothing is leased, everybody who waits learns why, at once."""
        for taker in range(4):
            self.state.acquire(taker, 0.0)
        self.assertEqual(self.state.failed(1, "refused", 0.1, 0.0), [])
        self.assertEqual(self.state.failed(2, "refused", 0.1, 0.0), [])
        told = self.state.failed(3, "refused", 0.1, 0.0)
        self.assertEqual(told, [Reject(taker, "refused") for taker in range(4)])

    def test_with_hope_they_wait_and_it_is_tried_again(self):
        """While something is leased, who waits is served by it, or by a later attempt, after a while."""
        connection = self.lease(11, 0.0)
        self.state.acquire(12, 0.0)
        self.assertEqual(self.state.failed(2, "refused", 1.0, 0.0), [])
        self.assertEqual(self.state.due(), 1.2)
        self.assertEqual(self.state.tick(1.1), [])
        self.assertEqual(self.state.tick(1.2), [Connect(3)])
        self.assertEqual(self.state.release(connection, 1.3), [Lease(12, 1)])

    def test_one_that_is_kept_is_tried_ever_less_often(self):
        """The minimum is tried for with a back-off; who comes is tried for at once, whatever that says."""
        self.assertEqual(self.state.due(), 0.0)
        self.assertEqual(self.state.tick(0.0), [Connect(1)])
        self.assertEqual(self.state.failed(1, "refused", 1.0, 0.0), [])
        self.assertEqual(self.state.due(), 1.2)
        self.assertEqual(self.state.acquire(11, 1.1), [Connect(2)])
        self.assertEqual(self.state.failed(2, "refused", 1.2, 0.0), [Reject(11, "refused")])
        self.assertEqual(self.state.due(), 1.5)
        self.assertEqual(self.state.failed(2, "refused", 1.2, 0.0), [])

    def test_who_waits_is_served_by_the_next_that_is_made(self):
        """A failure that does not end all hope costs nobody anything when another attempt succeeds."""
        for taker in (11, 12):
            self.state.acquire(taker, 0.0)
        self.assertEqual(self.state.failed(1, "refused", 1.0, 0.0), [])
        self.assertEqual(self.state.connected(2, 1.0, 0.0), [Lease(11, 2)])
        self.assertEqual(self.state.tick(1.2), [Connect(3)])
        self.assertEqual(self.state.connected(3, 1.3, 0.0), [Lease(12, 3)])

    def test_few_are_made_ahead_at_once(self):
        """The minimum is reached in steps of four, and the next begin when one is made."""
        self.state = self.make(min_connections=10, max_connections=20)
        self.assertEqual(self.state.tick(0.0), [Connect(number) for number in range(1, 5)])
        self.assertEqual(self.state.connected(1, 0.1, 0.0), [])
        self.assertLessEqual(self.state.due(), 0.1)
        self.assertEqual(self.state.tick(0.1), [Connect(5)])


class RetireTests(ReuseCase):
    """When a connection is not lent again."""

    def ends(self, uses, **settings):
        """What the release decides behind uses that went well or not, all of one connection."""
        self.state = self.make(**settings)
        decisions: list[Decision] = []
        for number, ok in enumerate(uses):
            self.assertEqual(decisions, [], f"it lasted for {number} uses")
            decisions = self.state.release(self.lease(11, 0.0), 0.0, ok=ok)
        return decisions

    def test_when_it_was_used_often_enough(self):
        """At ``max_uses`` a connection is closed."""
        self.assertEqual(self.ends([True] * 5, max_uses=5), [Close(1, End.USES), Connect(2)])
        self.assertEqual(self.ends([True] * 100), [])

    def test_when_it_fails_again_and_again(self):
        """Three errors in a row retire it; a success between them begins the row anew."""
        self.assertEqual(self.ends([False] * 3), [Close(1, End.ERRORS), Connect(2)])
        self.assertEqual(self.ends([False, False, True, False, False], error_rate=1.0), [])

    def test_when_it_fails_too_often(self):
        """Over a tenth of at least ten uses retires it; a tenth does not."""
        self.assertEqual(self.ends([False, True, True, True, True] * 2)[0], Close(1, End.ERRORS))
        self.assertEqual(self.ends([False, *[True] * 20]), [])

    def test_when_it_has_lived_for_long_enough(self):
        """Past its lifetime it is closed when it comes back, when it would be lent, and when it is looked at;
        chance takes up to the jitter's share of the lifetime away.
        """
        settings = {"max_lifetime": 100.0, "lifetime_jitter": 0.1, "validate_idle": 1000.0}
        for chance, lifetime in ((0.0, 100.0), (0.5, 95.0)):
            for now, closes in ((lifetime - 0.1, False), (lifetime, True)):
                self.state = self.make(**settings)
                self.state.acquire(11, 0.0)
                self.state.connected(1, 0.0, chance)
                expected = [Close(1, End.LIFETIME), Connect(2)] if closes else []
                self.assertEqual(self.state.release(1, now), expected)
        self.state = self.make(**settings)
        self.state.release(self.lease(11, 0.0), 0.0)
        self.assertEqual(self.state.acquire(12, 100.0), [Close(1, End.LIFETIME), Connect(2)])
        self.state = self.make(**settings)
        self.state.release(self.lease(11, 0.0), 50.0)
        self.assertEqual(self.state.tick(110.0), [Close(1, End.LIFETIME), Connect(2)])

    def test_surplus_is_closed_when_it_was_idle_for_a_while(self):
        """Above the minimum one goes that was idle for ``idle_timeout``, at the next look; the rest stays."""
        for connection in [self.lease(taker, 0.0) for taker in range(3)]:
            self.state.release(connection, connection * 10.0)
        self.assertEqual(self.state.due(), 40.0)
        self.state.tick(40.0)
        for connection in (1,):
            self.state.answered(connection, True, 40.0)
        self.assertEqual(self.state.tick(70.0)[0], Close(1, End.MAX_IDLE))
        self.assertEqual(closed(self.state, End.MAX_IDLE), 1)

    def test_the_surplus_is_shed_at_once_when_memory_is_short(self):
        """What is idle above the minimum goes, the one first whose last use is longest ago; leases count."""
        for connection in [self.lease(taker, 0.0) for taker in range(3)]:
            self.state.release(connection, connection * 10.0)
        self.assertEqual(self.state.acquire(11, 30.1), [Lease(11, 3)])
        self.assertEqual(self.state.shed(), [Close(1, End.SHED), Close(2, End.SHED)])
        self.assertEqual(self.state.release(3, 30.2), [])
        self.assertEqual(self.state.shed(), [])
        self.assertEqual(closed(self.state, End.SHED), 2)

    def test_nothing_is_idle_for_ever(self):
        """At ``max_idle_time`` even the minimum is replaced."""
        self.state = self.make(health_check_interval=1000.0, max_idle_time=300.0)
        self.state.release(self.lease(11, 0.0), 0.0)
        for now in (60.0, 120.0, 180.0, 240.0):
            self.assertEqual(self.state.tick(now), [])
        self.assertEqual(self.state.tick(300.0), [Close(1, End.IDLE_TIME), Connect(2)])
        self.state.lost(1, 300.0, 0.0)
        self.state.failed(2, "refused", 300.0, 0.0)
        self.state.tick(1000.0)
        self.assertEqual(repr(self.state), "<Reuse connecting=1 idle=0 leased=0 waiting=0>")
        self.assertIsNone(self.state.due(), "nothing is idle: nothing is looked at")

    def test_one_that_the_server_ended_is_never_lent(self):
        """While it is idle: it is closed, and the minimum made up for behind the back-off."""
        connection = self.lease(11, 0.0)
        self.assertEqual(self.state.unfit(connection, 0.0, 0.0), [], "who has it sees for itself")
        self.state.release(connection, 0.0)
        self.assertEqual(self.state.unfit(connection, 1.0, 0.0), [Close(1, End.LOST)])
        self.assertEqual(self.state.lost(connection, 1.0, 0.0), [])
        self.assertEqual(closed(self.state, End.LOST), 1)
        self.assertEqual(self.state.due(), 1.2)
        self.assertEqual(self.state.tick(1.2), [Connect(2)])

    def test_one_that_is_gone_while_it_is_idle(self):
        """A reset while idle sets back in the same way."""
        self.state.release(self.lease(11, 0.0), 0.0)
        self.assertEqual(self.state.lost(1, 1.0, 0.0), [])
        self.assertEqual(self.state.lost(1, 1.0, 0.0), [], "it was gone already")
        self.assertEqual(self.state.due(), 1.2)
        self.assertEqual((closed(self.state, End.LOST), self.state.stats()["open"]), (1, 0))


class LeakTests(ReuseCase):
    """Leases that are held for long."""

    def test_is_warned_of_once(self):
        """A lease held for a minute is told of once; it is still a lease."""
        connection = self.lease(11, 0.0)
        self.lease(12, 30.0)
        self.assertEqual(self.state.due(), 60.0)
        self.assertEqual(self.state.tick(59.9), [])
        self.assertEqual(self.state.tick(60.0), [Warn(1, 60.0)])
        self.assertEqual(self.state.due(), 90.0)
        self.assertEqual(self.state.stats()["leased"], 2)
        self.assertEqual(self.state.release(connection, 61.0), [])
        self.lease(13, 61.0)
        self.assertEqual(self.state.tick(120.0), [Warn(2, 90.0)])

    def test_one_that_was_warned_of_may_be_lost(self):
        """It leaves room like any other."""
        connection = self.lease(11, 0.0)
        self.state.tick(60.0)
        self.state.lost(connection, 61.0, 0.0)
        self.assertEqual(self.state.stats()["leased"], 0)


class CloseTests(ReuseCase):
    """The end of the pool."""

    def test_answers_who_waits_and_leaves_leases(self):
        """Whoever waits is told, and all but the leases is closed; what is given back later is closed too."""
        for connection in [self.lease(taker, 0.0) for taker in (11, 12)]:
            last = connection
        self.state.release(1, 0.1)
        self.state.acquire(13, 10.0)
        self.assertEqual(self.state.acquire(14, 10.0), [Connect(3)])
        told = self.state.close()
        self.assertEqual(
            told,
            [
                Reject(13, "the pool was closed", Refusal.CLOSED),
                Reject(14, "the pool was closed", Refusal.CLOSED),
                Close(3, End.UNWANTED),
                Close(1, End.UNWANTED),
            ],
        )
        self.assertEqual(self.state.acquire(15, 10.0), [Reject(15, "the pool is closed", Refusal.CLOSED)])
        self.assertEqual(self.state.connected(3, 10.0, 0.0), [Close(3, End.UNWANTED)])
        self.assertEqual(self.state.release(last, 10.1), [Close(2, End.UNWANTED)])
        self.assertEqual(self.state.lost(2, 10.2, 0.0), [])
        self.assertIsNone(self.state.due())
        self.assertEqual(self.state.tick(1000.0), [])
        self.assertEqual(repr(self.state), "<Reuse closed connecting=0 idle=0 leased=0 waiting=0>")
