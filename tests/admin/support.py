"""A suite with something to see in it."""

from __future__ import annotations

from itertools import islice
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred, succeed

from tcpsuite.core.choosing import Choice, LeftOut, Why
from tcpsuite.core.connections import Connection, Counted, Ledger, Reason
from tcpsuite.core.limits import ResourceLimiter, Terms, parse_overrides
from tcpsuite.core.picks import Pick, Told
from tcpsuite.core.queueing import WhyHeld
from tcpsuite.core.servers import Administration, Server
from tcpsuite.errors import ChangeRefused
from tests.support.limit_store import Process, Store


@frozen
class Limits:
    connections: int = 10_000
    connections_per_ip: int = 100
    exempt_loopback: bool = True
    reject: str = "close"


@frozen
class Table:
    limits: Limits = Limits()


@define
class FakeConfig:
    listeners: dict[str, Table]


@frozen
class FakeAdmission:
    service: object = Factory(object)


@define
class FakeListener:
    name: str
    service: str
    endpoints: tuple[str, ...]
    state: str = "listening"
    admission: FakeAdmission = FakeAdmission()
    doors: tuple[Any, ...] = ()

    @property
    def addresses(self) -> list[str]:
        return ["127.0.0.1:7000"]


@frozen
class FakeChange:
    server: str
    what: str
    configured: Any
    now: Any


@frozen
class FakeWhatif:
    pick: Pick
    reason: str = ""
    strategy: str = "least_connections"
    waits: WhyHeld | None = None
    home: dict[str, Any] | None = None


@define
class FakeOperator:
    """Notes what it is told; ``refuses`` is what it answers instead."""

    told: list[tuple[Any, ...]] = Factory(list)
    refuses: str = ""

    def administer(self, name: str, administration: Administration) -> None:
        self._note("administer", name, administration)

    def set_weight(self, name: str, weight: int) -> None:
        self._note("set_weight", name, weight)

    def kill_connections(self, name: str) -> int:
        self._note("kill_connections", name)
        return 3

    def add(self, server: Server) -> None:
        self._note("add", server.name, server.address, server.weight)

    def remove(self, name: str, force: bool = False) -> None:
        self._note("remove", name, force)

    def _note(self, *what: Any) -> None:
        if self.refuses:
            raise ChangeRefused(self.refuses)
        self.told.append(what)


@define
class FakeUpstream:
    up: bool = True
    pools: dict[str, object] = Factory(dict)
    nobody: str = "no server of cache takes connections: of 2, 2 no weight"
    operator: FakeOperator = Factory(FakeOperator)
    resuming: float = 0.0
    waits: WhyHeld | None = None
    affinity: dict[str, Any] | None = None
    home: dict[str, Any] | None = None
    changed: list[FakeChange] = Factory(lambda: [FakeChange("b", "weight", 5, 1)])

    @property
    def ready(self) -> bool:
        return self.up

    def health(self) -> dict[str, dict[str, Any]]:
        return {name: {"up": self.up, "checks": {"count": 100, "healthy": 0.97}} for name in "ab"}

    def changes(self) -> list[FakeChange]:
        return self.changed

    def whatif(self, client: str) -> FakeWhatif:
        choice = Choice(("b",), (LeftOut("a", Why.DOWN),), ("b",), (0.5,))
        if client:
            basis = Told("the idlest", {"active": {"b": 2}})
            return FakeWhatif(Pick(choice, "b", basis), waits=self.waits, home=self.home)
        return FakeWhatif(Pick(Choice(())), "no server is up", waits=self.waits)

    def pause(self, limit: float | None = None) -> None:
        self.operator.told.append(("pause", limit))

    def resume(self, rate: float = 0.0) -> None:
        self.operator.told.append(("resume", rate))

    def clear_affinity(self, client: str | None = None) -> int:
        self.operator._note("clear_affinity", client)
        return 2 if client is None else 1

    def status(self) -> dict[str, Any]:
        return {
            "name": "cache",
            "strategy": "round_robin",
            "ready": self.up,
            "paused": not self.resuming,
            "resuming": self.resuming,
            "pause_timeout": 30.0,
            "queue": {"waiting": 4, "longest_wait": 1.5, "timed_out": 5, "refused": 6},
            "retries": {"under_way": 1, "made": 8, "denied": 9},
            "affinity": self.affinity,
            "servers": [
                {
                    "name": name, "address": f"tcp:127.0.0.1:{port}", "weight": 0.25, "up": self.up,
                    "active": 1, "administration": "drain", "ejected": True, "full": False,
                    "configured_weight": 5, "slow_start": False, "backup": False, "added": False,
                    "connections": 7, "failures": 2, "resets": 3, "last_error": "it\x07",
                    "checks": {"ok": 5, "failed": 1},
                    "pool": {
                        "connecting": 0, "warm": 2, "leased": 1, "open": 3, "created": 9, "failed": 2,
                        "waiting": 4, "wait_seconds": 1.5,
                    },
                }
                for name, port in (("a", 6379), ("b", 6380))
            ],
        }  # fmt: skip


