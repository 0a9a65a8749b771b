"""What a configuration holds: one frozen class for the file, one for a listener, the limits.

Every other table is declared beside what it configures: ``[upstream.NAME]`` in :mod:`tcpsuite.net.options`,
``[sessions]`` in :mod:`tcpsuite.net.session_options`, and so on; a listener's table also holds the options of
its service, declared beside the service.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NewType

from attrs import NOTHING, Factory, field, fields, frozen, make_class, resolve_types
from twisted.application.reactors import getReactorTypes

from tcpsuite.admin.access_log import AccessLogOptions
from tcpsuite.admin.http import AdminOptions
from tcpsuite.admin.manhole import ManholeOptions
from tcpsuite.net.auth import AuthOptions
from tcpsuite.net.limit_options import LimitsOptions
from tcpsuite.net.mux.options import MuxTable
from tcpsuite.net.options import UpstreamOptions
from tcpsuite.net.overload import OverloadOptions
from tcpsuite.net.session_options import SessionRules
from tcpsuite.net.socket_options import ListenerSocketOptions
from tcpsuite.options import Duration, Endpoints, OptionError, between, option
from tcpsuite.stores.redis.options import RedisOptions

ServiceName = NewType("ServiceName", str)
"""The name of a service type: built in, or of somebody's plugin."""

StateDirectory = NewType("StateDirectory", str)
"""The path of the directory that ``state:`` in other paths stands for."""

AUTO = "auto"
"""The name of the reactor that suits best."""

FILE_KEYS = {"listeners": "listener", "upstreams": "upstream"}
"""What some fields of :class:`Config` are called in a file, where each table holds one thing."""


def _some_endpoint(endpoints: Endpoints) -> None:
    if not endpoints:
        raise OptionError("at least one endpoint", [])


def _known_reactor(name: str) -> None:
    if name != AUTO:
        names = sorted(reactor.shortName for reactor in getReactorTypes())
        if name not in names:
            raise OptionError(f"{AUTO} or one of {', '.join(names)}", name)


@frozen
class ListenerConfig:
    """A ``[listener.NAME]`` table: the options of every listener, and those of its service.

    A service may declare an option under the name of a common one (``idle_timeout``): its default, its bounds
    and its sentence then take the place of those here.
    """

    endpoint: Endpoints = option(
        NOTHING,
        "Where it listens: a Twisted server endpoint string, or a list of them.",
        check=_some_endpoint,
    )
    service: ServiceName = option(
        NOTHING, "What it serves: echo, files, session, message, gateway, or a plugin's name."
    )
    idle_timeout: Duration = option(
        Duration(120.0),
        "A connection on which nothing moves for so long is ended; 0 never ends one.",
        check=between(0, 31_536_000, "seconds"),
    )
    write_timeout: Duration = option(
        Duration(0.0),
        "A client that takes nothing for so long of what is sent to it is cut; 0: never.",
        check=between(0, 86_400, "seconds"),
    )
    first_byte_timeout: Duration = option(
        Duration(0.0),
        "A client that has sent nothing so long after it was accepted is cut; over TLS there are 10 s for "
        "the handshake in its place; 0: it may wait for the server to speak.",
        check=between(0, 86_400, "seconds"),
    )
    limits: LimitsOptions = option(LimitsOptions(), "What is different from [limits] here.")
    socket: ListenerSocketOptions = option(ListenerSocketOptions(), "How its sockets are set up.")
    mux: MuxTable = option(
        MuxTable(), "What it asks of connections that carry streams, behind an endpoint mux:."
    )
    options: Any = None
    """The service's own options, an instance of the class that the service type names."""


@frozen
class Config:
    """A whole configuration, verified: every path absolute, every name leading somewhere."""

    drain_timeout: Duration = option(
        Duration(30.0),
        "When stopping, connections have so long to finish before they are cut.",
        check=between(0, 86_400, "seconds"),
    )
    state_directory: StateDirectory = option(
        StateDirectory(""),
        "Where sessions, what affinity remembers and the manhole's socket live; "
        "empty: $STATE_DIRECTORY, else tcpsuite in $XDG_STATE_HOME, else ~/.local/state/tcpsuite.",
    )
    reactor: str = option(
        AUTO,
        "The event loop: auto takes tcpsuite's own where it runs, on Linux; or a name that --reactor of "
        "twistd knows, which wins over this.",
        check=_known_reactor,
    )
    listeners: Mapping[str, ListenerConfig] = option(
        Factory(dict), "Where connections are taken, by a name of yours."
    )
    upstreams: Mapping[str, UpstreamOptions] = option(
        Factory(dict), "Servers to balance over, by a name of yours."
    )
    limits: LimitsOptions = option(LimitsOptions(), "How many connections a listener takes.")
    overload: OverloadOptions = option(OverloadOptions(), "What is done when memory or time becomes short.")
    sessions: SessionRules = option(SessionRules(), "Where sessions are kept, and how long.")
    redis: RedisOptions = option(RedisOptions(), "The Redis, or Valkey, that several machines share.")
    auth: AuthOptions = option(AuthOptions(), "Who may log in.")
    admin: AdminOptions = option(AdminOptions(), "Health, metrics and status over HTTP.")
    manhole: ManholeOptions = option(ManholeOptions(), "A live Python prompt inside the process.")
    access_log: AccessLogOptions = option(AccessLogOptions(), "A line for each connection.")

    @property
    def sample_directory(self) -> str:
        """The folder that the demonstration serves; ``state:sample`` in a file."""
        return os.path.join(self.state_directory, "sample")


@cache
def listener_table(service_options: type | None) -> Any:
    """A class of the options that a ``[listener.NAME]`` table may hold: those of every listener, and those of
    its service (``None``: only the common ones).
    """
    found: dict[str, Any] = {}
    for owner in (ListenerConfig, service_options):
        if owner is not None:
            resolve_types(owner)
            found |= {own.name: own for own in fields(owner) if own.name != "options"}
    return make_class(
        "ListenerTable",
        {
            name: field(default=own.default, metadata=own.metadata, type=own.type)
            for name, own in found.items()
        },
        frozen=True,
        kw_only=True,
    )
