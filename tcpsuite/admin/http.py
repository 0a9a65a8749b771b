"""The admin listener: health, metrics and status over HTTP."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.options import Endpoints, Secret, option


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
        Secret(""), "When set, all but /healthz and /readyz wants the header Authorization: Bearer TOKEN."
    )
