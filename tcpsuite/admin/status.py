"""What can be said of a running process: gathered once, shown as JSON, as metrics and as readiness.

Nothing here names a session's id or a secret, and nothing grows with the number of clients.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from attrs import asdict, frozen

from tcpsuite import __version__
from tcpsuite.admin.limits import shared_data
from tcpsuite.admin.mux import mux_data
from tcpsuite.admin.sessions import sessions_data
from tcpsuite.core.connections import Totals
from tcpsuite.net.mux.trunks import trunks_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Sized

    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.admin.limits import SharedLimitsView
    from tcpsuite.admin.mux import DoorView
    from tcpsuite.admin.sessions import SessionsView
    from tcpsuite.core.connections import Connection, Ledger
    from tcpsuite.core.limits import Tables, Use
    from tcpsuite.core.picks import Pick
    from tcpsuite.core.queueing import WhyHeld
    from tcpsuite.core.servers import Administration, Server

MOST_CONNECTIONS = 100
"""Open connections that are listed one by one, the oldest: a page that people read."""


class ListenerView(Protocol):
    """What is looked at of a :class:`tcpsuite.net.listener.Listener`."""

    @property
    def service(self) -> str: ...

    @property
    def endpoints(self) -> Sequence[str]: ...

    @property
    def addresses(self) -> list[str]: ...

    @property
    def state(self) -> str: ...

    @property
    def doors(self) -> Sequence[DoorView]: ...


class ChangeView(Protocol):
    """What is looked at of a change that was made to an upstream while it runs."""

    @property
    def server(self) -> str: ...  # empty: of all of it

    @property
    def what(self) -> str: ...

    @property
    def configured(self) -> Any: ...

    @property
    def now(self) -> Any: ...


class WhatifView(Protocol):
    """What is looked at of a pick that was only tried."""

    @property
    def pick(self) -> Pick: ...

    @property
    def reason(self) -> str: ...

    @property
    def strategy(self) -> str: ...

    @property
    def waits(self) -> WhyHeld | None: ...

    @property
    def home(self) -> dict[str, Any] | None: ...


class OperatorView(Protocol):
    """What a :class:`tcpsuite.net.operating.Operator` can be told.

    It raises :class:`~tcpsuite.errors.ChangeRefused`, with a sentence, when it does not do it.
    """

    def administer(self, name: str, administration: Administration) -> None: ...

    def set_weight(self, name: str, weight: int) -> None: ...

    def kill_connections(self, name: str) -> int: ...

    def add(self, server: Server) -> None: ...

    def remove(self, name: str, force: bool = False) -> None: ...


class UpstreamView(Protocol):
    """What is looked at of a :class:`tcpsuite.net.upstream.Upstream`, and what it can be told."""

    @property
    def ready(self) -> bool: ...

    @property
    def nobody(self) -> str: ...

    @property
    def operator(self) -> OperatorView: ...

    def status(self) -> dict[str, Any]: ...

    def health(self) -> dict[str, dict[str, Any]]: ...

    def changes(self) -> Sequence[ChangeView]: ...

    def whatif(self, client: str) -> WhatifView: ...

    def pause(self, limit: float | None = None) -> None: ...

    def resume(self, rate: float = 0.0) -> None: ...

    def clear_affinity(self, client: str | None = None) -> int: ...


class LimiterView(Protocol):
    """What is looked at of a :class:`tcpsuite.core.limits.ResourceLimiter`."""

    @property
    def overrides(self) -> Sized: ...

    def top(self, number: int, now: float) -> Sequence[Use]: ...

    @property
    def shared(self) -> Tables: ...


class OverloadView(Protocol):
    """What is looked at of a :class:`tcpsuite.net.overload.Overload`."""

    @property
    def reasons(self) -> Sequence[str]: ...

    def status(self) -> dict[str, dict[str, Any]]: ...


class SuiteView(Protocol):
    """What is looked at of a :class:`tcpsuite.app.Suite`."""

    config: Any
    ledger: Ledger
    started_at: float | None
    draining: bool

    @property
    def overload(self) -> OverloadView: ...

    @property
    def sessions(self) -> SessionsView | None: ...

    @property
    def listeners(self) -> Mapping[str, ListenerView]: ...

    @property
    def limiters(self) -> Mapping[str, LimiterView]: ...  # by listener

    @property
    def shared_limits(self) -> SharedLimitsView | None: ...

    @property
    def upstreams(self) -> Mapping[str, UpstreamView]: ...


@frozen
class ListenerStatus:
    """A listener, and what its connections add up to."""

    name: str
    service: str
    endpoints: tuple[str, ...]
    addresses: tuple[str, ...]
    state: str
    limits: Mapping[str, Any]
    totals: Totals

    def as_json(self) -> dict[str, Any]:
        """For the JSON page."""
        totals = {
            **asdict(self.totals),
            "ended": {reason.value: number for reason, number in self.totals.ended.items()},
            "seconds": round(self.totals.seconds, 3),
        }
        return {**asdict(self, recurse=False), "totals": totals}


@frozen
class Status:
    """A process, at one moment."""

    uptime: float
    """Seconds since everything was open; 0 before."""
    reactor: str
    """The class of the event loop."""
    faults: tuple[str, ...]
    """Why it should be sent no new connections; empty when it should."""
    draining: bool
    listeners: tuple[ListenerStatus, ...]
    open: int
    """All open connections."""
    oldest: tuple[Connection, ...]
    """The oldest of them."""
    upstreams: Mapping[str, dict[str, Any]]
    sessions: Mapping[str, Any]
    """Their figures; empty when nothing serves sessions."""
    shared_limits: Mapping[str, Any]
    """How it stands with those that it shares limits with; empty when it shares none."""
    mux: Mapping[str, dict[str, Any]]
    """Connections that carry streams: of ``listeners``, and of ``trunks``, those that were made."""
    overload: Mapping[str, dict[str, Any]]
    """Of ``memory`` and of ``lag``: how they are, and what is done about it."""

    def as_json(self, now: float) -> dict[str, Any]:
        """For the JSON page; ``now`` is on the reactor's clock."""
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime": round(self.uptime, 3),
            "reactor": self.reactor,
            "ready": not self.faults,
            "faults": self.faults,
            "draining": self.draining,
            "listeners": [listener.as_json() for listener in self.listeners],
            "connections": {
                "open": self.open,
                "oldest": [_connection(each, now) for each in self.oldest],
            },
            "upstreams": self.upstreams,
            "sessions": self.sessions,
            "shared_limits": self.shared_limits,
            "mux": self.mux,
            "overload": self.overload,
        }


