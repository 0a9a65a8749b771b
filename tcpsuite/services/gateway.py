"""The gateway: each client is joined to a server of an upstream.

A client for which there is no server is reset, not closed: it asked a question, and a FIN would be an answer,
an empty one, to whoever reads up to the end.  It is what the client would have seen of a dead server itself.
"""

from __future__ import annotations

from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from attrs import NOTHING, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.core.connections import Reason
from tcpsuite.errors import Closed, ConnectFailed, NoServer, OutOfResources, PoolExhausted
from tcpsuite.interfaces import IRecorded
from tcpsuite.net.deadlines import Deadlines
from tcpsuite.net.first_byte import FirstByte
from tcpsuite.net.relay import Relay, ServerSide, Side
from tcpsuite.options import Duration, Size, UpstreamName, between, option

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twisted.internet.interfaces import IAddress, IProtocolFactory

    from tcpsuite.core.connections import Connection
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILease, IServiceContext
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.net.upstream import Upstream

JITTER = 0.1
"""By so much of itself a connection's longest duration is shorter: what began together ends one by one."""
LOOK_INTERVAL = 2.0
"""Seconds between two looks for resets that the reactor cannot see; two of them end a connection."""


@frozen
class GatewayOptions:
    """A listener's options with ``service = "gateway"``."""

    upstream: UpstreamName = option(NOTHING, "The upstream whose servers it leads to.")
    idle_timeout: Duration = option(
        Duration(600.0),
        "A connection on which nothing moves for so long is ended; 0 never ends one.",
        check=between(0, 31_536_000, "seconds"),
    )
    fin_timeout: Duration = option(
        Duration(30.0),
        "When one side has finished and then nothing moves for so long, the connection is reset.",
        check=between(0.1, 86_400, "seconds"),
    )
    max_duration: Duration = option(
        Duration(0.0),
        "A connection is reset after so long, or up to a tenth sooner, so that not all go at once; 0: never.",
        check=between(0, 31_536_000, "seconds"),
    )
    early_data: Size = option(
        Size(16 * 1024),
        "A client that has sent so much before its server is connected is not read until it is.",
        check=between(1, 16 * 1024**2, "bytes"),
    )


_REFUSALS: dict[Any, Reason] = {
    ConnectFailed: Reason.CONNECT_FAILED,
    OutOfResources: Reason.CONNECT_FAILED,
    NoServer: Reason.NO_SERVER,
    PoolExhausted: Reason.NO_ROOM,
    Closed: Reason.NO_SERVER,
}


