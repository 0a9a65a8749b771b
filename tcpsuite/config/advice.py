"""What is not wrong with a configuration, and not well either: the start and ``tcpsuite check`` say it."""

from __future__ import annotations

import os
import resource
from importlib import import_module
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.application.reactors import getReactorTypes

from tcpsuite.config.endpoints import address_of, is_unix
from tcpsuite.config.faults import Fault
from tcpsuite.config.lines import format_path
from tcpsuite.config.pools import doubts as pool_doubts
from tcpsuite.config.upstreams import doubts as upstream_doubts
from tcpsuite.config.upstreams import unusable
from tcpsuite.config.walk import entries, options_of
from tcpsuite.core.limits import SPARE_DESCRIPTORS
from tcpsuite.errors import StartError
from tcpsuite.net.auth import read_users
from tcpsuite.net.endpoints import backlog_of
from tcpsuite.net.socket_options import LARGEST, LONGEST_BACKLOG, OF_LISTENERS, ON_UNIX, TO_SERVERS
from tcpsuite.options import DirectoryPath, FilePath, format_size
from tcpsuite.plugin import descriptors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config, ListenerConfig
    from tcpsuite.config.tree import Tree
    from tcpsuite.net.socket_options import SocketOptions

    Remarks = Iterator[tuple[Path, str]]

LOOPBACK = ("127.", "::1", "localhost", "unix")


@frozen
class Machine:
    """What the operating system allows."""

    descriptors: int
    """Descriptors that this process may have open, once it has raised its limit as far as it may."""
    backlog: int
    """Connections that may wait for their acceptance on one socket."""
    receive_buffer: int = LARGEST
    """Bytes that may be asked for as a socket's receive buffer."""
    send_buffer: int = LARGEST
    """Bytes that may be asked for as its send buffer."""

    @classmethod
    def this(cls) -> Machine:
        """The machine and process that this runs in."""
        return cls(
            resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            _kernel("somaxconn", LONGEST_BACKLOG),
            _kernel("rmem_max", LARGEST),
            _kernel("wmem_max", LARGEST),
        )


def missing(config: Config, tree: Tree) -> list[Fault]:
    """Files and directories that are named and do not exist; a start would fail."""
    state = config.state_directory
    return _faults(
        tree,
        (
            (entry.path, f"{entry.value} does not exist")
            for entry in entries(config)
            if entry.field.type in (FilePath, DirectoryPath)
            and entry.value not in ("", "-")
            and os.path.commonpath((state, entry.value)) != state  # what lies there is made when it is needed
            and not os.path.exists(entry.value)
        ),
    )


def broken(config: Config, tree: Tree) -> list[Fault]:
    """What is there and cannot be used as what it is named for; a start will fail."""
    return [
        fault
        for remarks in (_reactor(config.reactor), _passwords(config.auth.passwords), unusable(config))
        for fault in _faults(tree, remarks)
    ]


def doubts(config: Config, tree: Tree, machine: Machine) -> list[Fault]:
    """Values that make no sense together, or not on this machine."""
    return [
        fault
        for remarks in (
            _listeners(config),
            upstream_doubts(config),
            pool_doubts(config, tree),
            _admin(config),
            _sockets(config, machine),
            _capacity(config, machine),
        )
        for fault in _faults(tree, remarks)
    ]


def _faults(tree: Tree, remarks: Remarks) -> list[Fault]:
    found = []
    for path, text in remarks:
        origin = tree.origin(path)
        found.append(Fault(origin.source, origin.line, format_path(path), "", text))
    return found


def _reactor(name: str) -> Remarks:
    """A reactor of another system, or built on a library that is not there.  Of ``auto`` none is tried."""
    for known in getReactorTypes():
        if known.shortName == name:
            try:
                import_module(known.moduleName)  # type: ignore[attr-defined]
            except Exception as error:  # somebody else's libraries may raise anything
                yield ("reactor",), f"{name} cannot be used here: {error}"


