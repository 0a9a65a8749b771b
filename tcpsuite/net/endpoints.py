"""Endpoint strings, with the defaults that a server of many connections wants."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import serverFromString

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamServerEndpoint
    from twisted.python.failure import Failure

BACKLOG = 1024
"""Connections that may wait for their acceptance; the kernel caps it by ``net.core.somaxconn``."""


def listen_endpoint(reactor: Any, text: str) -> IStreamServerEndpoint:
    """The server endpoint that ``text`` describes; a TCP, TLS or UNIX one that names no backlog gets ours.

    :raises ValueError: when Twisted cannot read it.
    """
    if text.startswith(("tcp:", "ssl:", "unix:")) and not re.search(r"(?<!\\):backlog=", text):
        text = f"{text}:backlog={BACKLOG}"
    endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    return endpoint


def listen_failure(text: str, error: Exception) -> str:
    """Why ``text`` cannot be listened on, in few words: twistd tells no more than a hundred characters."""
    if text.startswith("systemd:") and isinstance(error, KeyError | IndexError):
        return "systemd has passed no such socket"
    cause = getattr(error, "socketError", error)
    return (cause.strerror or str(cause)).lower() if isinstance(cause, OSError) else str(error)


def address_text(address: Any) -> str:
    """How people write an address: ``127.0.0.1:7000``, ``[::1]:7000``, ``unix:/run/x.sock``."""
    host = getattr(address, "host", None)
    if host is not None:
        return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
    name = getattr(address, "name", None)
    return f"unix:{name.decode(errors='replace')}" if name else "unix"


def reachable(address: str) -> tuple[str, int]:
    """The host and port that a client on this machine connects to for an :func:`address_text`; for a UNIX
    address its path, and port 0.
    """
    if address.startswith("unix"):
        return address.partition(":")[2], 0
    host, _, port = address.rpartition(":")
    anywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
    return anywhere.get(host, host), int(port)


def failure_text(failure: Failure) -> str:
    """Why a connection could not be made, for people: in the system's own words where it has some."""
    number = getattr(failure.value, "osError", None)
    if isinstance(number, int):
        return os.strerror(number).lower()
    return str(failure.value) or type(failure.value).__name__


def timed_out(_result: object, timeout: float) -> None:
    """For ``Deferred.addTimeout``.

    :raises TimeoutError: always, in words that :func:`failure_text` gives.
    """
    raise TimeoutError(f"no answer within {timeout:g} s")
