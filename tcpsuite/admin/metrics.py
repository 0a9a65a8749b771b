"""The status of a process as metric families.

Labels are names from the configuration and words of ours, so that their number is known when the file is
read: no peer can make a new one.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import twisted
from tcpsuite import __version__
from tcpsuite.admin.limits import shared_families
from tcpsuite.admin.mux import mux_families
from tcpsuite.admin.sessions import session_families
from tcpsuite.core.connections import Reason
from tcpsuite.core.metrics import Family, Kind, Sample
from tcpsuite.core.servers import Administration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tcpsuite.admin.process import ProcessFigures
    from tcpsuite.admin.status import ListenerStatus, Status
    from tcpsuite.core.connections import Totals

    Labels = Mapping[str, str]

POOL_STATES = ("connecting", "refilling", "warm", "idle", "leased", "validating", "resetting", "closing")
"""Of a pool's figures, those that tell what its connections are doing."""

POOL_FIGURES = {
    "max_open": (
        Kind.GAUGE,
        "tcpsuite_pool_max_connections",
        "Connections that a pool may have; 0: no limit.",
    ),
    "waiting": (Kind.GAUGE, "tcpsuite_pool_waiting", "Clients that wait for a connection of a pool."),
    "longest_wait": (
        Kind.GAUGE,
        "tcpsuite_pool_longest_wait_seconds",
        "How long a client has waited for a connection of a pool, at most.",
    ),
    "wait_seconds": (
        Kind.COUNTER,
        "tcpsuite_pool_wait_seconds_total",
        "How long clients have waited for connections of a pool, together.",
    ),
}
"""Of a pool's figures, those that have a family of their own; those that are left are counts of events."""

_TOLD_APART = {*POOL_STATES, *POOL_FIGURES, "open"}


def families(
    status: Status,
    process: ProcessFigures,
    *,
    changes: Mapping[tuple[str, str], int],
    refusals: Mapping[int, int],
) -> list[Family]:
    """Every family that has something to tell.

    :param changes: how many were made while it runs, by upstream and by what was changed.
    :param refusals: how many requests for pages such as this one were refused, by the HTTP status.
    """
    groups = (
        _ourselves(status),
        _overload(status.overload),
        _listeners(status.listeners),
        _servers(status.upstreams),
        _upstreams(status.upstreams),
        _affinity(status.upstreams),
        _admin(changes, refusals),
        session_families(status.sessions),
        shared_families(status.shared_limits),
        mux_families(status.mux),
        _process(process),
    )
    return [family for group in groups for family in group if family.samples]


def _ourselves(status: Status) -> Iterator[Family]:
    build = {"version": __version__, "python": platform.python_version(), "twisted": twisted.__version__}
    yield _gauge("tcpsuite_build_info", "What is running; always 1.", [Sample(1, build)])
    yield _gauge(
        "tcpsuite_ready", "Whether new connections should come: 1 or 0.", [Sample(int(not status.faults))]
    )
    yield _gauge(
        "tcpsuite_reactor_lag_seconds",
        "How late the reactor was, at most, in the last minute.",
        [Sample(status.overload["lag"]["worst"])],
    )


def _overload(watched: Mapping[str, Mapping[str, Any]]) -> Iterator[Family]:
    memory = watched["memory"]
    steps = [
        ({"cause": cause, "step": step}, data)
        for cause, each in watched.items()
        for step, data in each["steps"].items()
    ]
    for what, doc in (
        ("used", "Memory that counts towards the limit."),
        ("limit", "Memory that the process, or its control group, may have."),
    ):
        samples = [] if memory[what] is None else [Sample(memory[what])]
        yield _gauge(f"tcpsuite_memory_{what}_bytes", doc, samples)
    yield _gauge(
        "tcpsuite_overload_active",
        "Whether memory is given back, or accepting rests, for want of memory or time: 1 or 0.",
        [Sample(int(data["active"]), labels) for labels, data in steps],
    )
    yield _counter(
        "tcpsuite_overload_begun_total",
        "How often that began.",
        [Sample(data["begun"], labels) for labels, data in steps],
    )


