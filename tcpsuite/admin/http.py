"""The admin listener: health, metrics, status, explanations and changes over HTTP."""

from __future__ import annotations

import secrets
from itertools import count
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.admin.control import Control
from tcpsuite.admin.guard import Guard
from tcpsuite.admin.pages import Pages
from tcpsuite.admin.refusals import Refusals
from tcpsuite.admin.site import AdminSite
from tcpsuite.admin.views import Views
from tcpsuite.core.connections import PAST, Ledger
from tcpsuite.core.limits import Ceiling, Limits, ResourceLimiter
from tcpsuite.net.admission import Admission
from tcpsuite.net.endpoints import Parts
from tcpsuite.net.listener import Listener
from tcpsuite.options import Endpoints, Secret, between, option, token_length

if TYPE_CHECKING:
    from typing import Any

    from tcpsuite.admin.status import SuiteView
    from tcpsuite.core.connections import Connection

MOST_CONNECTIONS = 100
"""Connections that look in at once: browsers, scrapers and probes are few."""
CONNECTIONS_PER_IP = 20
"""What one address off this machine may have of them, so that it cannot shut the others out."""
IDLE_TIMEOUT = 120.0
"""Seconds without a byte; longer than the longest phase of an HTTP connection without an answer."""
STOP_TIME = 1.0
"""Seconds that an answer has to finish when the process ends."""


@frozen
class AdminOptions:
    """The ``[admin]`` table."""

    endpoint: Endpoints = option(
        Endpoints(()), "Where health, metrics and status are served over HTTP; empty for nowhere."
    )
    hosts: tuple[str, ...] = option(
        (), "Host names that requests may carry, besides the loopback names and the address itself."
    )
    token: Secret = option(
        Secret(""),
        "When set, all but /healthz and /readyz wants the header Authorization: Bearer TOKEN; when not,"
        " changes are taken over loopback and UNIX sockets only.",
        check=token_length,
    )
    past_connections: int = option(
        PAST,
        "Connections that have ended and can still be explained; 0: none.",
        check=between(0, 1_000_000),
    )


class AdminListener:
    """Serves the pages on endpoints of its own.

    Its connections are bounded like those of any listener, and are not in the suite's own ledger: who looks
    in does not change what is seen.

    :param suite: what is looked at, and changed.
    """

    def __init__(self, options: AdminOptions, suite: SuiteView, reactor: Any) -> None:
        proxied = any(Parts.of(endpoint).proxied for endpoint in options.endpoint)
        refusals = Refusals(reactor)
        views = Views(suite, Control(suite.upstreams), refusals, reactor)
        guard = Guard(options.hosts, options.token, proxied=proxied)
        self._site = AdminSite(Pages(views.pages, guard, refusals), reactor)
        self._listener = Listener("admin", "admin", options.endpoint, IDLE_TIMEOUT, reactor)
        self._listener.admission = Admission(
            listener="admin",
            service_name="admin",
            service=self._site,
            limiter=ResourceLimiter(Limits(CONNECTIONS_PER_IP)),
            ceiling=Ceiling(MOST_CONNECTIONS),
            pause=self._rest,
            ledger=Ledger(),
            ended=_forget,
            ids=(f"admin-{secrets.token_hex(3)}-{number:x}" for number in count(1)),
            clock=reactor,
        )

    def __repr__(self) -> str:
        return f"<AdminListener {self._listener.state} {', '.join(self.addresses)}>"

    @property
    def addresses(self) -> list[str]:
        """The addresses that it really listens on."""
        return self._listener.addresses

    async def start(self) -> None:
        """Open the endpoints, if there are any.

        :raises StartError: saying which address, and why.
        """
        if self._listener.endpoints:
            await self._listener.start()

    async def stop(self) -> None:
        """Close the endpoints.  Done when no connection is open."""
        await self._listener.stop(STOP_TIME)

    def _rest(self, wanted: bool) -> None:
        self._listener.rest(wanted)
        if wanted:
            self._site.make_room()


def _forget(_record: Connection) -> None:
    """The connections of those who look in are not logged."""
