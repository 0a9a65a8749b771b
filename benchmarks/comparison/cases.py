"""What is measured, and what we hold ourselves to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import servers

if TYPE_CHECKING:
    from collections.abc import Callable

    from .servers import Kit, Server

FILE_SIZE = 1 << 30
CROWD = 10_000
"""Connections: enough that what each costs is seen, few enough for a limit of 20,000 descriptors."""


@dataclass(frozen=True)
class Case:
    """One kind of work that is measured.

    :ivar key: its name for ``--case`` and in the JSON.
    :ivar figure: which of the measured figures tells it: ``per_s``, ``mb_s``.
    :ivar load: the arguments of ``load``; none: curl fetches the file.
    :ivar connections: how many it opens.
    :ivar fresh: whether every measurement has a server of its own, with no other one running.
    """

    key: str
    title: str
    load: tuple[str, ...] = ()
    figure: str = "per_s"
    connections: int = 1
    fresh: bool = False

    @property
    def takes_ports(self) -> bool:
        """Whether it needs so many ports that those of ended connections must have come back before."""
        return "-n" in self.load or self.connections >= CROWD


@dataclass(frozen=True)
class Group:
    """Cases of one sort, which share their servers and a table.

    :ivar work: what the servers do: ``echo``, ``relay`` or ``file``.
    :ivar layout: ``ratios``, ``costs`` or ``crowd``: how its table looks in the whole comparison.
    :ivar addresses: how many the backend of relays listens on, from 127.0.0.1 up.
    """

    key: str
    title: str
    work: str
    servers: Callable[[Kit], list[Server]]
    cases: tuple[Case, ...]
    layout: str = "ratios"
    addresses: int = 1


def steady(key: str, title: str, size: int, connections: int, depth: int = 1, figure: str = "per_s") -> Case:
    """Messages to and fro on connections that stay."""
    load = ("-s", str(size), "-c", str(connections), "-d", str(depth))
    return Case(key, title, load, figure, connections)


def churn(fresh: bool) -> Case:
    """Connections that come, send 100 bytes, have them back, and go."""
    title = "connect, 100 B, close x 50, connections/s"
    return Case("churn", title, ("-n", "-s", "100", "-c", "50"), connections=50, fresh=fresh)


def crowd(key: str, figure: str, *load: str) -> Case:
    """Very many connections at a time; its titles are the report's."""
    return Case(key, "", ("-c", str(CROWD), *load), figure, CROWD, fresh=True)


SHARED = (
    steady("1k", "1 KiB x 50, messages/s", 1024, 50),
    steady("deep", "100 B x 50, 16 deep, messages/s", 100, 50, depth=16),
    steady("many", "100 B x 1000, messages/s", 100, 1000),
    steady("64k", "64 KiB x 50, MB/s", 65_536, 50, figure="mb_s"),
)

GROUPS = (
    Group(
        "echo",
        "Echo",
        "echo",
        servers.echo_servers,
        (*SHARED, steady("one", "100 B x 1, round trips/s", 100, 1), churn(fresh=False)),
    ),
    Group(
        "cost",
        "What a connection costs: connect, 100 B, close x 50",
        "echo",
        servers.cost_servers,
        (churn(fresh=False),),
        layout="costs",
    ),
    # A relay that leaves connections behind would cost every other one ports.
    Group("relay", "Relay", "relay", servers.relay_servers, (*SHARED, churn(fresh=True))),
    Group(
        "file",
        "A file of 1 GiB from the page cache, to curl",
        "file",
        servers.file_servers,
        (Case("warm", "1 GiB, MB/s", figure="mb_s"),),
    ),
    Group(
        "crowd",
        f"{CROWD:,} echo connections",
        "echo",
        servers.crowd_servers,
        (
            crowd("schedule", "mean_us", "-s", "100", "-r", "100000"),
            crowd("idle", "each", "-i"),
        ),
        layout="crowd",
    ),
)


@dataclass(frozen=True)
class Target:
    """A figure that we hold ourselves to.

    :ivar peer: whom it is compared with; empty: the figure itself counts, and less is better.
    :ivar at_least: what must be reached.
    :ivar aim: what is wished for; as ``at_least`` where no more is wished for.
    """

    group: str
    case: str
    figure: str
    peer: str
    at_least: float
    aim: float


HELD_TO = (
    Target("echo", "1k", "per_s", "uvloop", 0.92, 1.0),
    Target("echo", "1k", "per_s", "Go net", 0.92, 0.92),
    Target("echo", "1k", "per_s", "Twisted, stock", 2.5, 2.5),
    Target("echo", "deep", "per_s", "uvloop", 0.92, 1.0),
    Target("echo", "many", "per_s", "uvloop", 0.92, 1.0),
    Target("echo", "one", "per_s", "uvloop", 0.92, 1.0),
    Target("echo", "64k", "mb_s", "uvloop", 1.0, 1.0),
    Target("echo", "churn", "per_s", "uvloop", 0.5, 0.7),
    Target("relay", "1k", "per_s", "HAProxy", 0.78, 0.85),
    Target("relay", "many", "per_s", "HAProxy", 0.75, 0.9),
    Target("relay", "64k", "mb_s", "HAProxy", 1.3, 1.45),
    Target("relay", "64k", "mb_s", "HAProxy, 64 KiB buffers", 0.85, 0.95),
    Target("relay", "churn", "per_s", "HAProxy", 0.3, 0.5),
    Target("file", "warm", "mb_s", "nginx sendfile", 0.88, 0.95),
    Target("file", "warm", "mb_s", "Twisted, static.File", 1.8, 1.8),
    Target("crowd", "schedule", "mean_us", "", 500, 150),
    Target("crowd", "schedule", "resident", "", 80e6, 65e6),
    Target("crowd", "idle", "each", "", 2000, 1500),
)
