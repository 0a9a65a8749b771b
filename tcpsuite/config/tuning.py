"""What a configuration asks of the machine, of which there is less: descriptors, ports, memory; and probes of
peers that say nothing.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.config.endpoints import is_unix
from tcpsuite.config.walk import options_of
from tcpsuite.core.limits import ENDLESS, SPARE_DESCRIPTORS, Room
from tcpsuite.net.endpoints import backlog_of, carrier_of
from tcpsuite.net.memory import most
from tcpsuite.net.socket_options import LARGEST, LONGEST_BACKLOG, OF_LISTENERS, ON_UNIX, TO_SERVERS
from tcpsuite.options import format_duration, format_size
from tcpsuite.plugin import descriptors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config, ListenerConfig
    from tcpsuite.net.options import UpstreamOptions
    from tcpsuite.net.socket_options import SocketOptions

    Remarks = Iterator[tuple[Path, str]]

LEAST_ROOM = 10
"""Descriptors for connections, however few there are: with none at all nothing would be served."""
PLENTY = 2**62
"""More than anybody asks for: what is not known limits nothing."""


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
    local_ports: int = PLENTY
    """Connections that can be made to one address of a server."""
    tracked: int = PLENTY
    """Connections that the firewall keeps track of."""
    memory: int = PLENTY
    """Bytes that this process may have, by what the machine has and by its control groups."""

    @classmethod
    def this(cls) -> Machine:
        """The machine and process that this runs in."""
        low, high = _kernel("net/ipv4/ip_local_port_range", 1, PLENTY)
        return cls(
            descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            backlog=_kernel("net/core/somaxconn", LONGEST_BACKLOG)[0],
            receive_buffer=_kernel("net/core/rmem_max", LARGEST)[0],
            send_buffer=_kernel("net/core/wmem_max", LARGEST)[0],
            local_ports=high - low + 1,
            tracked=_kernel("net/netfilter/nf_conntrack_max", PLENTY)[0],
            memory=most() or PLENTY,
        )


def doubts(config: Config, machine: Machine) -> Remarks:
    """What is asked for and cannot be had here, or will be in vain."""
    for name, listener in config.listeners.items():
        path = ("listener", name, "socket")
        yield from _socket(path, listener.socket, OF_LISTENERS, listener.endpoint, machine)
        yield from _silence(name, listener)
    for name, upstream in config.upstreams.items():
        path, addresses = ("upstream", name, "socket"), [server.address for server in upstream.servers]
        yield from _socket(path, upstream.socket, TO_SERVERS, addresses, machine)
        yield from _ports(name, upstream, config, machine)
    yield from _connections(config, machine)
    yield from _backlog(config, machine)
    yield from _overload(config, machine)


def _socket(
    path: Path, options: SocketOptions, usual: SocketOptions, texts: Sequence[str], machine: Machine
) -> Remarks:
    if all(is_unix(text) for text in texts):
        for own in options_of(type(options)):
            if getattr(options, own.name) != getattr(usual, own.name) and own.name not in ON_UNIX:
                yield (*path, own.name), "it says nothing on UNIX sockets, and there are no others here"
    for name, size, cap, limit in (
        ("receive_buffer", options.receive_buffer, machine.receive_buffer, "net.core.rmem_max"),
        ("send_buffer", options.send_buffer, machine.send_buffer, "net.core.wmem_max"),
    ):
        if size > cap:
            yield (*path, name), f"more than {limit}, so it is {format_size(cap)}"


def _silence(name: str, listener: ListenerConfig) -> Remarks:
    """Clients that have vanished: what ends their connections."""
    path, socket, idle = ("listener", name, "socket"), listener.socket, listener.idle_timeout
    if all(is_unix(text) for text in listener.endpoint):
        return
    if not socket.keepalive and not idle:
        why = "a client that has vanished keeps its place for ever, as there is no idle_timeout either"
        yield (*path, "keepalive"), why
    own = socket.keepalive_idle != OF_LISTENERS.keepalive_idle
    if socket.keepalive and own and 0 < idle <= socket.keepalive_idle:
        end = format_duration(idle)
        yield (*path, "keepalive_idle"), f"nobody is ever probed: idle_timeout ends who is silent after {end}"


def _ports(name: str, upstream: UpstreamOptions, config: Config, machine: Machine) -> Remarks:
    """How many connections may lead to one server, while the others are down."""
    here = {
        listener: each.limits.connections
        for listener, each in config.listeners.items()
        if getattr(each.options, "upstream", None) == name
    }
    giver = max(here, key=here.__getitem__, default="")
    clients: tuple[int, Path] = (sum(here.values()), ("listener", giver, "limits", "connections"))
    for number, server in enumerate(upstream.servers):
        own: Path = ("upstream", name, "servers", number, "max_connections")
        bound, path = min(clients, (server.max_connections, own)) if server.max_connections else clients
        if bound > machine.local_ports and not (is_unix(server.address) or carrier_of(server.address)):
            ports = f"net.ipv4.ip_local_port_range has {machine.local_ports} ports for them"
            yield path, f"{bound} connections may lead to server {server.name} at once, and {ports}"
            return


def descriptors_for(listener: ListenerConfig, config: Config) -> int:
    """What one connection to a listener takes at most, its own included."""
    may_attach = listener.service == "session" and bool(config.sessions.upstream)
    # A stream takes none, nor does one to a server; but any may be added where that is allowed.
    carried = all(carrier_of(text) for text in listener.endpoint)
    upstream = config.upstreams.get(getattr(listener.options, "upstream", ""))
    goes_on = (
        upstream is not None
        and not upstream.networks
        and all(carrier_of(server.address) for server in upstream.servers)
    )
    return descriptors_of(listener.service) + may_attach - carried - goes_on


def room_for(config: Config) -> Room:
    """The descriptors that this process, as it is, has for connections."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return ENDLESS
    ahead = sum(len(each.servers) * each.pool.settings().kept for each in config.upstreams.values())
    return Room(max(LEAST_ROOM, limit - SPARE_DESCRIPTORS - ahead))


