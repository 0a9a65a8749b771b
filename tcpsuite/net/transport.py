"""Server transports that count what moves.

``Port.transport`` is the documented place to give a listening port another class of transport, so that every
endpoint of Twisted's own that ends in a stream socket can be counted without a wrapper around its protocols.
"""

from __future__ import annotations

import fcntl
import select
import termios
from array import array
from typing import TYPE_CHECKING, Any

from twisted.internet import main, tcp, unix
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport

if TYPE_CHECKING:
    from twisted.internet.error import ConnectionDone, ConnectionLost


class IStreamTransport(ITCPTransport, IPushProducer, IConsumer):
    """What every stream transport of Twisted is: a transport that can be paused, and that takes producers."""


class Counting:
    """Mixed into a stream transport: plain attributes that anyone may read at any time.

    :ivar bytes_in: bytes that came from the peer; with TLS, as they are on the wire.
    :ivar bytes_out: bytes that the kernel has taken for the peer.
    """

    bytes_in = 0
    bytes_out = 0

    # Twisted's transports, which this is mixed into.
    socket: Any
    bufferSize: int
    protocol: Any

    def doRead(self) -> ConnectionDone | ConnectionLost | None:
        """The socket is readable: hand on what is there."""
        try:
            data = self.socket.recv(self.bufferSize)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        self.bytes_in += len(data)
        self.protocol.dataReceived(data)
        return None

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """Send what the kernel takes now."""
        sent: int | ConnectionLost = super().writeSomeData(data)  # type: ignore[misc]
        if isinstance(sent, int):
            self.bytes_out += sent
        return sent


class TCPServer(Counting, tcp.Server):  # type: ignore[misc]
    """An accepted TCP connection, with Nagle's algorithm off."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Small answers must not wait for the acknowledgement of the ones before them.
        self.setTcpNoDelay(True)


class UNIXServer(Counting, unix.Server):  # type: ignore[misc]
    """An accepted UNIX connection."""


def unsent(transport: Any) -> int:
    """Bytes that a stream transport was given and its peer has not: in its own queue and in the kernel's.

    TLS and other wrappers are looked beneath; 0 for a transport that is gone, or not of Twisted's own kind.
    """
    stream = _beneath(transport)
    if stream is None:
        return 0
    queued: int = len(stream.dataBuffer) - stream.offset + stream._tempDataLen
    in_kernel = array("i", [0])
    fcntl.ioctl(stream.fileno(), termios.TIOCOUTQ, in_kernel)
    return queued + in_kernel[0]


def was_reset(transport: Any) -> bool:
    """Whether the kernel knows that the peer has reset a stream transport, though nobody reads it.

    TLS and other wrappers are looked beneath; of a transport that is gone, or not of Twisted's own kind,
    nothing is known.
    """
    stream = _beneath(transport)
    if stream is None:
        return False
    poll = select.poll()
    # Errors are told unasked.  A hang-up is not one: that is how two FINs look, with bytes still to be read.
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _beneath(transport: Any) -> Any:
    """The open stream transport of Twisted's own that is beneath all wrappers, if there is one."""
    while (beneath := getattr(transport, "transport", None)) is not None:
        transport = beneath
    return transport if isinstance(transport, tcp.Connection) and transport.connected else None


_COUNTING: dict[Any, type[Counting]] = {tcp.Server: TCPServer, unix.Server: UNIXServer}


def count(port: Any) -> None:
    """Have a listening port count the bytes of the connections that it accepts from now on.

    A port of another kind than Twisted's own stream ports is left as it is.
    """
    kind = getattr(port, "transport", None)
    if kind in _COUNTING:
        port.transport = _COUNTING[kind]


def counted(transport: Any) -> Counting | None:
    """The counting transport beneath TLS and other wrappers, or ``None`` when nothing there counts."""
    while transport is not None and not isinstance(transport, Counting):
        transport = getattr(transport, "transport", None)
    return transport