@define
class FakeSessions:
    """Three of two users; ``answer`` is the store's instead.  A fault is over after so many questions."""

    answer: Any = None
    fault: str = ""
    questions: int = 0

    def stats(self, top: int = 0) -> Deferred[dict[str, Any]]:
        self.questions -= 1
        if not self.questions:
            self.fault = ""
        most = islice({"ann": 2, "ben": 1}.items(), top)
        stored = {"count": 3, "users": 2, "top": dict(most), "requests": 40}
        times = {"longest_age": 3600.12345, "longest_idle": 59.9}
        return self.answer or succeed({**stored, **times, **self.figures()})

    def figures(self) -> dict[str, Any]:
        return {
            "in_use": 1, "connected": 0, "uses": 70, "opened": 9, "resumed": 8, "left": 7, "destroyed": 4,
            "expired": 2, "refused": {"full": 1, "no-session": 2},
            "attachments": {
                "attached": 5, "finished": 3, "detached": 4, "made": 20, "failed": 1, "resumed": 11,
                "taken_over": 2, "lost": 3, "left": 15, "given_up": 6,
            },
        }  # fmt: skip


@define
class FakeOverload:
    """Memory is short, and the loop was late."""

    reasons: tuple[str, ...] = ()

    def status(self) -> dict[str, dict[str, Any]]:
        def step(active: bool, begun: int) -> dict[str, Any]:
            return {"active": active, "why": "96.0% of 1 GiB is in use" if active else "", "begun": begun}

        return {
            "memory": {
                "used": 1_030_792_151, "limit": 2**30, "limit_of": "memory_limit", "trend": "increasing",
                "steps": {"shrink": step(True, 2), "pause": step(False, 1)},
            },
            "lag": {"worst": 0.25, "steps": {"pause": step(False, 0)}},
        }  # fmt: skip


@define
class FakeSharedLimits:
    """Redis has been away for a while."""

    alone_for: float | None = 12.5

    def figures(self) -> dict[str, Any]:
        return {"alone_for": self.alone_for, "others": 2, "questions": 70}


@define
class FakeSuite:
    ledger: Ledger = Factory(Ledger)
    started_at: float | None = 0.0
    draining: bool = False
    overload: FakeOverload = Factory(FakeOverload)
    sessions: FakeSessions | None = Factory(FakeSessions)
    listeners: dict[str, FakeListener] = Factory(dict)
    upstreams: dict[str, FakeUpstream] = Factory(dict)
    limiters: dict[str, ResourceLimiter] = Factory(dict)
    shared_limits: FakeSharedLimits | None = None
    config: FakeConfig = Factory(lambda: FakeConfig({}))


def connection(number: int, listener: str = "db", **values: Any) -> Connection:
    record = Connection(
        f"ab-{number}", f"192.0.2.7:{number}", "192.0.2.7", listener, "gateway", 1.0, 1_700_000_000.0
    )
    for name, value in values.items():
        setattr(record, name, value)
    return record


def busy_limiter() -> ResourceLimiter:
    """Two clients have connections, and a user is logged in and asks."""
    limiter = ResourceLimiter(overrides=parse_overrides("192.0.2.8 connections_per_ip=0"))
    for client in ("192.0.2.7", "192.0.2.7", "192.0.2.8"):
        limiter.admit(client, 9.0)
    limiter.admit_user("ann", 9.0)
    limiter.spend("user:ann", 50, 9.75)
    return limiter


def shared_limiter() -> ResourceLimiter:
    """A client has one connection, and nine more are reserved."""
    store = Store()
    process = Process("a", store)
    tables = process.sharing.tables("db", {"connections_per_ip": Terms(batch=0.09)})
    limiter = ResourceLimiter(shared=tables)
    limiter.admit("192.0.2.7", 0.0)
    process.talk()
    return limiter


def busy_suite() -> FakeSuite:
    """A gateway that had a client, has one, and refused one, and an echo that nobody came to."""
    suite = FakeSuite(
        listeners={
            "db": FakeListener("db", "gateway", ("tcp:7000:interface=127.0.0.1",)),
            "echo": FakeListener("echo", "echo", ("tcp:7007",), state="full"),
        },
        upstreams={"cache": FakeUpstream()},
        config=FakeConfig({"db": Table(), "echo": Table()}),
        limiters={"db": busy_limiter(), "echo": ResourceLimiter()},
    )
    gone = connection(1, traffic=Counted(5, 50))
    gone.because(Reason.SERVER_CLOSED)
    suite.ledger.open(gone)
    suite.ledger.close(gone, 3.5)
    suite.ledger.open(connection(2, upstream="cache", server="a", user="ann", traffic=Counted(10, 100)))
    suite.ledger.refuse("db", "connections_per_ip")
    suite.ledger.refuse_request("db", "message_rate")
    suite.ledger.would_refuse("db", "connection_rate")
    return suite
