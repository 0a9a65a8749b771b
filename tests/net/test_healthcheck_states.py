"""Servers that are checked while they come, go, rest and change, in any order."""

from __future__ import annotations

import random

from attrs import Factory, define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from tcpsuite.core.health import RiseFall, Schedule, Transition
from tcpsuite.core.servers import Server
from tcpsuite.interfaces import IHealthCheck, Outcome
from tcpsuite.net.healthcheck import HealthChecker

RISE, FALL = 2, 3
LONGEST_WAIT = 10.0 * 1.2
"""Seconds until a server that is down is asked, at most."""


@implementer(IHealthCheck)
class Asked:
    """Keeps who is asked; what was given up is gone."""

    def __init__(self) -> None:
        self.waiting: dict[str, Deferred[Outcome]] = {}

    def check(self, server: Server) -> Deferred[Outcome]:
        assert server.name not in self.waiting, "asked twice at a time"

        def gone(answer: Deferred[Outcome]) -> None:
            del self.waiting[server.name]

        answer: Deferred[Outcome] = Deferred(gone)
        self.waiting[server.name] = answer
        return answer


@define
class Known:
    """What the plainest account of a server has."""

    server: Server
    up: bool = True
    since_start: list[bool] = Factory(list)
    """The answers since its first check, or since it was resumed."""
    resting: bool = False


class AnyOrder(RuleBasedStateMachine):
    """A checker, and the plainest account of its servers."""

    names = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.check = Clock(), Asked()
        self.told: list[tuple[str, bool]] = []
        self.known: dict[str, Known] = {}
        self.checker = HealthChecker(
            "db",
            (),
            self.check,
            self.clock,
            health=lambda: RiseFall(RISE, FALL),
            schedule=Schedule(),
            chance=random.Random(1),
            changed=self.changed,
            patience=1e6,
        )
        self.checker.start()

    def changed(self, server: Server, transition: Transition) -> None:
        assert server.up is transition.up
        self.told.append((server.name, transition.up))

    @rule(name=names)
    def add(self, name: str) -> None:
        """A server comes, unless it is there."""
        if name not in self.known:
            self.known[name] = Known(Server(name, "tcp:192.0.2.1:1"))
            self.checker.add(self.known[name].server)

    @rule(name=names)
    def remove(self, name: str) -> None:
        """A server goes."""
        if name in self.known:
            self.checker.remove(self.known.pop(name).server)

    @rule(name=names)
    def rest(self, name: str) -> None:
        """A server is left alone."""
        if name in self.known:
            self.known[name].resting = True
            self.checker.rest(self.known[name].server)

    @rule(name=names)
    def resume(self, name: str) -> None:
        """A server is checked again, and its first answer decides again."""
        if name in self.known:
            known = self.known[name]
            if known.resting:
                known.resting, known.since_start = False, []
            self.checker.resume(known.server)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @precondition(lambda self: any(not known.resting for known in self.known.values()))
    @rule(data=st.data(), oks=st.lists(st.booleans(), min_size=1, max_size=4))
    def answer(self, data: st.DataObject, oks: list[bool]) -> None:
        """A server is asked before long, and goes up or down exactly when enough answers in a row say so."""
        name = data.draw(
            st.sampled_from(sorted(name for name, each in self.known.items() if not each.resting))
        )
        known = self.known[name]
        for ok in oks:
            self.clock.advance(LONGEST_WAIT)
            self.told.clear()
            self.check.waiting.pop(name).callback(Outcome(ok, "" if ok else "refused"))
            known.since_start.append(ok)
            row = known.since_start[-(RISE if ok else FALL) :]
            enough = len(known.since_start) == 1 or row == [ok] * (RISE if ok else FALL)
            moved = ok is not known.up and enough
            assert self.told == ([(name, ok)] if moved else [])
            if moved:
                known.up = ok

    @invariant()
    def as_known(self) -> None:
        """Each server is what it should be, and each that does not rest has one timer: of its next check, or
        of the patience with the one that is under way.
        """
        assert {name: known.up for name, known in self.known.items()} == {
            name: known.server.up for name, known in self.known.items()
        }
        checked = {name for name, known in self.known.items() if not known.resting}
        assert set(self.check.waiting) <= checked
        assert len(self.clock.getDelayedCalls()) == len(checked)

    def teardown(self) -> None:
        """Nothing is left behind the stop."""
        self.checker.stop()
        assert self.clock.getDelayedCalls() == []
        assert self.check.waiting == {}


AnyOrderTests = AnyOrder.TestCase
AnyOrderTests.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
