"""A limiter counts what is open, whatever happens to it in whatever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tcpsuite.core.limits import Limits, ResourceLimiter, parse_overrides
from tcpsuite.interfaces import Verdict

ALICE, BOB = "192.0.2.1", "192.0.2.2"
EMPTY = "<ResourceLimiter clients=0 connections=0 users=0 logins=0>"

CLIENTS = st.sampled_from((ALICE, BOB, "2001:db8::1", "127.0.0.1", ""))
FILES = st.sampled_from(
    (
        "",
        f"{ALICE} connections_per_ip=1",
        "0.0.0.0/0 connections_per_ip=0 connection_rate=0",
        "127.0.0.1 connections_per_ip=2\nunix connection_rate=1 connection_burst=1",
        "user:ann connections_per_user=0",
    )
)


class AnyOrder(RuleBasedStateMachine):
    """Connections and logins come and go, in any order, under overrides that change."""

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(2, connection_rate=5, connection_burst=3, connections_per_user=1)
        self.limiter = ResourceLimiter(limits, capacity=3)
        self.now = 0.0
        self.held: list[Verdict] = []
        self.past: list[Verdict] = []

    def keep(self, verdict: Verdict) -> None:
        (self.held if verdict.allowed else self.past).append(verdict)

    @rule(client=CLIENTS)
    def connect(self, client: str) -> None:
        self.keep(self.limiter.admit(client, self.now))

    @rule(user=st.sampled_from(("ann", "ben")))
    def log_in(self, user: str) -> None:
        self.keep(self.limiter.admit_user(user, self.now))

    @rule(key=CLIENTS)
    def say(self, key: str) -> None:
        self.past.append(self.limiter.spend(key, 1, self.now))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        verdict = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.limiter.release(verdict)
        self.past.append(verdict)

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def leave_again(self, data: st.DataObject) -> None:
        self.limiter.release(data.draw(st.sampled_from(self.past)))

    @rule(seconds=st.floats(-1, 10))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(text=FILES)
    def overrides_change(self, text: str) -> None:
        self.limiter.overrides = parse_overrides(text)

    @invariant()
    def what_is_open_is_counted(self) -> None:
        clients = [
            verdict.key for verdict in self.held if verdict.key and not verdict.key.startswith("user:")
        ]
        users = [verdict.key for verdict in self.held if verdict.key.startswith("user:")]
        assert repr(self.limiter) == (
            f"<ResourceLimiter clients={len(set(clients))} connections={len(clients)}"
            f" users={len(set(users))} logins={len(users)}>"
        )

    def teardown(self) -> None:
        for verdict in self.held:
            self.limiter.release(verdict)
        assert repr(self.limiter) == EMPTY


AnyOrderTests = AnyOrder.TestCase
AnyOrderTests.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
