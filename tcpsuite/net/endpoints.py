"""Endpoint strings, with the defaults that a server of many connections wants."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from tcpsuite.net.socket_options import OF_LISTENERS, ListenerSocketOptions
from tcpsuite.net.tuned import TunedEndpoint

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamServerEndpoint

_ARGUMENT = re.compile(r"(?:^|:)((?:\\.|[^:\\])*)", re.DOTALL)
_NAMED = re.compile(r"((?:\\.|[^=\\])*)=(.*)", re.DOTALL)
_ORDER = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "ssl": ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
    "tls": ("path", "port", "backlog", "interface"),
    "unix": ("address", "mode", "backlog"),
    "tcpsuite": ("port", "interface", "backlog"),
}
"""What the arguments by place are, of the endpoints that take a backlog."""


_MUX = "mux"


@frozen
class Parts:
    """An endpoint string taken apart: its type, what is given by place, what is given by name.

    :ivar proxied: whether ``haproxy:`` stands before it; the rest tells of what stands behind that.
    """

    type: str
    places: tuple[str, ...]
    names: dict[str, str]
    proxied: bool = False

    @classmethod
    def of(cls, text: str) -> Parts:
        """``tcp:7000:interface=\\:\\:1`` is of type tcp, with one argument by place and one by name."""
        kind, *arguments = _ARGUMENT.findall(text)
        if kind.lower() == "haproxy":
            return evolve(cls.of(_behind(text)), proxied=True)
        named = {argument: match for argument in arguments if (match := _NAMED.fullmatch(argument))}
        return cls(
            kind.lower(),
            tuple(_plain(argument) for argument in arguments if argument not in named),
            {match[1]: _plain(match[2]) for match in named.values()},
        )

    def given(self, *order: str) -> dict[str, str]:
        """All arguments by name, those given by place being ``order``, but for what is given by name."""
        free = [name for name in order if name not in self.names]
        return dict(zip(free, self.places, strict=False)) | self.names


def listen_endpoint(
    reactor: Any, text: str, socket: ListenerSocketOptions = OF_LISTENERS
) -> IStreamServerEndpoint:
    """The server endpoint that ``text`` describes, whose sockets are set up as ``socket`` says.

    What the string itself says comes before that.

    :raises ValueError: when Twisted cannot read it.
    """
    parts = Parts.of(text)
    if parts.proxied:
        from twisted.protocols.haproxy import proxyEndpoint  # seldom wanted, and not small

        return proxyEndpoint(listen_endpoint(reactor, _behind(text), socket))
    if carrier := carrier_of(text):
        from tcpsuite.net.mux.endpoints import MuxServerEndpoint  # which not everybody wants either

        return MuxServerEndpoint(listen_endpoint(reactor, carrier, socket), reactor)
    if parts.type in _ORDER and _backlog(parts) is None:
        text = f"{text}:backlog={socket.backlog}"
    endpoint = serverFromString(reactor, text)
    if isinstance(endpoint, TunedEndpoint):
        return evolve(endpoint, options=socket)
    return TunedEndpoint(endpoint, socket)


def carrier_of(text: str) -> str:
    """The endpoint string of what carries the streams of a ``mux:`` string; empty for another one."""
    parts = Parts.of(text)
    return _behind(text) if parts.type == _MUX and not parts.proxied else ""


def backlog_of(text: str) -> int | None:
    """The backlog that the string itself gives, ``None`` when it gives none or is of a type unknown here.

    :raises ValueError: when that is no number.
    """
    given = _backlog(Parts.of(text))
    return None if given is None else int(given)


def listen_failure(text: str, error: Exception) -> str:
    """Why ``text`` cannot be listened on, in few words: twistd tells no more than a hundred characters."""
    if Parts.of(text).type == "systemd" and isinstance(error, KeyError | IndexError):
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
    match getattr(failure.value, "args", ()):
        case ([*_, (_, _, str(words))],):  # OpenSSL's, of which only the last words are for people
            return f"TLS: {words}"
    if type(failure.value).__module__.startswith("service_identity."):  # which would tell it in Python
        return "TLS: the certificate has another name"
    number = getattr(failure.value, "osError", None)
    if isinstance(number, int):
        return os.strerror(number).lower()
    return str(failure.value) or type(failure.value).__name__


def lost_before(what: str, reason: Failure) -> Failure:
    """Why nothing came of a connection that ended before ``what``: in words of our own for an end that says
    no more.
    """
    if reason.check(ConnectionDone):
        return Failure(ConnectionError(f"it closed the connection before {what}"))
    if reason.check(ConnectionLost):
        return Failure(ConnectionError(f"the connection was lost before {what}"))
    return reason


def timed_out(_result: object, timeout: float) -> None:
    """For ``Deferred.addTimeout``.

    :raises TimeoutError: always, in words that :func:`failure_text` gives.
    """
    raise TimeoutError(f"no answer within {timeout:g} s")


def _behind(text: str) -> str:
    """What stands behind the first colon."""
    return text.partition(":")[2]


def _backlog(parts: Parts) -> str | None:
    order = _ORDER.get(parts.type)
    return parts.given(*order).get("backlog") if order else None


def _plain(argument: str) -> str:
    return re.sub(r"\\(.)", r"\1", argument, flags=re.DOTALL)
