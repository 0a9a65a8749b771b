"""What the kernel knows of a stream transport, and the reactor does not."""

from __future__ import annotations

import fcntl
import select
import termios
from array import array
from typing import Any

from twisted.internet import tcp

from tcpsuite.net.wrappers import beneath

_FINISHED = getattr(select, "POLLRDHUP", 0)


def unsent(transport: Any) -> int:
    """Bytes that a stream transport was given and its peer has not: in its own queue and in the kernel's.

    TLS and other wrappers are looked beneath; 0 for a transport that is gone, or not of Twisted's own kind.
    """
    stream = _open(transport)
    if stream is None:
        return 0
    queued: int = len(stream.dataBuffer) - stream.offset + stream._tempDataLen
    return queued + _in_kernel(stream)


def in_flight(transport: Any) -> int:
    """Bytes that the kernel has taken of a stream transport, and its peer's has not acknowledged; of a UNIX
    connection, that the peer has not read, and what keeping them takes.

    TLS and other wrappers are looked beneath; 0 for a transport that is gone, or not of Twisted's own kind.
    """
    stream = _open(transport)
    return 0 if stream is None else _in_kernel(stream)


def was_reset(transport: Any) -> bool:
    """Whether the kernel knows that the peer has reset a stream transport, though nobody reads it.

    TLS and other wrappers are looked beneath; of a transport that is gone, or not of Twisted's own kind,
    nothing is known.
    """
    # Errors are told unasked.  A hang-up is not one: that is how two FINs look, with bytes still to be read.
    return bool(_events(transport, 0) & select.POLLERR)


def hung_up(transport: Any) -> bool:
    """Whether the kernel knows that the peer has finished, or reset, a stream transport, though nobody reads
    it.  Linux tells that behind unread bytes too, elsewhere a reset alone is told.

    TLS and other wrappers are looked beneath; of a transport that is gone, or not of Twisted's own kind,
    nothing is known.
    """
    return bool(_events(transport, _FINISHED) & (_FINISHED | select.POLLERR | select.POLLHUP))


def _events(transport: Any, wanted: int) -> int:
    stream = _open(transport)
    if stream is None:
        return 0
    poll = select.poll()
    poll.register(stream.fileno(), wanted)
    return next((events for _, events in poll.poll(0)), 0)


def _in_kernel(stream: Any) -> int:
    count = array("i", [0])
    fcntl.ioctl(stream.fileno(), termios.TIOCOUTQ, count)
    return count[0]


def _open(transport: Any) -> Any:
    """The open stream transport of Twisted's own that is beneath all wrappers, if there is one."""
    stream = beneath(transport)
    return stream if isinstance(stream, tcp.Connection) and stream.connected else None
