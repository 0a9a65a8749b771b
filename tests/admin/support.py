"""A suite with something to see in it."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred, succeed

from tcpsuite.core.connections import Connection, Counted, Ledger, Reason


@frozen
class Limits:
    connections: int = 10_000
    connections_per_ip: int = 100
    exempt_loopback: bool = True


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

    @property
    def addresses(self) -> list[str]:
        return ["127.0.0.1:7000"]


@define
class FakeUpstream:
    up: bool = True
    pools: dict[str, object] = Factory(dict)

    @property
    def ready(self) -> bool:
        return self.up

    def status(self) -> dict[str, Any]:
        return {
            "ready": self.up,
            "servers": [
                {
                    "name": name, "address": f"tcp:127.0.0.1:{port}", "weight": 1, "up": self.up, "active": 1,
                    "connections": 7, "failures": 2, "last_error": "connection refused",
                    "checks": {"ok": 5, "failed": 1},
                    "pool": {"connecting": 0, "warm": 2, "leased": 1, "created": 9, "failed": 2},
                }
                for name, port in (("a", 6379), ("b", 6380))
            ],
        }  # fmt: skip


@define
class FakeSessions:
    answer: Any = None

    def stats(self) -> Deferred[dict[str, Any]]:
        return self.answer or succeed({"count": 3, "in_use": 1, "users": {"ann": 2, "ben": 1}})


@define
class FakeSuite:
    ledger: Ledger = Factory(Ledger)
    started_at: float | None = 0.0
    draining: bool = False
    sessions: FakeSessions | None = Factory(FakeSessions)
    listeners: dict[str, FakeListener] = Factory(dict)
    upstreams: dict[str, FakeUpstream] = Factory(dict)
    config: FakeConfig = Factory(lambda: FakeConfig({}))


def connection(number: int, listener: str = "db", **values: Any) -> Connection:
    record = Connection(
        f"ab-{number}", f"192.0.2.7:{number}", "192.0.2.7", listener, "gateway", 1.0, 1_700_000_000.0
    )
    for name, value in values.items():
        setattr(record, name, value)
    return record


def busy_suite() -> FakeSuite:
    """A gateway that had a client, has one, and refused one, and an echo that nobody came to."""
    suite = FakeSuite(
        listeners={
            "db": FakeListener("db", "gateway", ("tcp:7000:interface=127.0.0.1",)),
            "echo": FakeListener("echo", "echo", ("tcp:7007",), state="full"),
        },
        upstreams={"cache": FakeUpstream()},
        config=FakeConfig({"db": Table(), "echo": Table()}),
    )
    gone = connection(1, traffic=Counted(5, 50))
    gone.because(Reason.SERVER_CLOSED)
    suite.ledger.open(gone)
    suite.ledger.close(gone, 3.5)
    suite.ledger.open(connection(2, server="a", user="ann", traffic=Counted(10, 100)))
    suite.ledger.refuse("db", "connections_per_ip")
    return suite