def faults(suite: SuiteView) -> tuple[str, ...]:
    """Why the process should be sent no new connections, in words; empty when it should."""
    if suite.draining:
        return ("draining",)
    if suite.started_at is None:
        return ("starting",)
    nobody = (upstream.nobody for upstream in suite.upstreams.values() if not upstream.ready)
    fault = suite.sessions.fault if suite.sessions is not None else ""
    return (*suite.overload.reasons, *nobody, *([f"sessions: {fault}"] if fault else ()))


async def gather(suite: SuiteView, clock: IReactorTime) -> Status:
    """Look at everything; waits for the session store, if there is one, and not for long."""
    sessions = await sessions_data(suite.sessions, clock)
    totals = suite.ledger.by_listener()
    return Status(
        uptime=0.0 if suite.started_at is None else clock.seconds() - suite.started_at,
        reactor=type(clock).__name__,
        faults=faults(suite),
        draining=suite.draining,
        listeners=tuple(
            ListenerStatus(
                name=name,
                service=listener.service,
                endpoints=tuple(listener.endpoints),
                addresses=tuple(listener.addresses),
                state=listener.state,
                limits=asdict(suite.config.listeners[name].limits),
                totals=totals.get(name, Totals()),
            )
            for name, listener in suite.listeners.items()
        ),
        open=len(suite.ledger),
        oldest=tuple(islice(suite.ledger, MOST_CONNECTIONS)),
        upstreams={name: upstream_data(upstream) for name, upstream in suite.upstreams.items()},
        sessions=sessions,
        shared_limits=shared_data(suite.shared_limits),
        mux=mux_data({name: each.doors for name, each in suite.listeners.items()}, trunks_of(clock)),
        overload=suite.overload.status(),
    )


def upstream_data(upstream: UpstreamView) -> dict[str, Any]:
    """An upstream as plain data, and beside it ``changes``: what of it is not as configured."""
    changes = [
        {"server": each.server, "what": each.what, "configured": each.configured, "now": each.now}
        for each in upstream.changes()
    ]
    return {**upstream.status(), "changes": changes}


def _connection(connection: Connection, now: float) -> dict[str, Any]:
    return {
        "id": connection.id,
        "peer": connection.peer,
        "listener": connection.listener,
        "service": connection.service,
        "upstream": connection.upstream,
        "server": connection.server,
        "user": connection.user,
        "seconds": round(connection.duration(now), 3),
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
    }
