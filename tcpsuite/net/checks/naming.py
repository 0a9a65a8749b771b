"""What a server is called when it is asked for by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tcpsuite.net.endpoints import Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.core.servers import Server

_USUAL_PORTS = {"tcp": "80", "tls": "443", "ssl": "443"}


def host_namer(given: str) -> Callable[[Server], str]:
    """Gives the name of a server: the ``given`` one, else the host of its address, ``localhost`` where that
    has none.
    """
    return partial(_host, given)


def authority_namer(given: str) -> Callable[[Server], str]:
    """Gives the Host of a server for HTTP: its name, and its port unless that is the usual one."""
    return partial(_authority, given)


def _host(given: str, server: Server) -> str:
    return given or _place(server)[0]


def _authority(given: str, server: Server) -> str:
    host, port = _place(server)
    if given:
        return given
    named = f"[{host}]" if ":" in host else host
    return f"{named}:{port}" if port else named


def _place(server: Server) -> tuple[str, str]:
    """The host, and the port if it must be said."""
    parts = Parts.of(server.address)
    if parts.type not in _USUAL_PORTS:
        return "localhost", ""
    given = parts.given("host", "port")
    port = given.get("port", "")
    return given.get("host", "localhost"), "" if port == _USUAL_PORTS[parts.type] else port
