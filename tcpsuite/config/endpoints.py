"""Are these endpoint strings any good?  Found out on a reactor that opens nothing and takes notes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.protocol import Factory
from zope.interface import implementer

from tcpsuite.config.faults import HintedError, nearest
from tcpsuite.net.endpoints import Parts, backlog_of, carrier_of, listen_endpoint
from tcpsuite.net.socket_options import LONGEST_BACKLOG
from tcpsuite.net.tuned import ARGUMENTS
from tcpsuite.options import ClientEndpoint, error_text, parse_truth

if TYPE_CHECKING:
    from typing import Literal

PORTS = range(2**16)
LONGEST_UNIX_PATH = 107
"""Bytes of the path of a UNIX socket: Linux has 108 for it, and ends it with a zero."""
TYPES = ("tcp", "tcp6", "tls", "ssl", "unix", "systemd", "tcpsuite")
_LISTENING = ("tcp", "tcp6", "ssl", "unix")
_OURS = "tcpsuite"
_ARGUMENTS = (
    "host", "port", "interface", "backlog", "timeout", "bindAddress", "path", "address", "mode", "lockfile",
    "privateKey", "certKey", "extraCertChain", "caCertsDir", "certificate", "trustRoots", "endpoint",
)  # fmt: skip
"""What the arguments of Twisted's endpoints are called."""
_UNKNOWN = re.compile(r"unexpected keyword argument '(.+)'")
_LACKING = re.compile(r"missing \d+ required positional arguments?: (.+)")
_TOO_MANY = re.compile(r"multiple values for|positional arguments? but")
_HOST_AND_PORT = re.compile(r"(?:([\w.-]+):)?(\d+)")


def check_server(text: str) -> str:
    """``text``, when it is an endpoint string that a server can listen on.

    :raises HintedError: when it is not.
    """
    if carried := carrier_of(text):
        check_server(carried)
    if Parts.of(text).type == "systemd":
        _check_systemd(text)  # its sockets are there only in the process that systemd has started
        return text
    try:
        listen_endpoint(_reactor_for(text), text)
    except Exception as error:  # a third party's parser may raise anything
        raise _refusal(error, "server", text) from error
    match address_of(text):
        case "unix", str(path):
            _check_path(path, text)
        case _, int(port) if port not in PORTS:
            raise HintedError("a port from 0 to 65535", text, "")
        case str(interface), _ if Parts.of(text).type == _OURS and not _is_interface(interface):
            raise HintedError(f"an IPv4 or IPv6 address as interface, not {interface}", text, "")
    backlog = backlog_of(text)
    if backlog is not None and not 1 <= backlog <= LONGEST_BACKLOG:
        raise HintedError(f"a backlog from 1 to {LONGEST_BACKLOG} connections", text, "")
    return text


def check_client(text: str) -> ClientEndpoint:
    """``text``, when it is an endpoint string that a client can connect to.

    :raises HintedError: when it is not.
    """
    try:
        clientFromString(_reactor_for(text), text)
    except Exception as error:  # as above
        raise _refusal(error, "client", text) from error
    parts = Parts.of(text)
    if parts.type == "unix":
        _check_path(parts.given("path").get("path", ""), text)
    elif parts.type in ("tcp", "tls", "ssl"):
        given = parts.given("host", "port")
        if not given.get("host"):
            raise HintedError(f"{parts.type}:HOST:PORT", text, "")
        if int(given["port"]) not in PORTS[1:]:
            raise HintedError("a port from 1 to 65535", text, "")
    return ClientEndpoint(text)


@implementer(IReactorPluggableNameResolver)
class _Notes:
    """What Twisted's endpoints want of a reactor.  Nothing is opened: what should have been is noted."""

    nameResolver = None
    opened: tuple[str, int | str]

    def installNameResolver(self, resolver: Any) -> Any:
        return resolver

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> None:
        self.opened = interface, port

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> None:
        self.opened = interface, port

    def listenUNIX(self, address: str, factory: Any, **_how: Any) -> None:
        self.opened = "unix", address


def _reactor_for(text: str) -> Any:
    """A reactor that opens nothing."""
    if Parts.of(text).type in TYPES:
        return _Notes()
    # Who knows what a third party's parser asks of it.  It comes with Twisted's whole framework for tests.
    from twisted.internet.testing import MemoryReactor

    return MemoryReactor()


def address_of(text: str) -> tuple[str, int | str] | None:
    """Interface and port, or ``unix`` and path, that a checked string listens on; ``None`` if that cannot be
    known without listening.
    """
    if carried := carrier_of(text):
        return address_of(carried)
    parts = Parts.of(text)
    if parts.type == _OURS:
        given = parts.given("port", "interface", "backlog")
        return given.get("interface", ""), int(given["port"])
    if parts.type not in _LISTENING:
        return None
    notes = _Notes()
    listen_endpoint(notes, text).listen(Factory())
    return notes.opened


def shares_port(text: str) -> bool:
    """Whether others may listen where this checked string listens, if they are of the same mind."""
    parts = Parts.of(carrier_of(text) or text)
    return parts.type == _OURS and parse_truth(parts.names.get("reusePort", "no"))


def is_unix(text: str) -> bool:
    """Whether what this checked string of a server or a client describes is a UNIX socket."""
    parts = Parts.of(carrier_of(text) or text)
    return parts.type == "unix" or (
        parts.type == "systemd" and parts.given("domain", "index")["domain"] == "UNIX"
    )


def _check_systemd(text: str) -> None:
    parts = Parts.of(text)
    given = parts.given("domain", "index", "name")
    socket = given.get("name", given.get("index", ""))
    if (
        set(given) not in ({"domain", "index"}, {"domain", "name"})
        or given["domain"] not in ("INET", "INET6", "UNIX")
        or not (socket and ("name" in given or socket.isdecimal()))
        or len(given) < len(parts.places)
    ):
        raise HintedError("systemd:domain=INET:name=NAME, or index=0; domain INET, INET6 or UNIX", text, "")


def _is_interface(text: str) -> bool:
    return not text or isIPAddress(text) or isIPv6Address(text)


def _check_path(path: str, text: str) -> None:
    if not 0 < len(os.fsencode(path)) <= LONGEST_UNIX_PATH:
        raise HintedError(f"unix: and a path of at most {LONGEST_UNIX_PATH} bytes", text, "")


def _refusal(error: Exception, side: Literal["server", "client"], text: str) -> HintedError:
    """What to say of a string that Twisted does not take: in its words where those are for people."""
    kind = Parts.of(text).type
    reason, hint = error_text(error), _meant(text, side)
    if kind in ("ssl", "tls") and isinstance(error, ImportError | NameError):
        reason = "needs the tls extra: pip install 'tcpsuite[tls]'"
    elif unknown := _UNKNOWN.search(reason):
        known = ARGUMENTS if kind == _OURS else _ARGUMENTS
        reason, hint = f"there is no {unknown[1]}=", nearest(unknown[1], known)
    elif lacking := _LACKING.search(reason):
        reason = f"it lacks {lacking[1]}"
    elif _TOO_MANY.search(reason):
        reason, hint = "more arguments than it takes", r"a colon inside of one is written \:"
    return HintedError(f"a Twisted {side} endpoint string ({reason})", text, hint)


def _meant(text: str, side: Literal["server", "client"]) -> str:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or match[1] in TYPES:
        return ""
    if side == "client":
        return f"did you mean tcp:{text}?" if match[1] else ""
    return f"did you mean tcp:{match[2]}:interface={match[1]}?" if match[1] else f"did you mean tcp:{text}?"