def _listeners(listeners: Iterable[ListenerStatus]) -> Iterator[Family]:
    labelled = [({"listener": each.name, "service": each.service}, each) for each in listeners]

    def each(number: Callable[[Totals], float]) -> list[Sample]:
        return [Sample(number(listener.totals), labels) for labels, listener in labelled]

    yield _gauge(
        "tcpsuite_listener_accepting",
        "Whether a listener takes new connections: 1 or 0.",
        [Sample(int(listener.state == "listening"), labels) for labels, listener in labelled],
    )

    def by_limit(counts: Callable[[Totals], Mapping[str, int]]) -> list[Sample]:
        return [
            Sample(number, {**labels, "limit": limit})
            for labels, listener in labelled
            for limit, number in counts(listener.totals).items()
        ]

    yield _gauge(
        "tcpsuite_listener_limit",
        "What a limit of a listener allows, as its option says it; 0 for any number.",
        [
            Sample(number, {**labels, "limit": limit})
            for labels, listener in labelled
            for limit, number in listener.limits.items()
            if isinstance(number, int | float) and not isinstance(number, bool)
        ],
    )
    yield _gauge("tcpsuite_connections_open", "Connections that are open.", each(lambda totals: totals.open))
    yield _counter(
        "tcpsuite_connections_accepted_total",
        "Connections that were accepted, and that no limit refused.",
        each(lambda totals: totals.accepted),
    )
    yield _counter(
        "tcpsuite_connections_refused_total",
        "Connections that a limit refused.",
        by_limit(lambda totals: totals.refused),
    )
    yield _counter(
        "tcpsuite_requests_refused_total",
        "Requests and logins that a limit refused, on connections that went on.",
        by_limit(lambda totals: totals.refused_requests),
    )
    yield _counter(
        "tcpsuite_limits_would_refuse_total",
        "What was allowed though a limit in dry_run would have refused it.",
        by_limit(lambda totals: totals.would_refuse),
    )
    yield _counter(
        "tcpsuite_connections_ended_total",
        "Connections that ended, by the reason.",
        [
            Sample(listener.totals.ended[reason], {**labels, "reason": reason.value})
            for labels, listener in labelled
            for reason in Reason
        ],
    )
    yield _counter(
        "tcpsuite_connection_seconds_total",
        "How long the connections that ended were open, together.",
        each(lambda totals: totals.seconds),
    )
    yield _counter(
        "tcpsuite_received_bytes_total", "Bytes that came from clients.", each(lambda totals: totals.bytes_in)
    )
    yield _counter(
        "tcpsuite_sent_bytes_total", "Bytes that went to clients.", each(lambda totals: totals.bytes_out)
    )


def _servers(upstreams: Mapping[str, Mapping[str, Any]]) -> Iterator[Family]:
    servers = [
        ({"upstream": name, "server": server["name"]}, server)
        for name, upstream in upstreams.items()
        for server in upstream["servers"]
    ]

    def each(key: str) -> list[Sample]:
        return [Sample(server[key], labels) for labels, server in servers]

    def whether(key: str) -> list[Sample]:
        return [Sample(int(server[key]), labels) for labels, server in servers]

    def pool(label: str, wanted: Callable[[str], bool]) -> list[Sample]:
        return [
            Sample(number, {**labels, label: key})
            for labels, server in servers
            for key, number in server["pool"].items()
            if wanted(key)
        ]

    yield _gauge("tcpsuite_server_up", "Whether a server is up: 1 or 0.", whether("up"))
    yield _gauge("tcpsuite_server_weight", "A server's share of new connections.", each("weight"))
    yield _gauge(
        "tcpsuite_server_connections_open",
        "Connections to a server, those being made included.",
        each("active"),
    )
    yield _counter(
        "tcpsuite_server_connections_total", "Connections that were made to a server.", each("connections")
    )
    yield _counter(
        "tcpsuite_server_failures_total", "Attempts to connect to a server that failed.", each("failures")
    )
    yield _counter(
        "tcpsuite_server_resets_total",
        "Connections that a server reset, or that were lost on the way to it.",
        each("resets"),
    )
    yield _gauge(
        "tcpsuite_server_administration",
        "What an operator wants of a server: 1 for that, 0 for the others.",
        [
            Sample(int(server["administration"] == state.value), {**labels, "state": state.value})
            for labels, server in servers
            for state in Administration
        ],
    )
    yield _gauge(
        "tcpsuite_server_ejected",
        "Whether a server is left alone because connections to it failed: 1 or 0.",
        whether("ejected"),
    )
    yield _gauge(
        "tcpsuite_server_full",
        "Whether a server has as many connections as it takes: 1 or 0.",
        whether("full"),
    )
    yield _counter(
        "tcpsuite_server_checks_total",
        "Health checks of a server, by how they ended.",
        [
            Sample(number, {**labels, "outcome": outcome})
            for labels, server in servers
            for outcome, number in server["checks"].items()
        ],
    )
    yield _gauge(
        "tcpsuite_pool_connections",
        "Connections of a server's pool, by what they are doing.",
        pool("state", lambda key: key in POOL_STATES),
    )
    for figure, (kind, name, text) in POOL_FIGURES.items():
        samples = [
            Sample(server["pool"][figure], labels) for labels, server in servers if figure in server["pool"]
        ]
        yield Family(name, kind, text, samples)
    yield _counter(
        "tcpsuite_pool_events_total",
        "What has happened to the connections of a server's pool.",
        pool("event", lambda key: key not in _TOLD_APART),
    )


