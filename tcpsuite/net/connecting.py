"""Connecting to servers: straight away where the address says it all, by Twisted's endpoints elsewhere.

Twisted's way to a connection leads through a resolver, a connector, a factory around the factory and a
protocol around the protocol.  A numeric TCP address, or the path of a UNIX socket, needs none of them.
"""

from __future__ import annotations

import os
import socket
from errno import ECONNRESET, EINPROGRESS, ENOTCONN
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectingCancelledError, NoProtocol, getConnectError
from twisted.internet.interfaces import IReadWriteDescriptor, IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from tcpsuite.net.endpoints import Parts
from tcpsuite.net.socket_options import TO_SERVERS, SocketOptions, in_kernel, mark, put, set_up
from tcpsuite.net.transport import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
    from twisted.python.failure import Failure

log = Logger()

_ORDER = {"tcp": ("host", "port"), "unix": ("path",)}
"""What the arguments by place are, of the endpoints that are connected to straight away."""


def server_endpoint(
    reactor: Any, text: str, options: SocketOptions = TO_SERVERS
) -> StraightEndpoint | SetUpEndpoint:
    """The client endpoint that ``text`` describes, whose sockets are set up as ``options`` say.

    :raises ValueError: when Twisted cannot read it.
    """
    endpoint = clientFromString(reactor, text)
    parts = Parts.of(text)
    if parts.type == "mux":
        # All who name it share its connections, health checks too: they are as the last upstream wants them.
        endpoint.trunk.set_up(server_endpoint(reactor, endpoint.carrier, options), options.high_water)
        return SetUpEndpoint(endpoint, options)
    match parts.type, parts.given(*_ORDER.get(parts.type, ())):
        case "unix", {"path": path, **others} if not others:
            return StraightEndpoint(reactor, UNIXAddress(path), options)
        case "tcp", {"host": host, "port": port, **others} if not others and isIPAddress(host):
            return StraightEndpoint(reactor, IPv4Address("TCP", host, int(port)), options)
        case "tcp", {"host": host, "port": port, **others} if not others and isIPv6Address(host):
            return StraightEndpoint(reactor, IPv6Address("TCP", host, int(port)), options)
    return SetUpEndpoint(endpoint, options)


@implementer(IStreamClientEndpoint)
class SetUpEndpoint:
    """Connects as another endpoint does, and sets the socket up.

    :param endpoint: what connects.
    :param options: how the sockets are set up.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, options: SocketOptions) -> None:
        self._endpoint = endpoint
        self._options = options

    def __repr__(self) -> str:
        return f"<SetUpEndpoint {self._endpoint!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the protocol, or fails, as the endpoint does; fails too, and resets the connection, when
        the kernel refuses an option.
        """
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting.addCallback(self._set_up)

    def _set_up(self, protocol: Any) -> Any:
        try:
            set_up(self._options, protocol.transport)
        except OSError:
            protocol.transport.abortConnection()
            raise
        return protocol


