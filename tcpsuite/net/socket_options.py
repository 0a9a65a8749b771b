"""How sockets are set up: the ``[listener.NAME.socket]`` and ``[upstream.NAME.socket]`` tables.

On Linux an accepted socket is set up as its listening socket was when the client came: so a listener's
options are set once, on the socket that listens, and no accepted connection costs a call for them.  The
exception is the high-water mark, which is the transport's own and not the kernel's.

What is said of TCP and of the kernel's buffers makes no difference on a UNIX socket, and is left out there:
a listener may have endpoints of both kinds.  The backlog and the high-water mark count on both.
"""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING, Any

from attrs import frozen

from tcpsuite.net.wrappers import beneath
from tcpsuite.options import Duration, OptionError, Size, between, format_size, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BACKLOG = 1024
"""Connections that may wait for their acceptance; the kernel caps it by ``net.core.somaxconn``."""

LONGEST_BACKLOG = 65_535
"""What a backlog may be at most: older kernels count no further."""

HIGH_WATER = 64 * 1024
"""The high-water mark that Twisted's own transports have."""

SMALLEST, LARGEST = 4 * 1024, 2**30
"""Bytes of a buffer: below, it is full with a packet or two; the kernel itself stops at a GiB."""


def _whole_seconds(low: int, high: int, why: str) -> Callable[[float], None]:
    def check(value: float) -> None:
        if not (low <= value <= high and value == int(value)):
            raise OptionError(f"whole seconds from {low} to {high}, {why}", f"{value:g}s")

    return check


def _size(value: int, besides: str = "") -> None:
    if not SMALLEST <= value <= LARGEST:
        bounds = f"from {format_size(SMALLEST)} to {format_size(LARGEST)}"
        raise OptionError(f"{besides}a size {bounds}", format_size(value))


def _buffer(value: int) -> None:
    if value:
        _size(value, "0, or ")


_probing = _whole_seconds(1, 32_767, "as the kernel counts them")


@frozen
class SocketOptions:
    """What a socket to a server is set up with, and one from a client too."""

    nodelay: bool = option(
        True,
        "Whether what is written leaves at once, whether or not what left before has arrived (TCP_NODELAY).",
    )
    keepalive: bool = option(
        True, "Whether a silent peer is probed, and the connection ends when it does not answer."
    )
    keepalive_idle: Duration = option(
        Duration(60.0), "A peer that was silent for so long is probed; whole seconds.", check=_probing
    )
    keepalive_interval: Duration = option(
        Duration(10.0), "Time between two probes; whole seconds.", check=_probing
    )
    keepalive_count: int = option(
        6,
        "So many probes without an answer end the connection, unless user_timeout is set and ends it.",
        check=between(1, 127, "probes, as the kernel counts them"),
    )
    user_timeout: Duration = option(
        Duration(0.0),
        "A peer that has acknowledged nothing of what was sent to it, or of probes, for so long is given up "
        "(TCP_USER_TIMEOUT); 0: when the kernel sees fit, for bytes after some 15 minutes.",
        check=between(0, 86_400, "seconds: a day is as good as never"),
    )
    receive_buffer: Size = option(
        Size(0),
        "What the kernel keeps of a peer until it is read (SO_RCVBUF), a fixed size from then on; "
        "0: what it sees fit, growing as needed.",
        check=_buffer,
    )
    send_buffer: Size = option(
        Size(0),
        "What the kernel takes for a peer until it is acknowledged (SO_SNDBUF), a fixed size from then on; "
        "0: what it sees fit, growing as needed.",
        check=_buffer,
    )
    high_water: Size = option(
        Size(HIGH_WATER),
        "When more than so much is queued for a peer in the process itself, who sends it is told to wait.",
        check=_size,
    )


@frozen
class ListenerSocketOptions(SocketOptions):
    """What a listening socket is set up with, and by it those of the clients."""

    backlog: int = option(
        BACKLOG,
        "Connections that may wait for their acceptance, net.core.somaxconn at most; "
        "backlog= in an endpoint comes before this.",
        check=between(1, LONGEST_BACKLOG, "connections, which every kernel can count"),
    )
    defer_accept: Duration = option(
        Duration(0.0),
        "A client that says nothing is not accepted before about so long, whole seconds (TCP_DEFER_ACCEPT); "
        "0: at once, which a service that speaks first needs.",
        check=_whole_seconds(0, 3600, "so that nobody waits longer than an hour"),
    )


ON_UNIX = ("backlog", "high_water")
"""The options that count on UNIX sockets too."""

TO_SERVERS, OF_LISTENERS = SocketOptions(), ListenerSocketOptions()
"""What is set up where nobody has said otherwise."""

_INTERNET = (socket.AF_INET, socket.AF_INET6)


def apply(options: SocketOptions, sock: socket.socket) -> None:
    """Set a TCP socket up: a fresh one, before it connects or listens, or soon after.

    Any other socket stays as it is.  A buffer's size, alone, is better said before: how far a window may open
    is agreed on in the handshake.

    :raises OSError: when the kernel refuses.
    """
    if sock.family in _INTERNET:
        put(in_kernel(options), sock)


def put(found: Iterable[tuple[int, int, int]], sock: socket.socket) -> None:
    """Set up a TCP socket as :func:`in_kernel` says.

    :raises OSError: when the kernel refuses.
    """
    for level, name, value in found:
        sock.setsockopt(level, name, value)


def in_kernel(options: SocketOptions) -> tuple[tuple[int, int, int], ...]:
    """What ``setsockopt`` is called with, for a TCP socket: level, name and value of each option."""
    tcp, every = socket.IPPROTO_TCP, socket.SOL_SOCKET
    found: list[tuple[int, int, int]] = [
        (tcp, socket.TCP_NODELAY, options.nodelay),
        (every, socket.SO_KEEPALIVE, options.keepalive),
    ]
    if options.keepalive:
        found += [
            (tcp, socket.TCP_KEEPIDLE, int(options.keepalive_idle)),
            (tcp, socket.TCP_KEEPINTVL, int(options.keepalive_interval)),
            (tcp, socket.TCP_KEEPCNT, options.keepalive_count),
        ]
    if options.user_timeout:
        found.append((tcp, socket.TCP_USER_TIMEOUT, math.ceil(options.user_timeout * 1000)))
    if options.receive_buffer:
        found.append((every, socket.SO_RCVBUF, options.receive_buffer))
    if options.send_buffer:
        found.append((every, socket.SO_SNDBUF, options.send_buffer))
    if isinstance(options, ListenerSocketOptions) and options.defer_accept:
        found.append((tcp, socket.TCP_DEFER_ACCEPT, int(options.defer_accept)))
    return tuple(found)


def set_up(options: SocketOptions, transport: Any) -> None:
    """Set up the socket of a connection that is made, and the mark of its transport.

    TLS and other wrappers are looked beneath; a transport that is not of Twisted's own kind stays as it is.
    """
    stream = beneath(transport)
    sock = getattr(stream, "socket", None)
    if sock is not None:
        apply(options, sock)
        mark(stream, options.high_water)


def mark(stream: Any, high_water: int) -> None:
    """Give a stream transport of Twisted's own kind, one without wrappers, its high-water mark."""
    if high_water != HIGH_WATER:  # what all have anyway takes no room in each
        stream.bufferSize = high_water