@implementer(IRecorded, IHandshakeListener)
class GatewayConnection(Side):
    """A client's connection: asks for a server, keeps what the client says meanwhile, then joins the two.

    Over TLS it asks when the handshake is done: who cannot do that much costs no server a connection.
    """

    connection: Connection
    log = Logger()

    def __init__(self, factory: GatewayFactory) -> None:
        super().__init__(Reason.CLIENT_CLOSED, Reason.CLIENT_RESET)
        self.factory: GatewayFactory = factory
        self._deliver: Callable[[bytes], None] = self._keep
        self._early: list[bytes] = []
        self._early_size = 0
        self._server: ServerSide | None = None
        self._acquiring: Deferred[Any] | None = None
        self._first: FirstByte | None = None
        self._deadline: Deadline | None = None

    def connectionMade(self) -> None:
        """Ask for a server, unless there is a handshake to come."""
        self._deadline = self.factory.limit_duration(self._end)
        if not ISSLTransport.providedBy(self.transport):
            self._ask()

    def handshakeCompleted(self) -> None:
        """The client speaks TLS: ask for a server."""
        self._ask()

    def dataReceived(self, data: bytes) -> None:
        """To the server, or kept until there is one."""
        self._deliver(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone; what is being made for it is given up."""
        super().connectionLost(reason)
        if self._first is not None:
            self._first.end()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._acquiring is not None:
            self._acquiring.cancel()

    def _end(self) -> None:
        """It has lasted long enough."""
        limit = self.factory.max_duration
        self.connection.because(Reason.MAX_DURATION, f"connections last {limit:g} s at most")
        self.transport.abortConnection()

    def _ask(self) -> None:
        acquiring = self.factory.upstream.acquire(self.connection.host, self.connection)
        self._acquiring = acquiring
        acquiring.addCallbacks(self._attach, self._refuse)

    def _keep(self, data: bytes) -> None:
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size >= self.factory.early_data:
            self.transport.pauseProducing()

    def _attach(self, lease: ILease) -> None:
        self._acquiring = None
        self._server = side = ServerSide(self.transport, lambda: self._join(lease.server))
        try:
            lease.attach(side)
        except Exception:
            if side.connected:
                side.cut()
            self._refuse(Failure())

    def _join(self, server: Server) -> None:
        # Not kept: who knows each other in a circle is not forgotten at once.
        side, self._server = self._server, None
        assert side is not None
        self._deliver = side.transport.write
        factory = self.factory
        relay: Relay | None = None
        if factory.upstream.times_answers:

            def over() -> None:
                self._deliver = side.transport.write
                if relay is not None:
                    relay.stop_watching()

            self._first = FirstByte(factory.clock, partial(factory.upstream.answered, server), over)
            self._deliver = self._first.to_server(self._deliver)
            side.tell = self._first.to_client(side.tell)
        if self._early:
            self._deliver(b"".join(self._early))
            self._early.clear()
            if self._early_size >= factory.early_data:
                self.resumeProducing()
        relay = Relay(
            self,
            side,
            self.connection,
            factory.fin_timeout,
            factory.clock,
            factory.deadlines,
            factory.relays,
            watched=self._first is not None and not self._first.is_over,
        )

    def _refuse(self, failure: Failure) -> None:
        if self.gone and failure.check(CancelledError):
            return
        if kind := failure.check(*_REFUSALS):
            self.connection.because(_REFUSALS[kind], failure.getErrorMessage())
        else:
            self.log.failure("the gateway failed to find a server", failure)
            self.connection.because(Reason.ERROR, failure.getErrorMessage())
        self.transport.abortConnection()


class GatewayFactory(Factory):
    """Joins each connection to a server of ``upstream``.

    :param upstream: where the servers are.
    :param clock: an ``IReactorTime``.
    :param fin_timeout: seconds without a byte, once a side has finished, that end the connection.
    :param early_data: bytes of a client that are kept before its server is connected; then it is not read.
    :param max_duration: seconds that a connection may last; 0: for ever.
    :param deadlines: keeps the time-outs of all connections; ``None`` for some of its own.
    :ivar relays: those that last.
    """

    noisy = False

    def __init__(
        self,
        upstream: Upstream,
        clock: Any,
        *,
        fin_timeout: float = 30.0,
        early_data: int = 16 * 1024,
        max_duration: float = 0.0,
        chance: Random | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.upstream = upstream
        self.clock = clock
        self.fin_timeout = fin_timeout
        self.early_data = early_data
        self.max_duration = max_duration
        self._chance = chance or SystemRandom()
        self.deadlines = deadlines or Deadlines(clock)
        self.relays: set[Relay] = set()
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def __repr__(self) -> str:
        return f"<GatewayFactory to {self.upstream.name}>"

    def startFactory(self) -> None:
        """A listener opened its first port."""
        self._looking.start(LOOK_INTERVAL, now=False)

    def stopFactory(self) -> None:
        """A listener closed its last port; what goes on has the drain's time."""
        if self._looking.running:
            self._looking.stop()

    def buildProtocol(self, addr: IAddress | None) -> GatewayConnection:  # type: ignore[override]
        """The protocol of one client; its ``connection`` must be set before it is connected."""
        return GatewayConnection(self)

    def limit_duration(self, end: Callable[[], None]) -> Deadline | None:
        """Have ``end`` called when a connection that begins now has lasted long enough, if it ever has."""
        if not self.max_duration:
            return None
        return self.deadlines.after(self.max_duration * (1 - JITTER * self._chance.random()), end)

    def _look(self) -> None:
        for relay in tuple(self.relays):
            relay.look()


def build(options: GatewayOptions, context: IServiceContext) -> IProtocolFactory:
    """The factory for a listener."""
    return GatewayFactory(
        context.upstream(options.upstream),
        context.reactor,
        fin_timeout=options.fin_timeout,
        early_data=options.early_data,
        max_duration=options.max_duration,
        deadlines=context.deadlines,
    )


def example(options: GatewayOptions, host: str, port: int) -> str:
    """A command line that tries it."""
    return f"nc {host} {port}"
