"""The stream transports of TCP and UNIX connections, accepted and made, that write through and count.

``Port.transport`` is the documented place to give a listening port another class of transport.
"""

from __future__ import annotations

import socket
from functools import cached_property
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.main import CONNECTION_LOST

from tcpsuite.net.stream import READ_SIZE, Counting, Stream
from tcpsuite.net.wrappers import beneath

if TYPE_CHECKING:
    from twisted.internet.error import ConnectionDone, ConnectionLost
    from twisted.internet.interfaces import IProtocol
    from twisted.python.failure import Failure

_ANCILLARY_ROOM = socket.CMSG_SPACE(4096)
"""Room for the descriptors that may come beside one read, as Twisted has it."""


class _Joined(Stream):
    """A connection that no connector has made; what it is called is put together when somebody asks.

    :param sessionno: its number among those that were accepted; ``None`` of one that was made from here,
        which is the client if it starts TLS.
    """

    # Of Twisted's transports, which this is mixed into.
    _getLogPrefix: Any
    _closeSocket: Any

    _past: IProtocol | str = ""  # its protocol, while that is told of the end; and then what that is called

    def __init__(
        self,
        skt: socket.socket,
        protocol: IProtocol,
        client: Any,
        server: Any,
        sessionno: int | None,
        reactor: Any,
    ) -> None:
        # Past Twisted's own: that makes several strings for each connection, as a rule for nobody.
        FileDescriptor.__init__(self, reactor)  # type: ignore[arg-type]
        if skt.gettimeout() != 0:
            skt.setblocking(False)
        self.socket = skt
        self.fileno = skt.fileno
        self.protocol = protocol
        self.client = client
        self.server = server
        self.sessionno = sessionno
        self._keep_close()
        self.startReading()
        self.connected = 1

    @property
    def hostname(self) -> Any:
        """The peer's address."""
        return self.client[0]

    @property
    def _addressType(self) -> type[IPv4Address | IPv6Address]:
        return IPv6Address if len(self.client) == 4 else IPv4Address

    @property
    def _tlsClientDefault(self) -> bool:
        return self.sessionno is None

    @property
    def _shouldShutdown(self) -> bool:
        # Closing ends it, unless somebody else may hold its descriptor too: he who has it adopted.
        return self.server is None and self.sessionno is not None

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        if not hasattr(self, "socket"):
            return  # which was told before
        self._part()
        FileDescriptor.connectionLost(self, reason)  # type: ignore[arg-type]
        self._closeSocket(not isinstance(reason.value, ConnectionAborted))
        protocol = self._past = self.protocol
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)
        self._past = type(protocol).__name__

    @cached_property
    def logstr(self) -> str:
        """What the lines about it in the log begin with."""
        protocol = getattr(self, "protocol", self._past)
        name = protocol if isinstance(protocol, str) else self._getLogPrefix(protocol)
        return f"{name},client" if self.sessionno is None else f"{name},{self.sessionno},{self.hostname}"

    @cached_property
    def repstr(self) -> str:
        """What ``repr`` gives."""
        protocol = getattr(self, "protocol", self._past)
        name = protocol if isinstance(protocol, str) else type(protocol).__name__
        if self.server is None:
            return f"<{name} to {self.hostname}>"
        return f"<{name} #{self.sessionno} on {self.server._realPortNumber}>"


class TCPStream(_Joined, tcp.Server):  # type: ignore[misc,override]
    """A TCP connection that was accepted, or made by hand."""


class TCPClient(Stream, tcp.Client):  # type: ignore[misc]
    """A TCP connection that a connector makes."""


class _Messages(Stream):
    """A UNIX connection, where descriptors may come beside the bytes."""

    _ancillaryLevelSOLSOCKETTypeSCMRIGHTS: Any

    def doRead(self) -> ConnectionDone | ConnectionLost | None:
        """The socket is readable: hand on what is there, descriptors first."""
        try:
            data, ancillary, _flags, _peer = self.socket.recvmsg(READ_SIZE, _ANCILLARY_ROOM)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._ancillaryLevelSOLSOCKETTypeSCMRIGHTS(payload)
        return self._hand_on(data)


class UNIXStream(_Messages, _Joined, unix.Server):  # type: ignore[misc,override]
    """A UNIX connection that was accepted, or made by hand."""

    def __init__(self, skt: socket.socket, protocol: IProtocol, client: Any, *rest: Any) -> None:
        self._sendmsgQueue = []
        super().__init__(skt, protocol, (client, None), *rest)


class UNIXClient(_Messages, unix.Client):  # type: ignore[misc]
    """A UNIX connection that a connector makes."""


def adopt(reactor: Any, skt: socket.socket, protocol: IProtocol, peer: Any) -> Stream:
    """The transport of a connection that was made by hand; ``protocol`` is connected to it.

    :param skt: connected, and the transport's from now on.
    :param peer: its address, as ``getpeername`` gives it.
    :raises BaseException: what the protocol raises when it is connected, or the reactor when it is to watch
        the socket; the connection is gone then.
    """
    kind = TCPStream if isinstance(peer, tuple) else UNIXStream
    try:
        # Of one class with those that were accepted: what relays between the two is twice as fast for Python.
        transport = kind(skt, protocol, peer, None, None, reactor)
    except BaseException:
        skt.close()
        raise
    try:
        protocol.makeConnection(transport)
    except BaseException:
        # It is in the reactor already, and the protocol may not know it yet.
        transport.abortConnection()
        raise
    return transport


_COUNTING: dict[Any, type[Stream]] = {tcp.Server: TCPStream, unix.Server: UNIXStream}


def count(port: Any) -> None:
    """Have the connections that a listening port accepts from now on write through, and count.

    A port of another kind than Twisted's own stream ports is left as it is.
    """
    kind = getattr(port, "transport", None)
    if kind in _COUNTING:
        port.transport = _COUNTING[kind]


def counted(transport: Any) -> Counting | None:
    """The counting transport beneath TLS and other wrappers, or ``None`` when nothing there counts."""
    stream = beneath(transport)
    return stream if isinstance(stream, Counting) else None
