"""The door of a listener that serves streams: who comes is admitted once, for all that it carries.

::

    accept -> limits by address -> a carrier -> each of its streams: a place below the ceiling -> the service
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.interfaces import IProtocolFactory, ISSLTransport
from twisted.internet.protocol import Factory, connectionDone
from zope.interface import implementer

from tcpsuite.interfaces import Verdict
from tcpsuite.net.admitted import HANDSHAKE_TIMEOUT
from tcpsuite.net.endpoints import address_text
from tcpsuite.net.mux.carriers import Carriers
from tcpsuite.net.mux.connection import MuxConnection
from tcpsuite.net.transport import counted

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress
    from twisted.internet.protocol import Protocol
    from twisted.python.failure import Failure

    from tcpsuite.net.admission import Admission
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.mux.options import MuxOptions


class MuxDoor(Factory):
    """The factory of a listener's port, where connections carry streams.

    Limits by address are asked once for each connection, and what they count lasts as long as that does; each
    of its streams is a connection of ``admission``, which counts towards the ceiling.  A connection takes a
    descriptor, of which the process has so many, and there are never more than the ceiling is high.

    :param admission: judges, and serves the streams.
    :param options: of each connection.
    :ivar carriers: the connections.
    """

    noisy = False

    def __init__(self, admission: Admission, options: MuxOptions) -> None:
        self.carriers = Carriers(admission.clock)
        self.admission = admission
        self._options = options
        self._places = admission.ceiling.beside(1)

    def __repr__(self) -> str:
        return f"<MuxDoor {self.carriers!r} before {self.admission!r}>"

    def doStart(self) -> None:
        """The port was opened."""
        super().doStart()  # type: ignore[no-untyped-call]
        self.admission.doStart()

    def doStop(self) -> None:
        """The port was closed: peers are told to open no more streams."""
        for carrier in self.carriers:
            carrier.close()
        self.admission.doStop()
        super().doStop()  # type: ignore[no-untyped-call]

    def buildProtocol(self, addr: IAddress) -> Protocol | None:  # type: ignore[override]
        """A connection was accepted; ``None`` closes it."""
        admission = self.admission
        verdict = admission.judge(addr)
        if not verdict.allowed:
            return admission.refuse(addr, verdict, speaks=False)
        if not self._places.enter():
            admission.limiter.release(verdict)
            why = f"{len(self.carriers)} connections carry streams already"
            return admission.refuse(addr, Verdict(False, "connections", why, key=verdict.key), speaks=False)
        return _Carrier(self, verdict, address_text(addr), self._options)

    def end(self, seconds: float) -> Deferred[None]:
        """Close the connections behind what is left to be sent, in so many seconds.  Fires when none is."""
        return self.carriers.end(seconds)

    def gone(self, carrier: _Carrier) -> None:
        """A connection is gone."""
        self.carriers.lost(carrier)
        self._places.leave()
        self.admission.limiter.release(carrier.verdict)


class _Carrier(MuxConnection):
    """One that was admitted."""

    def __init__(self, door: MuxDoor, verdict: Verdict, peer: str, options: MuxOptions) -> None:
        admission = door.admission
        super().__init__(
            False, _Streams(admission, Verdict(True, key=verdict.key), peer), admission.clock, options
        )
        self.verdict = verdict
        self._door = door
        self._deadline: Deadline | None = None

    def connectionMade(self) -> None:
        """Accepted: it has so long to say something."""
        admission = self._door.admission
        limit = (
            admission.limit_handshake if ISSLTransport.providedBy(self.transport) else admission.limit_silence
        )
        self._deadline = limit(self._late)
        super().connectionMade()
        self._door.carriers.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connectionLost(reason)
        self._door.gone(self)

    def _late(self) -> None:
        if ISSLTransport.providedBy(self.transport):
            if not self.shaken:
                self.abort(f"no TLS handshake within {HANDSHAKE_TIMEOUT:g} s", "deadline")
        elif (stream := counted(self.transport)) is not None and not stream.bytes_in:
            self.abort(f"no byte within {self._door.admission.first_byte_timeout:g} s", "deadline")


@implementer(IProtocolFactory)
@frozen
class _Streams:
    """Makes the protocols of the streams of one connection.

    What is the same for all of them is kept once.
    """

    admission: Admission
    verdict: Verdict
    peer: str

    def doStart(self) -> None:
        """The port's own says so."""

    def doStop(self) -> None:
        """So it does here."""

    def buildProtocol(self, addr: IAddress) -> Protocol | None:
        """A stream; ``None`` resets it."""
        return self.admission.carried(addr, self.verdict, self.peer)