@implementer(IStreamClientEndpoint)
class StraightEndpoint:
    """Connects to one address that needs nobody to resolve it.

    :param reactor: an ``IReactorFDSet`` and ``IReactorTime``.
    :param peer: whom to connect to; the host of an IPv6 address may name a scope.
    :param options: how the sockets are set up.
    """

    def __init__(
        self,
        reactor: Any,
        peer: IPv4Address | IPv6Address | UNIXAddress,
        options: SocketOptions = TO_SERVERS,
    ) -> None:
        self._reactor = reactor
        self._peer = peer
        self._high_water = options.high_water
        self._scoped = False
        self._address: Any
        match peer:
            case IPv4Address():
                self._family, self._address = socket.AF_INET, (peer.host, peer.port)
            case IPv6Address():
                self._family, self._address = socket.AF_INET6, (peer.host, peer.port, 0, 0)
                self._scoped = "%" in peer.host
            case UNIXAddress():
                self._family, self._address = socket.AF_UNIX, peer.name
        # Put together here, for each connection takes a microsecond less.
        self._set_up = () if self._family == socket.AF_UNIX else in_kernel(options)

    def __repr__(self) -> str:
        return f"<StraightEndpoint {self._address}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Begin to connect.

        There is no time-out but the kernel's, of minutes: who has less time cancels.

        :return: fires with the protocol when it is connected, which may be at once: a server on this machine
            answers in no time.  Fails with what Twisted's own endpoints fail with, and never at once unless
            the factory or its protocol raised it.  Cancelling it closes the socket, and it fails with
            ``ConnectingCancelledError``.
        """
        sock = None
        try:
            address = self._address_now()
            sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            put(self._set_up, sock)
            connected = _begun(sock, address)
        except Exception as error:  # a port that is none is no OSError
            if sock is not None:
                sock.close()
            return self._fail_soon(_reason(error))
        if not connected:
            return _Attempt(
                self._reactor, sock, address, self._peer, partial(self._begin, protocolFactory)
            ).answer
        try:
            return succeed(self._begin(protocolFactory, sock, address))
        except BaseException:
            return fail()

    def _begin(self, factory: IProtocolFactory, sock: socket.socket, address: Any) -> IProtocol:
        """Give a connection that is made to a protocol of ``factory``, and that protocol back.

        What is raised by those is raised on, and the connection is gone.
        """
        try:
            protocol = factory.buildProtocol(self._peer)
            if protocol is None:
                raise NoProtocol  # noqa: TRY301
        except BaseException:
            sock.close()
            raise
        transport = adopt(self._reactor, sock, protocol, self._told(address))
        mark(transport, self._high_water)
        return protocol

    def _address_now(self) -> Any:
        if not self._scoped:
            return self._address
        # A scope is the name of an interface, and the kernel wants the number that it has today.
        host, port = self._address[:2]
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM, 0, flags)[0][4]

    def _told(self, address: Any) -> Any:
        """The address as the transport tells it: a link-local host leads nowhere without its interface."""
        if not self._scoped:
            return address
        host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        return (host, *address[1:])

    def _fail_soon(self, error: Exception) -> Deferred[IProtocol]:
        def cancelled(answer: Deferred[IProtocol]) -> None:
            soon.cancel()
            answer.errback(ConnectingCancelledError(self._peer))

        answer: Deferred[IProtocol] = Deferred(cancelled)
        soon = self._reactor.callLater(0, answer.errback, error)
        return answer


@implementer(IReadWriteDescriptor)
class _Attempt:
    """A connection that is being made: the reactor says when its socket is connected, or has failed.

    :param begin: called with the socket and its address when they are connected; gives the protocol.
    :ivar answer: fires with that protocol.
    """

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        address: Any,
        peer: IAddress,
        begin: Callable[[socket.socket, Any], IProtocol],
    ) -> None:
        self.answer: Deferred[IProtocol] = Deferred(self._cancel)
        self._reactor = reactor
        self._socket: socket.socket | None = sock  # None once it is somebody else's, or closed
        self._address = address
        self._peer = peer
        self._begin = begin
        self._fd = sock.fileno()
        reactor.addWriter(self)

    def __repr__(self) -> str:
        return f"<_Attempt {self._address}>"

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return self._fd

    def logPrefix(self) -> str:
        """What lines in the log that come from here begin with."""
        return "connecting"

    def doWrite(self) -> None:
        """The socket is connected, or has failed."""
        if self._socket is None:
            return
        try:
            if not _made(self._socket):
                return
        except OSError as error:
            self._close()
            self.answer.errback(_reason(error))
            return
        try:
            # From here on the descriptor is the transport's, whatever becomes of this.
            protocol: Any = self._begin(self._let_go(), self._address)
        except BaseException:  # an application's own: who waits is told, as Twisted does
            if not self.answer.called:
                self.answer.errback()
            else:
                log.failure("a connection failed at its start, when it was cancelled already")
            return
        if not self.answer.called:
            self.answer.callback(protocol)
        else:
            # Cancelled by its own protocol or factory: nobody will ever have it.
            protocol.transport.abortConnection()

    def doRead(self) -> None:
        """Never asked for."""

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has seen it fail, or is stopping."""
        self.doWrite()
        if self._socket is not None:
            self._cancel(self.answer)

    def _cancel(self, answer: Deferred[IProtocol]) -> None:
        if self._socket is not None:
            self._close()
        answer.errback(ConnectingCancelledError(self._peer))

    def _close(self) -> None:
        self._let_go().close()

    def _let_go(self) -> socket.socket:
        sock, self._socket = self._socket, None
        assert sock is not None
        self._reactor.removeWriter(self)
        return sock


def _reason(error: Exception) -> Exception:
    """What Twisted's endpoints fail with when this was raised."""
    known = isinstance(error, OSError) and not isinstance(error, socket.gaierror)
    return getConnectError(error) if known else error


def _begun(sock: socket.socket, address: Any) -> bool:
    """Begin to connect: whether it is connected already, as a server on this machine is.

    :raises OSError: when it has failed.
    """
    status = sock.connect_ex(address)
    if status == EINPROGRESS:
        return _has_peer(sock)
    if status:
        raise OSError(status, os.strerror(status))
    return True


def _made(sock: socket.socket) -> bool:
    """Whether the connection that was begun is made; perhaps it has ended since.

    To ask for its error would use that up, and what a server says before it resets is still to be read.

    :raises OSError: when it has failed.
    """
    return _has_peer(sock) or _has_words(sock)


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError as error:
        if error.errno != ENOTCONN:
            raise
        return False
    return True


def _has_words(sock: socket.socket) -> bool:
    try:
        if sock.recv(1, socket.MSG_PEEK):
            return True
    except BlockingIOError:
        return False
    raise OSError(ECONNRESET, os.strerror(ECONNRESET))