def _passwords(file: str) -> Remarks:
    if os.path.exists(file):
        try:
            read_users(file)
        except StartError as error:
            yield ("auth", "passwords"), str(error)


def _listeners(config: Config) -> Remarks:
    if not config.listeners:
        yield ("listener",), "there is none, so nothing is served"
    for name, listener in config.listeners.items():
        options, path = listener.options, ("listener", name)
        if listener.limits.connections_per_ip > listener.limits.connections:
            yield (
                (*path, "limits", "connections_per_ip"),
                "more than connections, so it never limits anything",
            )
        if config.auth.passwords:
            continue
        if listener.service == "session" and not options.anonymous:
            yield (*path, "service"), "nobody can log in: auth.passwords names no file, and anonymous is off"
        if listener.service == "files" and options.uploads and not options.token:
            yield (*path, "uploads"), "nobody may upload: there is no token, and auth.passwords names no file"


def _admin(config: Config) -> Remarks:
    for text in config.admin.endpoint:
        address = address_of(text)
        if address and not address[0].startswith(LOOPBACK) and not config.admin.token:
            yield ("admin", "endpoint"), "it answers to other machines, and no token is asked for"
    if config.manhole.ssh and not config.manhole.authorized_keys:
        yield ("manhole", "ssh"), "nobody can log in: authorized_keys names no file"


def _sockets(config: Config, machine: Machine) -> Remarks:
    for name, listener in config.listeners.items():
        path = ("listener", name, "socket")
        yield from _socket(path, listener.socket, OF_LISTENERS, listener.endpoint, machine)
    for name, upstream in config.upstreams.items():
        path, addresses = ("upstream", name, "socket"), [server.address for server in upstream.servers]
        yield from _socket(path, upstream.socket, TO_SERVERS, addresses, machine)


def _socket(
    path: Path, options: SocketOptions, usual: SocketOptions, texts: Sequence[str], machine: Machine
) -> Remarks:
    if all(is_unix(text) for text in texts):
        for own in options_of(type(options)):
            if getattr(options, own.name) != getattr(usual, own.name) and own.name not in ON_UNIX:
                yield (*path, own.name), "it says nothing on UNIX sockets, and there are no others here"
    for name, size, most, limit in (
        ("receive_buffer", options.receive_buffer, machine.receive_buffer, "net.core.rmem_max"),
        ("send_buffer", options.send_buffer, machine.send_buffer, "net.core.wmem_max"),
    ):
        if size > most:
            yield (*path, name), f"more than {limit}, so it is {format_size(most)}"


def _kernel(name: str, unknown: int) -> int:
    """A limit of the kernel's network; if this is not Linux nothing is known, so nothing is said."""
    try:
        with open(f"/proc/sys/net/core/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return unknown


def _capacity(config: Config, machine: Machine) -> Remarks:
    needed, name = max(
        ((_descriptors(each), name) for name, each in config.listeners.items()), default=(0, "")
    )
    if needed > machine.descriptors:
        limit = (
            f"may open {machine.descriptors}, so fewer are accepted: raise that (ulimit -Hn, LimitNOFILE=)"
        )
        path = ("listener", name, "limits", "connections")
        yield path, f"so many connections want {needed} descriptors, and this process {limit}"
    longest, giver = max(
        (found for name, each in config.listeners.items() for found in _backlogs(name, each)), default=(0, ())
    )
    if longest > machine.backlog:
        yield (
            giver,
            f"{longest} connections should be able to wait, and net.core.somaxconn is {machine.backlog}",
        )


def _backlogs(name: str, listener: ListenerConfig) -> Iterator[tuple[int, Path]]:
    """The backlog of each endpoint, and what gives it."""
    for text in listener.endpoint:
        own = backlog_of(text)
        if own is None:
            yield listener.socket.backlog, ("listener", name, "socket", "backlog")
        else:
            yield own, ("listener", name, "endpoint")


def _descriptors(listener: ListenerConfig) -> int:
    return listener.limits.connections * descriptors_of(listener.service) + SPARE_DESCRIPTORS
