"""Whatever happens to a pool that takes its connections back, in whatever order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tcpsuite.core.pooling import (
    Close,
    Connect,
    Lease,
    PoolSettings,
    Reject,
    Reset,
    Reuse,
    Validate,
    Warn,
)

MAXIMUM, MINIMUM, WAITERS = 4, 2, 3


class ReuseMachine(RuleBasedStateMachine):
    """The bounds hold, no connection has two takers, and every taker has one answer, in its turn."""

    def __init__(self):
        super().__init__()
        settings = PoolSettings(
            "session",
            max_connections=MAXIMUM,
            min_connections=MINIMUM,
            max_waiters=WAITERS,
            idle_timeout=3.0,
            max_idle_time=30.0,
            eviction_interval=5.0,
            health_check_interval=4.0,
            max_lifetime=100.0,
            max_uses=5,
            leak_warning=20.0,
        )
        self.state = Reuse(settings, resets=True)
        self.now = 0.0
        self.taker = 0
        self.waiting: list[int] = []
        self.making: list[int] = []
        self.leased: dict[int, int] = {}
        self.asked: dict[int, type] = {}
        self.idle: set[int] = set()
        self.closing: set[int] = set()
        self.warned: set[int] = set()

    def carry_out(self, decisions):
        for decision in decisions:
            match decision:
                case Connect(connection):
                    assert connection not in [*self.making, *self.leased, *self.asked, *self.idle]
                    self.making.append(connection)
                case Lease(taker, connection):
                    assert taker == self.waiting.pop(0), "who came first is served first"
                    self.idle.remove(connection)
                    self.leased[connection] = taker
                    self.warned.discard(connection)
                case Validate(connection) | Reset(connection):
                    self.idle.remove(connection)
                    self.asked[connection] = type(decision)
                case Reject(taker):
                    self.waiting.remove(taker)
                case Warn(connection):
                    assert connection in self.leased
                    assert connection not in self.warned
                    self.warned.add(connection)
                case Close(connection):
                    assert connection not in self.leased
                    if connection in self.making:
                        self.making.remove(connection)
                    else:
                        self.asked.pop(connection, None)
                        self.idle.discard(connection)
                        self.closing.add(connection)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.4, 2.0, 7.0, 40.0]))
    def time_passes(self, seconds):
        self.now += seconds
        for _ in range(3):
            due = self.state.due()
            if due is not None and due <= self.now:
                self.carry_out(self.state.tick(self.now))
        due = self.state.due()
        assert due is None or due > self.now, "nothing stays due: the clock would not be left alone"

    @rule()
    def a_taker_comes(self):
        self.taker += 1
        self.waiting.append(self.taker)
        self.carry_out(self.state.acquire(self.taker, self.now))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), over=st.booleans())
    def a_taker_leaves(self, data, over):
        taker = data.draw(st.sampled_from(self.waiting))
        if over:
            self.carry_out(self.state.expire(taker, 5.0))
        else:
            self.waiting.remove(taker)
            self.carry_out(self.state.give_up(taker))
        assert taker not in self.waiting

    @precondition(lambda self: self.making)
    @rule(data=st.data(), good=st.booleans())
    def an_attempt_ends(self, data, good):
        connection = data.draw(st.sampled_from(self.making))
        self.making.remove(connection)
        if good:
            self.idle.add(connection)
            self.carry_out(self.state.connected(connection, self.now, 0.5))
            return
        hope = self.making or self.asked or self.leased
        self.carry_out(self.state.failed(connection, "refused", self.now, 0.5))
        assert hope or not self.waiting, "without hope nobody is left waiting"

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), reusable=st.booleans(), ok=st.booleans())
    def a_lease_is_released(self, data, reusable, ok):
        connection = data.draw(st.sampled_from(sorted(self.leased)))
        del self.leased[connection]
        self.idle.add(connection)
        self.carry_out(self.state.release(connection, self.now, reusable, ok))
        assert self.state.release(connection, self.now) == [] or connection in self.leased

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), good=st.booleans())
    def an_answer_comes(self, data, good):
        connection = data.draw(st.sampled_from(sorted(self.asked)))
        del self.asked[connection]
        self.idle.add(connection)
        self.carry_out(self.state.answered(connection, good, self.now))

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def a_server_finishes(self, data):
        connection = data.draw(st.sampled_from(sorted(self.idle)))
        self.carry_out(self.state.unfit(connection, self.now, 0.5))
        assert connection in self.closing

    @precondition(lambda self: self.leased or self.asked or self.idle or self.closing)
    @rule(data=st.data())
    def a_connection_is_gone(self, data):
        connection = data.draw(
            st.sampled_from(sorted([*self.leased, *self.asked, *self.idle, *self.closing]))
        )
        for group in (self.leased, self.asked):
            group.pop(connection, None)
        self.idle.discard(connection)
        self.closing.discard(connection)
        self.carry_out(self.state.lost(connection, self.now, 0.5))

    @rule()
    def memory_is_short(self):
        before = len(self.idle)
        self.carry_out(self.state.shed())
        have = len(self.making) + len(self.leased) + len(self.asked) + len(self.idle)
        assert not self.idle or have <= MINIMUM
        assert len(self.idle) == before or have >= MINIMUM

    @rule()
    def it_is_closed(self):
        self.carry_out(self.state.close())
        assert not self.waiting
        assert not [*self.making, *self.idle, *self.asked]

    @invariant()
    def never_over_the_maximum(self):
        known = [*self.making, *self.leased, *self.asked, *self.idle, *self.closing]
        assert len(known) == len(set(known)) <= MAXIMUM
        assert self.state.stats()["open"] == len(known)

    @invariant()
    def the_numbers_agree(self):
        stats = self.state.stats()
        assert stats["connecting"] == len(self.making)
        assert stats["idle"] == len(self.idle)
        assert stats["leased"] == len(self.leased)
        assert stats["closing"] == len(self.closing)
        assert stats["validating"] + stats["resetting"] == len(self.asked)

    @invariant()
    def nobody_is_forgotten(self):
        """For each who waits something is on its way, or all room is taken, or a next try is due."""
        coming = len(self.making) + len(self.asked)
        if self.waiting and len(self.waiting) > coming and self.state.stats()["open"] < MAXIMUM:
            assert self.state.due() is not None
        if self.waiting:
            assert coming or self.leased or self.closing
            assert len(self.waiting) <= coming + WAITERS + MAXIMUM

    @invariant()
    def the_minimum_is_made_up_for(self):
        have = len(self.making) + len(self.leased) + len(self.asked) + len(self.idle)
        if have < MINIMUM and have + len(self.closing) < MAXIMUM and not self.state.closed:
            assert self.state.due() is not None, "what is missing is tried for, now or later"


ReuseMachineTests = ReuseMachine.TestCase
