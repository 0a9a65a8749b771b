"""What a start in the foreground prints: each listener, what it serves, and a line to try it with."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

from tcpsuite import __version__
from tcpsuite.admin.manhole import socket_path
from tcpsuite.net.endpoints import Parts, carrier_of, reachable
from tcpsuite.plugin import service_types

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADINGS = ("listener", "address", "serves", "try")
TLS = ("ssl", "tls")
"""The types of endpoints that speak TLS."""


def welcome(suite: Any) -> str:
    """The table of a running :class:`tcpsuite.app.Suite`, a line each."""
    rows = [HEADINGS, *_rows(suite)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(
        (f"tcpsuite {__version__} is running; Ctrl-C ends it.", "", *(f"  {line}" for line in lines), "")
    )


def _command() -> str:
    """How this terminal calls the command that belongs to this process."""
    beside = os.path.join(os.path.dirname(sys.executable), "tcpsuite")
    found = shutil.which("tcpsuite")
    known = found is not None and os.path.realpath(found) == os.path.realpath(beside)
    return "tcpsuite" if known or not os.path.exists(beside) else os.path.relpath(beside)


def _rows(suite: Any) -> Iterator[tuple[str, str, str, str]]:
    types = service_types()
    for listener in suite.listeners.values():
        table = suite.config.listeners[listener.name]
        for address, endpoint in zip(listener.addresses, listener.endpoints, strict=False):
            host, port = reachable(address)
            example = (
                types[listener.service].example(table.options, host, port)
                if port
                else f"socat - UNIX-CONNECT:{host}"
            )
            example = _by_command(example, host, port, carried=bool(carrier_of(endpoint)))
            if Parts.of(endpoint).type in TLS:
                example = _over_tls(example, host, port)
            yield listener.name, address, listener.service, example
    for address in suite.admin.addresses:
        yield "admin", address, "health, metrics, status", f"curl {_curl(*reachable(address))}/api/v1/status"
    manhole = suite.manhole
    if manhole.path:
        yield (
            "manhole",
            f"unix:{manhole.path}",
            "a Python prompt",
            f"{_command()} manhole{_which(manhole.path)}",
        )
    for address in manhole.ssh_addresses:
        yield "manhole", address, "a Python prompt", f"ssh {_ssh_target(*reachable(address))}"


def _curl(host: str, port: int) -> str:
    return f"http://{host}:{port}" if port else f"--unix-socket {shlex.quote(host)} http://localhost"


def _by_command(example: str, host: str, port: int, carried: bool) -> str:
    """The same by our own command, if it is by that: where it is, and by which endpoint it gets there."""
    place = f"mux:tcp:{host}:{port}" if carried else f"{host}:{port}"
    return example.replace(f"tcpsuite call {host}:{port}", f"{_command()} call {place}")


def _over_tls(example: str, host: str, port: int) -> str:
    """The same by tools that speak TLS, to a certificate that nobody may have signed."""
    example = example.replace(f"curl http://{host}:{port}", f"curl -k https://{host}:{port}")
    return re.sub(
        rf"\bnc (?:-N )?{re.escape(host)} {port}\b",
        lambda _: f"openssl s_client -quiet -connect {host}:{port}",
        example,
    )


def _which(path: str) -> str:
    """What tells the command of a socket that is not where the demonstration has it."""
    home = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.expanduser("~/.local/state")
    known = path == socket_path(os.path.join(home, "tcpsuite"))
    return "" if known else f" --socket {shlex.quote(path)}"


def _ssh_target(host: str, port: int) -> str:
    if port:
        return f"-p {port} {host.strip('[]')}"
    return f"-o {shlex.quote(f'ProxyCommand=socat - UNIX-CONNECT:{host}')} localhost"
