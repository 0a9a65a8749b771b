"""Connecting to servers: straight away where the address says it all, by Twisted's endpoints elsewhere.

Twisted's way to a connection leads through a resolver, a connector, a factory around the factory and a
protocol around the protocol.  A numeric TCP address, or the path of a UNIX socket, needs none of them.
"""

from __future__ import annotations

import os
import socket
from errno import EALREADY, EINPROGRESS, EISCONN
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectingCancelledError, NoProtocol, getConnectError
from twisted.internet.interfaces import IReadWriteDescriptor, IStreamClientEndpoint
from zope.interface import implementer

from tcpsuite.net.endpoints import Parts
from tcpsuite.net.socket_options import HIGH_WATER, TO_SERVERS, SocketOptions, apply, set_up
from tcpsuite.net.transport import adopt

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IProtocolFactory
    from twisted.python.failure import Failure

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
        self.reactor = reactor
        self.peer = peer
        self._options = options
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

    def __repr__(self) -> str:
        return f"<StraightEndpoint {self._address}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Begin to connect.

        :return: fires with the protocol when it is connected, which may be at once: a server on this machine
            answers in no time.  Fails with what Twisted's own endpoints fail with, and never at once.
            Cancelling it closes the socket.
        """
        sock = None
        try:
            address = self._address_now()
            sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            apply(self._options, sock)
            connected = _connected(sock, address)
        except OSError as error:
            if sock is not None:
                sock.close()
            return self._fail_soon(error if isinstance(error, socket.gaierror) else getConnectError(error))
        if not connected:
            return _Attempt(self, protocolFactory, sock, address).answer
        try:
            return succeed(self.hand_over(protocolFactory, sock, address))
        except Exception:
            return fail()

    def hand_over(self, factory: IProtocolFactory, sock: socket.socket, address: Any) -> IProtocol:
        """Give a connection that is made to a protocol of ``factory``, and that protocol back.

        What is raised by those is raised on, and the connection is gone.
        """
        protocol: Any = None
        try:
            protocol = factory.buildProtocol(self.peer)
            if protocol is None:
                raise NoProtocol  # noqa: TRY301
            transport: Any = adopt(self.reactor, sock, protocol, address)
        except BaseException:
            if getattr(protocol, "transport", None) is None:
                sock.close()
            else:
                protocol.transport.abortConnection()
            raise
        if self._options.high_water != HIGH_WATER:
            transport.bufferSize = self._options.high_water
        return protocol  # type: ignore[no-any-return]

    def _address_now(self) -> Any:
        if not self._scoped:
            return self._address
        # A scope is the name of an interface, and the kernel wants the number that it has today.
        host, port = self._address[:2]
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM, 0, flags)[0][4]

    def _fail_soon(self, error: Exception) -> Deferred[IProtocol]:
        answer: Deferred[IProtocol] = Deferred(lambda _: soon.cancel())
        soon = self.reactor.callLater(0, answer.errback, error)
        return answer


@implementer(IReadWriteDescriptor)
class _Attempt:
    """A connection that is being made: the reactor says when its socket is connected, or has failed."""

    def __init__(
        self, endpoint: StraightEndpoint, factory: IProtocolFactory, sock: socket.socket, address: Any
    ) -> None:
        self.answer: Deferred[IProtocol] = Deferred(self._cancel)
        self._endpoint = endpoint
        self._factory = factory
        self._socket = sock
        self._address = address
        self._fd = sock.fileno()
        self._over = False
        endpoint.reactor.addWriter(self)

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
        try:
            connected = _connected(self._socket, self._address)
        except OSError as error:
            self._end()
            self._socket.close()
            self.answer.errback(getConnectError(error))
            return
        if connected:
            self._end()
            try:
                protocol = self._endpoint.hand_over(self._factory, self._socket, self._address)
            except Exception:
                self.answer.errback()
            else:
                self.answer.callback(protocol)

    def doRead(self) -> None:
        """Never asked for."""

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has seen it fail, or is stopping."""
        if not self._over:
            self.doWrite()
        if not self._over:
            self._cancel(self.answer)

    def _cancel(self, answer: Deferred[IProtocol]) -> None:
        self._end()
        self._socket.close()
        answer.errback(ConnectingCancelledError(self._endpoint.peer))

    def _end(self) -> None:
        self._over = True
        self._endpoint.reactor.removeWriter(self)


def _connected(sock: socket.socket, address: Any) -> bool:
    """Begin to connect, or see how far that is: whether it is connected.

    :raises OSError: when it has failed.
    """
    status = sock.connect_ex(address)
    if status == EINPROGRESS:
        # A server on this machine has answered by now, and to ask is cheaper than to wait.
        status = sock.connect_ex(address)
    if status in (EINPROGRESS, EALREADY):
        return False
    if status not in (0, EISCONN):
        raise OSError(status, os.strerror(status))
    return True
