"""Are these endpoint strings any good?  Found out on a reactor that opens nothing and takes notes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor

from tcpsuite.config.faults import Fault, HintedError
from tcpsuite.config.lines import Path, format_path
from tcpsuite.net.endpoints import listen_endpoint
from tcpsuite.options import ClientEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.tree import Tree

PORTS = range(2**16)
ANY = ("", "0.0.0.0", "::")
"""How an endpoint says that it listens on every address."""
_LISTENING = ("tcp:", "tcp4:", "tcp6:", "ssl:", "unix:")
_CLIENT_PORT = re.compile(r"(?:tcp|tls|ssl):(?:\\.|[^:\\])*:(?:port=)?(\d+)(?::|$)")
_HOST_AND_PORT = re.compile(r"(?:([\w.-]+):)?(\d+)")


def check_server(text: str) -> str:
    """``text``, when it is an endpoint string that a server can listen on.

    :raises HintedError: when it is not.
    """
    if text.startswith("systemd:"):
        return text  # its sockets are there only in the process that systemd has started
    try:
        listen_endpoint(MemoryReactor(), text)
    except Exception as error:  # a third party's parser may raise anything
        raise HintedError(
            f"a Twisted server endpoint string ({_first_line(error)})", text, _meant(text, "interface=")
        ) from error
    address = address_of(text)
    if address and isinstance(address[1], int) and address[1] not in PORTS:
        raise HintedError("a port from 0 to 65535", text, "")
    return text


def check_client(text: str) -> ClientEndpoint:
    """``text``, when it is an endpoint string that a client can connect to.

    :raises HintedError: when it is not.
    """
    try:
        clientFromString(MemoryReactor(), text)
    except Exception as error:  # as above
        raise HintedError(
            f"a Twisted client endpoint string ({_first_line(error)})", text, _meant(text)
        ) from error
    if (match := _CLIENT_PORT.match(text)) and int(match[1]) not in PORTS[1:]:
        raise HintedError("a port from 1 to 65535", text, "")
    return ClientEndpoint(text)


def address_of(text: str) -> tuple[str, int | str] | None:
    """Interface and port, or ``unix`` and path, that a checked string listens on; ``None`` if that cannot be
    known without listening.
    """
    if not text.startswith(_LISTENING):
        return None
    notes = MemoryReactor()
    listen_endpoint(notes, text).listen(Factory())
    if notes.unixServers:
        return "unix", notes.unixServers[0][0]
    opened = [*notes.tcpServers, *notes.sslServers][0]
    return opened[-1], opened[0]


def conflicts(tree: Tree) -> Iterator[Fault]:
    """Endpoints that cannot listen at the same time, because another one listens there."""
    taken: list[tuple[tuple[str, int | str], Path]] = []
    for path, text in _server_endpoints(tree):
        try:
            check_server(text)
        except HintedError:
            continue  # a fault of its own
        address = address_of(text)
        if address is None:
            continue
        for other, owner in taken:
            if _same(address, other):
                origin = tree.origin(path)
                got = f"{text}, where {format_path(owner)} ({tree.origin(owner)}) listens"
                yield Fault(origin.source, origin.line, format_path(path), "an address of its own", got)
                break
        taken.append((address, path))


def _server_endpoints(tree: Tree) -> Iterator[tuple[Path, str]]:
    listeners = tree.find(("listener",))
    names = listeners if isinstance(listeners, dict) else ()
    for path in (
        *(("listener", name, "endpoint") for name in names),
        ("admin", "endpoint"),
        ("manhole", "ssh"),
    ):
        match tree.find(path):
            case str() as text if text:
                yield path, str(text)
            case list() as texts:
                yield from (
                    ((*path, index), str(text)) for index, text in enumerate(texts) if isinstance(text, str)
                )


def _same(one: tuple[str, int | str], other: tuple[str, int | str]) -> bool:
    (host, port), (other_host, other_port) = one, other
    return port == other_port != 0 and (host == other_host or host in ANY or other_host in ANY)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


def _meant(text: str, keyword: str = "") -> str:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        return ""
    if not match[1]:
        return f"did you mean tcp:{match[2]}?" if keyword else ""
    return f"did you mean tcp:{match[2]}:{keyword}{match[1]}?" if keyword else f"did you mean tcp:{text}?"
