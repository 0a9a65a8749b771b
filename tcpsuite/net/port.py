"""Ports and connectors of TCP and UNIX connections whose transports write through."""

from __future__ import annotations

from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM
from socket import NI_NUMERICHOST, NI_NUMERICSERV, SO_LINGER, SOL_SOCKET, getnameinfo
from struct import pack
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.logger import Logger
from twisted.python import log

from tcpsuite.net.refusing import Reset
from tcpsuite.net.transport import TCPClient, TCPStream, UNIXClient, UNIXStream

if TYPE_CHECKING:
    import socket

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

_PASSING = (ECONNABORTED, EPERM)
"""What ``accept`` says when one client has gone again, or a firewall has refused it."""

_SHORTAGES = (EMFILE, ENFILE, ENOBUFS, ENOMEM)
"""What ``accept`` says when this process or machine has run out of something."""

_WITH_RESET = pack("ii", 1, 0)

MORE_ACCEPTS = 20
"""So many more the next time, when the last one did not reach the end of those who wait."""

EPISODE = 60.0
"""Seconds without a shortage after which the next one is news."""

REST = 1.0
"""Seconds without accepting, when there is nothing to be done about those who wait."""


class _Accepting:
    """Mixed into a port of Twisted's: what it needs for each connection is little, and a shortage is one line
    in the log.
    """

    _log = Logger()

    _resting = False  # somebody has told it to
    _said_until = 0.0  # when the shortage that was told of last is forgotten
    _going_on: IDelayedCall | None = None

    # Of Twisted's ports, which this is mixed into.
    disconnecting: Any
    factory: Any
    reactor: Any
    socket: Any
    transport: Any
    numberAccepts: int
    sessionno: int
    startReading: Any
    stopReading: Any
    _buildAddr: Any

    def doRead(self) -> None:
        """Clients wait: accept those who do, up to a number that grows with the crowd."""
        most = self.numberAccepts
        accepted = 0
        for _ in range(most):
            if self._resting:
                break
            try:
                skt, peer = self.socket.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                if error.errno not in _SHORTAGES:
                    log.err(None, "while accepting")
                else:
                    self._run_short(error)
                break
            accepted += 1
            try:
                self._serve(skt, peer)
            except BaseException:  # an application's own: it costs no port
                log.err(None, "while a connection began")
        self.numberAccepts = most + MORE_ACCEPTS if accepted == most else max(1, accepted)

    def pauseProducing(self) -> None:
        """Accept no more, even if there are more who have woken it."""
        self._resting = True
        super().pauseProducing()  # type: ignore[misc]

    def resumeProducing(self) -> None:
        """Accept again."""
        self._resting = False
        super().resumeProducing()  # type: ignore[misc]

    def _serve(self, skt: socket.socket, peer: Any) -> None:
        if len(peer) == 4 and isinstance(peer, tuple) and peer[3]:
            # The host of a link-local address has its interface behind it.
            host, _ = getnameinfo(peer, NI_NUMERICHOST | NI_NUMERICSERV)
            peer = (host, *peer[1:])
        protocol = self.factory.buildProtocol(self._buildAddr(peer))
        if protocol is None:
            skt.close()
            return
        if protocol.__class__ is Reset:  # of a flood each makes no more work than one that is closed
            skt.setsockopt(SOL_SOCKET, SO_LINGER, _WITH_RESET)
            skt.close()
            return
        number = self.sessionno
        self.sessionno = number + 1
        protocol.makeConnection(self.transport(skt, protocol, peer, self, number, self.reactor))

    def _run_short(self, error: OSError) -> None:
        """Say so, once an episode; and see to it that those who wait do not wake the reactor for ever."""
        now = self.reactor.seconds()
        can_close = error.errno == EMFILE and tcp._reservedFD.available()
        if now >= self._said_until:
            self._log.error(
                "{port}: no connection can be accepted: {error}; {what}",
                port=self,
                error=error.strerror,
                what="who comes is turned away" if can_close else "who comes has to wait",
            )
        self._said_until = now + EPISODE
        if can_close:
            with tcp._reservedFD:
                self._turn_away()
        else:
            self.stopReading()
            self._going_on = self.reactor.callLater(REST, self._go_on)

    def _go_on(self) -> None:
        self._going_on = None
        if not (self._resting or self.disconnecting):
            self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """It is closed."""
        if self._going_on is not None:
            self._going_on.cancel()
        super().connectionLost(reason)  # type: ignore[misc]

    def _turn_away(self) -> None:
        try:
            for _ in range(self.numberAccepts):
                self.socket.accept()[0].close()
        except OSError:
            pass  # nobody is left, or somebody else has taken the descriptor


class TCPPort(_Accepting, tcp.Port):
    """A listening TCP port."""

    transport = TCPStream  # type: ignore[assignment]


class UNIXPort(_Accepting, unix.Port):
    """A listening UNIX port."""

    transport = UNIXStream


class TCPConnector(tcp.Connector):
    """Connects to a TCP port."""

    def _makeTransport(self) -> TCPClient:
        return TCPClient(self.host, self.port, self.bindAddress, self, self.reactor)


class UNIXConnector(unix.Connector):
    """Connects to a UNIX port."""

    def _makeTransport(self) -> UNIXClient:  # type: ignore[override]
        return UNIXClient(self.address, self, self.reactor, self.checkPID)