def _connections(config: Config, machine: Machine) -> Remarks:
    needed, name = max(
        ((_descriptors(each, config), name) for name, each in config.listeners.items()), default=(0, "")
    )
    path = ("listener", name, "limits", "connections")
    if needed > machine.descriptors:
        limit = (
            f"may open {machine.descriptors}, so fewer are accepted: raise that (ulimit -Hn, LimitNOFILE=)"
        )
        yield path, f"so many connections want {needed} descriptors, and this process {limit}"
    tracked = needed - SPARE_DESCRIPTORS
    if tracked > machine.tracked:
        limit = f"net.netfilter.nf_conntrack_max is {machine.tracked}, past which it drops what is new"
        yield path, f"the firewall may have to keep track of {tracked} connections, and {limit}"


def _descriptors(listener: ListenerConfig, config: Config) -> int:
    return listener.limits.connections * descriptors_for(listener, config) + SPARE_DESCRIPTORS


def _backlog(config: Config, machine: Machine) -> Remarks:
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


def _overload(config: Config, machine: Machine) -> Remarks:
    overload = config.overload
    if overload.memory_limit > machine.memory:
        yield (
            ("overload", "memory_limit"),
            f"this machine, or the control group, has {machine.memory // 2**20} MiB: it is never reached",
        )
    if 0 < overload.pause_at < overload.shrink_at:
        yield (
            ("overload", "shrink_at"),
            "more than pause_at, so accepting rests before any is given back",
        )


def _kernel(name: str, *unknown: int) -> tuple[int, ...]:
    """Numbers that the kernel goes by; where it does not tell them nothing is known, so nothing is said."""
    try:
        with open(f"/proc/sys/{name}", encoding="ascii") as file:
            return tuple(map(int, file.read().split()))
    except (OSError, ValueError):
        return unknown