def _upstreams(upstreams: Mapping[str, Mapping[str, Any]]) -> Iterator[Family]:
    def each(number: Callable[[Mapping[str, Any]], float], **labels: str) -> list[Sample]:
        return [
            Sample(number(upstream), {"upstream": name, **labels}) for name, upstream in upstreams.items()
        ]

    yield _gauge(
        "tcpsuite_upstream_ready",
        "Whether an upstream has a server up: 1 or 0.",
        each(lambda of: int(of["ready"])),
    )
    yield _gauge(
        "tcpsuite_upstream_paused",
        "Whether an upstream lets its clients wait: 1 or 0.",
        each(lambda of: int(of["paused"])),
    )
    yield _gauge(
        "tcpsuite_upstream_waiting",
        "Clients that wait for a server.",
        each(lambda of: of["queue"]["waiting"]),
    )
    yield _gauge(
        "tcpsuite_upstream_longest_wait_seconds",
        "The longest that a client has waited for a server.",
        each(lambda of: of["queue"]["longest_wait"]),
    )
    yield _counter(
        "tcpsuite_upstream_turned_away_total",
        "Clients that waited in vain, or were refused because too many waited.",
        [
            *each(lambda of: of["queue"]["timed_out"], why="timed_out"),
            *each(lambda of: of["queue"]["refused"], why="refused"),
        ],
    )
    yield _counter(
        "tcpsuite_upstream_retries_total",
        "Clients that were to be moved to another server: done, or denied by the budget.",
        [
            *each(lambda of: of["retries"]["made"], outcome="made"),
            *each(lambda of: of["retries"]["denied"], outcome="denied"),
        ],
    )


def _affinity(upstreams: Mapping[str, Mapping[str, Any]]) -> Iterator[Family]:
    told = [(name, upstream["affinity"]) for name, upstream in upstreams.items() if upstream["affinity"]]
    yield _gauge(
        "tcpsuite_affinity_entries",
        "Clients of which an upstream remembers the server that they had.",
        [Sample(affinity["entries"], {"upstream": name}) for name, affinity in told],
    )
    yield _gauge(
        "tcpsuite_affinity_max_entries",
        "Clients of which it remembers that at most.",
        [Sample(affinity["most"], {"upstream": name}) for name, affinity in told],
    )
    yield _counter(
        "tcpsuite_affinity_picks_total",
        "Picks for clients with an address: kept on their server, new, or moved, by why it was not picked.",
        [
            Sample(number, {"upstream": name, "outcome": outcome})
            for name, affinity in told
            for outcome, number in affinity["picks"].items()
        ],
    )


def _admin(changes: Mapping[tuple[str, str], int], refusals: Mapping[int, int]) -> Iterator[Family]:
    yield _counter(
        "tcpsuite_admin_refusals_total",
        "Requests to the admin listener that were refused, by the HTTP status.",
        [Sample(number, {"status": str(code)}) for code, number in refusals.items()],
    )
    yield _counter(
        "tcpsuite_changes_total",
        "Changes that were made while the process runs.",
        [
            Sample(number, {"upstream": upstream, "change": word})
            for (upstream, word), number in changes.items()
        ],
    )


def _process(process: ProcessFigures) -> Iterator[Family]:
    # These names are Prometheus's own for every kind of process.
    yield _counter(
        "process_cpu_seconds_total", "Processor time, user and system.", [Sample(process.cpu_seconds)]
    )
    yield _gauge("process_max_fds", "Descriptors that may be open.", [Sample(process.max_fds)])
    if process.open_fds is not None:
        yield _gauge("process_open_fds", "Descriptors that are open.", [Sample(process.open_fds)])
    if process.resident_bytes is not None:
        yield _gauge("process_resident_memory_bytes", "Memory in use.", [Sample(process.resident_bytes)])
    if process.start_time is not None:
        yield _gauge(
            "process_start_time_seconds",
            "When the process began, since the epoch.",
            [Sample(process.start_time)],
        )


def _gauge(name: str, text: str, samples: Iterable[Sample]) -> Family:
    return Family(name, Kind.GAUGE, text, samples)


def _counter(name: str, text: str, samples: Iterable[Sample]) -> Family:
    return Family(name, Kind.COUNTER, text, samples)
