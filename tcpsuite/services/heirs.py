"""Line services whose connections may be handed over: to something that speaks in no lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone

from tcpsuite.services.lines import LineProtocol

if TYPE_CHECKING:
    from twisted.python.failure import Failure


class HandingOver(LineProtocol):
    """A line protocol of which a command may :meth:`hand_over` the connection.

    A class of its own, though one service does so: the others hand nothing over, and what they read, and its
    end, need not ask whose it is.
    """

    _heir: Any = None

    def hand_over(self, heir: Any) -> None:
        """From now on the connection is that of ``heir``, with all that was read behind the line that is
        being answered.  There is no way back.

        :param heir: an ``IProtocol`` that honours half-close.
        """
        self._end()
        self._heir = heir
        self.transport.unregisterProducer()
        if not (self._reading or self._read_closed):
            self.transport.resumeProducing()
        heir.makeConnection(self.transport)
        if rest := self._lines.rest():
            heir.dataReceived(rest)
        if self._read_closed:
            heir.readConnectionLost()

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests arrived, or the heir's."""
        if self._heir is None:
            super().dataReceived(data)
        else:
            self._heir.dataReceived(data)

    def readConnectionLost(self) -> None:
        """The peer sends nothing more, and still reads."""
        if self._heir is None:
            super().readConnectionLost()
        else:
            self._heir.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Our FIN has gone."""
        if self._heir is None:
            super().writeConnectionLost()
        else:
            self._heir.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone, for both."""
        super().connectionLost(reason)
        if self._heir is not None:
            self._heir.connectionLost(reason)
