"""Ports and connectors of TCP and UNIX connections whose transports write through."""

from __future__ import annotations

from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.logger import Logger
from twisted.python import log

from tcpsuite.net.transport import TCPClient, TCPStream, UNIXClient, UNIXStream

if TYPE_CHECKING:
    import socket

_PASSING = (ECONNABORTED, EPERM)
"""What ``accept`` says when one client has gone again, or a firewall has refused it."""

_SHORTAGES = (EMFILE, ENFILE, ENOBUFS, ENOMEM)
"""What ``accept`` says when this process or machine has run out of something."""

FIRST_ACCEPTS = 100
"""Connections that a port accepts at most when it is woken for the first time."""

MORE_ACCEPTS = 20
"""So many more the next time, when the last one did not reach the end of those who wait."""


class _Accepting:
    """Mixed into a port of Twisted's: what it needs for each connection is little, and a shortage is one line
    in the log.
    """

    logger = Logger()

    _resting = False  # since somebody said so
    _short = False  # of descriptors, or of memory; and that was said

    # Of Twisted's ports, which this is mixed into.
    factory: Any
    reactor: Any
    socket: Any
    transport: Any
    numberAccepts: int
    sessionno: int
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
            self._short = False
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
            peer = tcp._getrealname(peer)
        protocol = self.factory.buildProtocol(self._buildAddr(peer))
        if protocol is None:
            skt.close()
            return
        number = self.sessionno
        self.sessionno = number + 1
        protocol.makeConnection(self.transport(skt, protocol, peer, self, number, self.reactor))

    def _run_short(self, error: OSError) -> None:
        """Say so once, and close the connections of those who wait: they would wake the reactor for ever."""
        if not self._short:
            self._short = True
            self.logger.error(
                "{port}: no connection can be accepted: {error}; who comes is turned away",
                port=self,
                error=error.strerror,
            )
        if error.errno == EMFILE and tcp._reservedFD.available():
            with tcp._reservedFD:
                self._turn_away()

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
