"""What a pool decides whose connections are lent once."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from tcpsuite.core.pooling import Close, Connect, End, PoolSettings, SingleUse


def warm(number, **settings):
    """A state that keeps so many connections warm."""
    return SingleUse(PoolSettings(mode="preconnect", min_connections=number, **settings))


class OnDemandTests(SynchronousTestCase):
    """No warm supply."""

    def setUp(self):
        self.state = SingleUse(PoolSettings())

    def test_each_taker_has_its_own(self):
        """However many ask at once, there is nothing to be lent, and each has a connection made."""
        self.assertEqual([self.state.take(0.0) for _ in range(1000)], [(None, [])] * 1000)
        self.assertEqual([self.state.begin() for _ in range(1000)], list(range(1, 1001)))
        self.assertEqual(self.state.stats()["connecting"], 1000)

    def test_does_nothing_of_itself(self):
        """Nothing is made ahead of time, and there is nothing to wait for."""
        self.assertEqual(self.state.tick(0.0), [])
        self.assertIsNone(self.state.due())

    def test_a_lease_ends(self):
        """What is made for a taker is leased; a lease that is gone is counted no more."""
        self.state.made(self.state.begin())
        self.assertEqual(repr(self.state), "<SingleUse connecting=0 refilling=0 warm=0 leased=1>")
        self.assertEqual(self.state.lost(1, 5.0, 0.0), [])
        self.assertEqual(self.state.stats()["leased"], 0)

    def test_a_released_connection_is_nobody_elses(self):
        """What is given back is closed, whatever is said of it; to give back what is gone changes nothing."""
        self.state.made(self.state.begin())
        self.assertEqual(self.state.release(1, 0.2), [Close(1, End.RELEASED)])
        self.state.lost(1, 0.3, 0.0)
        self.assertEqual(self.state.release(1, 0.4), [])

    def test_closing_leaves_leases(self):
        """A lease goes on, and what a taker has under way is its own."""
        self.state.made(self.state.begin())
        self.state.begin()
        self.assertEqual(self.state.close(), [])
        self.assertEqual(repr(self.state), "<SingleUse closed connecting=1 refilling=0 warm=0 leased=1>")

    def test_counts(self):
        """What there was since the beginning adds up; one that was given up has not failed."""
        self.state.made(self.state.begin())
        for failed in (True, False):
            self.state.begin()
            self.state.not_made(failed)
        stats = self.state.stats()
        counted = [stats[name] for name in ("created", "failed", "leases", "leased", "connecting", "open")]
        self.assertEqual(counted, [1, 1, 1, 1, 0, 1])


class WarmTests(SynchronousTestCase):
    """Two warm connections, replaced after five seconds."""

    def setUp(self):
        self.state = warm(2)
        self.assertEqual(self.state.tick(0.0), [Connect(1), Connect(2)])
        self.state.connected(1, 0.0, 0.0)
        self.state.connected(2, 1.0, 0.0)

    def test_the_oldest_is_used_once_and_replaced(self):
        """A taker gets the oldest warm one at once, and a new one is begun in its place."""
        self.assertEqual(self.state.next_warm, 1)
        self.assertEqual(self.state.take(2.0), (1, [Connect(3)]))
        self.assertEqual(self.state.take(2.0), (2, [Connect(4)]))
        self.assertEqual(self.state.stats()["warm_used"], 2)
        self.assertIsNone(self.state.next_warm)

    def test_without_a_warm_one_it_connects(self):
        """When the supply is used up, a taker has its own connection made, which the supply does not get."""
        self.state.take(2.0)
        self.state.take(2.0)
        self.assertEqual(self.state.take(2.0), (None, []))
        self.assertEqual(self.state.begin(), 5)
        self.state.made(5)
        self.assertEqual((self.state.stats()["warm"], self.state.stats()["leased"]), (0, 3))

    def test_is_replaced_when_it_is_old(self):
        """At its greatest age, and not before, a warm one is closed and another begun."""
        self.assertEqual(self.state.due(), 5.0)
        self.assertEqual(self.state.tick(4.99), [])
        self.assertEqual(self.state.tick(5.0), [Close(1, End.AGED), Connect(3)])
        self.assertEqual(self.state.due(), 6.0)
        self.assertEqual(self.state.stats()["closed_aged"], 1)

    def test_no_taker_gets_an_old_one(self):
        """One that is too old is not handed out, even if nobody has replaced it yet."""
        self.assertEqual(
            self.state.take(100.0),
            (None, [Close(1, End.AGED), Close(2, End.AGED), Connect(3), Connect(4)]),
        )

    def test_one_that_the_server_closed_is_replaced_after_a_while(self):
        """A lost one is closed, and its place is filled when the back-off is over."""
        self.assertEqual(self.state.unfit(1, 2.0, 0.0), [Close(1, End.LOST)])
        self.assertEqual(self.state.due(), 2.2)
        self.assertEqual(self.state.take(2.1), (2, []))
        self.assertEqual(self.state.tick(2.2), [Connect(3), Connect(4)])
        self.assertEqual(self.state.unfit(1, 2.3, 0.0), [])
        self.assertEqual(self.state.lost(1, 2.3, 0.0), [])
        self.assertEqual(self.state.stats()["closed_lost"], 1)

    def test_a_server_that_cuts_every_one_is_not_connected_to_in_a_circle(self):
        """Each loss of a warm one makes the next wait longer."""
        waits, now = [], 10.0
        self.state.lost(1, now, 0.0)
        self.state.lost(2, now, 0.0)
        for number in range(4):
            due = self.state.due() or 0.0
            waits.append(round(due - now, 4))
            now = due
            first, second = 3 + 2 * number, 4 + 2 * number
            self.assertEqual(self.state.tick(now), [Connect(first), Connect(second)])
            self.state.connected(first, now, 0.0)
            self.state.lost(first, now, 0.0)
            self.state.failed(second, "refused", now, 0.0)
        self.assertEqual(waits, [0.2, 0.3, 0.45, 0.675])

    def test_closing_gives_the_supply_up(self):
        """Warm ones and those being made are closed, and nothing is due any more."""
        self.state.take(2.0)
        self.assertEqual(self.state.close(), [Close(3, End.UNWANTED), Close(2, End.UNWANTED)])
        self.assertIsNone(self.state.due())
        self.assertEqual(self.state.lost(1, 3.0, 0.0), [])
        self.assertEqual(self.state.tick(100.0), [])

    def test_what_was_begun_before_the_end_and_made_behind_it(self):
        """One that was given up is closed if it is made all the same; if it is not, that is no setback."""
        self.state.take(2.0)
        self.state.close()
        self.assertEqual(self.state.connected(3, 2.1, 0.0), [Close(3, End.UNWANTED)])
        self.assertEqual(self.state.failed(3, "refused", 2.1, 0.0), [])
        self.assertEqual(self.state.stats()["failed"], 0)


class RefillTests(SynchronousTestCase):
    """How the supply is filled up."""

    def test_few_at_once(self):
        """No more are begun at once than a server that comes back can stand; when one is made it is time for
        the next.
        """
        state = warm(10)
        begun = state.tick(0.0)
        self.assertEqual(len(begun), 4)
        self.assertIsNone(state.due())
        self.assertEqual(state.connected(1, 0.1, 0.0), [])
        self.assertLessEqual(state.due() or 0.0, 0.1)
        self.assertEqual(state.tick(0.1), [Connect(5)])
        self.assertEqual(state.due(), 5.1)

    def test_those_that_fail_together_count_as_one(self):
        """Attempts of one moment that fail are one setback; the next try comes after the back-off."""
        state = warm(2)
        state.tick(0.0)
        self.assertEqual(state.failed(1, "refused", 1.0, 0.0), [])
        self.assertEqual(state.failed(2, "refused", 1.0, 0.0), [])
        self.assertEqual(state.due(), 1.2)
        self.assertEqual(state.tick(1.1), [])
        self.assertEqual(state.tick(1.2), [Connect(3), Connect(4)])
        state.failed(3, "refused", 1.2, 0.0)
        self.assertEqual(state.due(), 1.5)

    def test_one_that_proved_good_forgets_setbacks(self):
        """Behind a warm one that was used, the next setback waits as the first did."""
        state = warm(1)
        state.tick(0.0)
        state.failed(1, "refused", 0.0, 0.0)
        state.tick(0.2)
        state.connected(2, 0.2, 0.0)
        self.assertEqual(state.take(0.2), (2, [Connect(3)]))
        state.failed(3, "refused", 0.3, 0.0)
        self.assertEqual(state.due(), 0.5)

    def test_leases_take_no_room(self):
        """However many are leased, the supply is filled up, and takers are served without one."""
        state = warm(2, max_connections=2)
        state.tick(0.0)
        for _ in range(50):
            for connection in list(state._refilling):
                state.connected(connection, 0.0, 0.0)
            state.take(0.0)
        self.assertEqual(state.stats()["leased"], 50)
        self.assertEqual(state.stats()["warm"] + state.stats()["refilling"], 2)

    def test_no_more_are_warm_than_the_maximum(self):
        """The maximum bounds those that are warm and those that are to be."""
        state = warm(3, max_connections=2)
        self.assertEqual(state.tick(0.0), [Connect(1), Connect(2)])
        for connection in (1, 2):
            state.connected(connection, 0.0, 0.0)
        self.assertEqual(state.tick(1.0), [])


class SingleUseMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: the bounds hold, and every taker has one answer."""

    def __init__(self):
        super().__init__()
        self.state = warm(3)
        self.now = 0.0
        self.making: list[int] = []  # of the supply
        self.own: list[int] = []  # being made by takers
        self.made: list[int] = []
        self.leased: set[int] = set()  # a connection's number is its own for ever

    def carry_out(self, decisions):
        for decision in decisions:
            match decision:
                case Connect(connection):
                    assert connection not in self.making + self.made + self.own
                    self.making.append(connection)
                case Close(connection) if connection in self.making:
                    self.making.remove(connection)
                case Close(connection) if connection not in self.leased:
                    self.made.remove(connection)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.3, 2.0, 40.0]))
    def time_passes(self, seconds):
        self.now += seconds
        due = self.state.due()
        if due is not None and due <= self.now:
            self.carry_out(self.state.tick(self.now))
            later = self.state.due()
            assert later is None or later > self.now, "nothing stays due: the clock would not be left alone"

    @precondition(lambda self: not self.state.closed)
    @rule()
    def a_taker_comes(self):
        connection, decisions = self.state.take(self.now)
        self.carry_out(decisions)
        if connection is None:
            self.own.append(self.state.begin())
        else:
            assert connection in self.made
            assert connection not in self.leased
            self.leased.add(connection)

    @precondition(lambda self: self.own)
    @rule(data=st.data(), good=st.booleans())
    def a_takers_own_attempt_ends(self, data, good):
        connection = data.draw(st.sampled_from(self.own))
        self.own.remove(connection)
        if good:
            self.state.made(connection)
            self.made.append(connection)
            self.leased.add(connection)
        else:
            self.state.not_made(data.draw(st.booleans()))

    @precondition(lambda self: self.making)
    @rule(data=st.data(), good=st.booleans())
    def an_attempt_ends(self, data, good):
        connection = data.draw(st.sampled_from(self.making))
        self.making.remove(connection)
        if good:
            self.made.append(connection)
            self.carry_out(self.state.connected(connection, self.now, 0.0))
        else:
            self.carry_out(self.state.failed(connection, "refused", self.now, 0.5))

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def a_connection_is_lost(self, data):
        connection = data.draw(st.sampled_from(self.made))
        self.made.remove(connection)
        self.carry_out(self.state.lost(connection, self.now, 0.5))

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def a_server_finishes(self, data):
        self.carry_out(self.state.unfit(data.draw(st.sampled_from(self.made)), self.now, 0.5))

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def a_lease_is_released(self, data):
        self.carry_out(self.state.release(data.draw(st.sampled_from(self.made)), self.now))

    @rule()
    def it_is_closed(self):
        self.carry_out(self.state.close())
        assert not self.making

    @invariant()
    def the_numbers_agree(self):
        stats = self.state.stats()
        assert stats["warm"] + stats["refilling"] <= 3
        assert stats["refilling"] <= 4
        assert (stats["connecting"], stats["refilling"]) == (len(self.own), len(self.making))
        assert stats["warm"] + stats["leased"] == len(self.made)


SingleUseMachineTests = SingleUseMachine.TestCase
