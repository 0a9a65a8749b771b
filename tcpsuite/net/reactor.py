"""A reactor for many connections: Twisted's epoll reactor with less between the poll and a transport.

All its stream connections are of :mod:`tcpsuite.net.transport`.  These it calls directly when they can be
read, and when they want to write it tries them at the end of the turn, before it watches for room.  All
else that it is given it serves as the epoll reactor does; but its timers do not care when somebody sets the
machine's clock.

``twistd -r tcpsuite`` gives it to any Twisted program; :func:`install` does so from Python.
"""

from __future__ import annotations

import socket
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from threading import get_ident
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionAborted, UnsupportedAddressFamily
from twisted.internet.main import installReactor
from twisted.python import context, log
from twisted.python.failure import Failure

from tcpsuite.net import resolving
from tcpsuite.net.port import TCPConnector, TCPPort, UNIXConnector, UNIXPort
from tcpsuite.net.steady import make_steady
from tcpsuite.net.stream import Stream
from tcpsuite.net.transport import TCPStream, UNIXStream

ENDED = EPOLLERR | EPOLLHUP
"""What the kernel says of a connection that is over."""

MOST_EVENTS = 512
"""Events that are taken from the kernel at once: with more, who writes at the end of the turn would wait."""


class TcpsuiteReactor(EPollReactor):
    """The reactor.  Linux has what it needs."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}  # those that are read
        self._untried: dict[Stream, bool] = {}  # those that want to write, in the order of their asking
        self._aborted: list[Stream] = []  # those that have not been told of it
        self._trying: Stream | None = None
        self._wants_more = False  # the one that is being tried
        self._current: Any = None  # whom an event or a try is about
        super().__init__()
        make_steady(self)
        resolving.install(self)

    def mainLoop(self) -> None:
        """Run until stopped."""
        context.call({log.ILogContext: _LogContext(self)}, super().mainLoop)

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, ``timeout`` seconds at most, and tell everyone theirs."""
        if self._untried or self._aborted:
            self._end_turn()
            # Whoever was called may have set a timer, or stopped the reactor.
            timeout = 0
        events = self._poller.poll(-1 if timeout is None else timeout, MOST_EVENTS)
        try:
            self._tell(events)
        finally:
            self._end_turn()

    doIteration = doPoll

    # What an application raises, SystemExit too, is logged and ends its own connection, not the loop; that is
    # Twisted's rule, which leaves out KeyboardInterrupt in some places and not in others.

    def _tell(self, events: list[tuple[int, int]]) -> None:
        streams = self._streams
        for fd, event in events:
            if event == EPOLLIN and (stream := streams.get(fd)) is not None:
                self._current = stream
                why: BaseException | None
                try:
                    why = stream.doRead()
                except BaseException as error:
                    log.err()
                    why = error
                if why is not None:
                    self._disconnect(stream, why, in_read=True)
            elif (selectable := self._selectables.get(fd)) is not None:
                self._current = selectable
                # Twisted takes an end with nothing to read for one in order.  So looks a reset, for a moment
                # while it comes in on another processor: only a read knows.
                read = EPOLLIN if event & ENDED and fd in streams else 0
                try:
                    self._doReadOrWrite(selectable, fd, event | read)
                except KeyboardInterrupt:
                    raise
                except BaseException:
                    log.err()

    def tell_end(self, stream: Stream) -> None:
        """Tell an aborted connection of its end when the turn is over, as a timer of 0 seconds would."""
        self._aborted.append(stream)

    def _end_turn(self) -> None:
        try:
            if self._untried:
                self._try_writers()
            if self._aborted:
                self._tell_aborted()
        finally:
            self._current = None

    def _tell_aborted(self) -> None:
        aborted, self._aborted = self._aborted, []
        for stream in aborted:
            self._current = stream
            try:
                stream.connectionLost(Failure(ConnectionAborted()))
            except BaseException:
                log.err()

    def _try_writers(self) -> None:
        """Let each that wants to write do so, and watch those for which there was no room.

        Who asks meanwhile has its turn in the next round.
        """
        for writer in tuple(self._untried):
            if not self._untried.pop(writer, False):
                continue  # it was removed meanwhile
            self._trying = self._current = writer
            self._wants_more = True
            try:
                why = writer.doWrite()
            except BaseException as error:
                log.err()
                why = error
            self._trying = None
            if why is not None:
                self._disconnect(writer, why, in_read=False)
            elif self._wants_more:
                super().addWriter(writer)

    def _disconnect(self, stream: Stream, why: BaseException, in_read: bool) -> None:
        try:
            self._disconnectSelectable(stream, why, in_read)
        except KeyboardInterrupt:
            raise
        except BaseException:
            log.err()

    # Who is watched

    def addReader(self, reader: Any) -> None:
        """Tell ``reader`` when it can read."""
        if isinstance(reader, Stream):
            # Past what asks whether it is a file, for a socket is none.
            self._add(reader, self._reads, self._writes, self._selectables, EPOLLIN, EPOLLOUT)
            self._streams[reader.fileno()] = reader
        else:
            super().addReader(reader)

    def removeReader(self, reader: Any) -> None:
        """Tell it so no more."""
        if isinstance(reader, Stream):
            if self._streams.pop(reader.fileno(), None) is not None:
                self._remove(reader, self._reads, self._writes, self._selectables, EPOLLIN, EPOLLOUT)
        else:
            super().removeReader(reader)

    def addWriter(self, writer: Any) -> None:
        """Have ``writer`` write: a connection at the end of the turn, and then, as all else, when it can."""
        if not isinstance(writer, Stream) or not writer.connected:
            super().addWriter(writer)
        elif writer is self._trying:
            self._wants_more = True
        elif writer.fileno() not in self._writes:
            self._untried[writer] = True

    def removeWriter(self, writer: Any) -> None:
        """Have it write no more."""
        if isinstance(writer, Stream):
            if writer is self._trying:
                self._wants_more = False
            self._untried.pop(writer, None)
            if writer.fileno() not in self._writes:
                return
        super().removeWriter(writer)

    def removeAll(self) -> list[Any]:
        """Watch nobody but for the reactor's own; what was watched is returned."""
        untried = list(self._untried)
        removed = super().removeAll()
        self._untried.clear()
        return [*removed, *set(untried).difference(removed)]

    def getWriters(self) -> list[Any]:
        """Who wants to write."""
        return [*super().getWriters(), *self._untried]

    # Who listens and connects

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen on a TCP port."""
        return _started(TCPPort(port, factory, backlog, interface, self))

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        """Connect to a TCP port."""
        connector = TCPConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenUNIX(
        self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> Any:
        """Listen on a UNIX socket."""
        return _started(UNIXPort(address, factory, backlog, mode, self, wantPID))

    def connectUNIX(self, address: Any, factory: Any, timeout: float = 30, checkPID: int = 0) -> Any:
        """Connect to a UNIX socket."""
        connector = UNIXConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """Accept on a socket that somebody else has made, of which a copy of the descriptor is kept."""
        self._know(addressFamily)
        if addressFamily == socket.AF_UNIX:
            return _started(UNIXPort._fromListeningDescriptor(self, fileDescriptor, factory))
        return _started(TCPPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory))

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """Serve a connection that somebody else has made, of which a copy of the descriptor is kept."""
        self._know(addressFamily)
        if addressFamily == socket.AF_UNIX:
            return UNIXStream._fromConnectedSocket(fileDescriptor, factory, self)
        return TCPStream._fromConnectedSocket(fileDescriptor, addressFamily, factory, self)

    def _know(self, family: int) -> None:
        if family not in self._supportedAddressFamilies:
            raise UnsupportedAddressFamily(family)


def _started(port: Any) -> Any:
    port.startListening()
    return port


class _LogContext(dict[str, Any]):
    """The context of a line in the log: whom it is about is asked when there is a line.

    :param reactor: knows whom the event in hand is about; that says nothing of other threads.
    """

    def __init__(self, reactor: TcpsuiteReactor) -> None:
        super().__init__(isError=0)
        self._reactor = reactor
        self._thread = get_ident()

    def copy(self) -> dict[str, Any]:
        """What Twisted's log begins each line with."""
        return {**self, "system": self["system"]}

    def __missing__(self, key: str) -> str:
        if key != "system":
            raise KeyError(key)
        selectable = self._reactor._current if self._thread == get_ident() else None
        try:
            return "-" if selectable is None else selectable.logPrefix()
        except Exception:
            return f"({type(selectable).__name__} without a logPrefix)"


def install() -> TcpsuiteReactor:
    """Make it the reactor of this process.

    :raises twisted.internet.error.ReactorAlreadyInstalledError: when there is one.
    """
    reactor = TcpsuiteReactor()
    installReactor(reactor)
    return reactor
