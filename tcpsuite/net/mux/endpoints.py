r"""``mux:`` before an endpoint string: many streams on one connection, for any Twisted program.

::

    twistd web --listen mux:tcp:8080 --path .
    clientFromString(reactor, "mux:tcp:127.0.0.1:8080:maxStreams=500:connections=2")

What follows ``mux:`` is any endpoint of Twisted's or of a plugin's; its server side gives each stream to the
factory as a connection, its client side opens a stream where another endpoint would make a connection.  Those
who ask for the same string share its connections: ``connections`` of them, made when they are first wanted
and again when they are lost, and on each of them ``maxStreams`` streams at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, quoteStringArgument, serverFromString
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from tcpsuite.errors import Closed
from tcpsuite.net.mux.carriers import Carriers
from tcpsuite.net.mux.connection import MuxConnection
from tcpsuite.net.mux.options import MuxOptions
from tcpsuite.net.mux.trunks import trunks_of

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IProtocolFactory

MAX_STREAMS = 10_000
"""Streams that one connection carries at once, unless the string says otherwise."""
IDLE = 300.0
"""Seconds without a stream after which a connection of a trunk is closed: another one is soon made."""
RETRY = 1.0
"""Seconds until one more connection is tried behind one that came to nothing, while there are others."""
OF_TRUNKS = MuxOptions(idle_timeout=IDLE)


class MuxFactory(Factory):
    """Serves streams: each connection carries many, and each of them is one for ``factory``.

    :param factory: makes the protocol of each stream.
    :param clock: an ``IReactorTime``.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory, clock: Any, options: MuxOptions | None = None) -> None:
        self._factory = factory
        self._clock = clock
        self._options = options
        self.connections = Carriers(clock)

    def __repr__(self) -> str:
        return f"<MuxFactory {len(self.connections)} connections for {self._factory!r}>"

    def doStart(self) -> None:
        """A port was opened."""
        self._factory.doStart()

    def doStop(self) -> None:
        """A port was closed: those who are connected open no more streams."""
        for connection in self.connections:
            connection.close()
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> MuxConnection:
        """One connection."""
        connection = MuxConnection(False, self._factory, self._clock, self._options, self._lost)
        self.connections.add(connection)
        return connection

    def _lost(self, connection: MuxConnection, _reason: Failure) -> None:
        self.connections.lost(connection)


@implementer(IStreamServerEndpoint)
@frozen
class MuxServerEndpoint:
    """Listens as another endpoint does, for connections that carry streams."""

    endpoint: IStreamServerEndpoint
    clock: Any
    options: MuxOptions | None = None

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Fires with the port."""
        listening: Deferred[IListeningPort] = self.endpoint.listen(
            MuxFactory(protocolFactory, self.clock, self.options)
        )
        return listening


class _Ends(Factory):
    """Makes the protocol of the connections that this side makes."""

    noisy = False

    def __init__(self, trunk: Trunk) -> None:
        self._trunk = trunk

    def buildProtocol(self, addr: IAddress | None) -> MuxConnection:
        trunk = self._trunk
        return MuxConnection(True, None, trunk.clock, trunk.options, trunk.lost)


class Trunk:
    """The connections to one other side, for all who want a stream to it.

    They are made when somebody wants one, up to ``connections`` of them, and the one with the fewest streams
    is used: of those that have answered, for one that was accepted may yet be refused.  When none
    can be made, who waits hears why; the next one to ask has it tried again.

    :param endpoint: makes them.
    :param connections: how many there are at most.
    :param max_streams: streams on each of them, at most.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: Any,
        connections: int = 1,
        max_streams: int = MAX_STREAMS,
        options: MuxOptions = OF_TRUNKS,
    ) -> None:
        self.endpoint = endpoint
        self.clock = clock
        self.options = options
        self.connections = Carriers(clock)
        self._most = connections
        self._max_streams = max_streams
        self._not_before = 0.0  # when one more is worth a try, while there are others
        self._dialing: list[Deferred[Any]] = []
        self._waiting: dict[Deferred[Any], IProtocolFactory] = {}

    def __repr__(self) -> str:
        return (
            f"<Trunk connections={len(self.connections)} dialing={len(self._dialing)}"
            f" waiting={len(self._waiting)}>"
        )

    def set_up(self, endpoint: IStreamClientEndpoint, high_water: int) -> None:
        """From now on have connections made by ``endpoint``, and streams on them with that mark."""
        self.endpoint = endpoint
        self.options = evolve(self.options, high_water=high_water)

    def open(self, factory: IProtocolFactory) -> Deferred[Any]:
        """A stream.

        :return: fires with its protocol; fails as the connecting failed, or with ``Closed`` when all
            connections carry as many as they may.
        """
        usable = [each for each in self.connections if self._has_room(each)]
        best = min(usable, key=lambda each: (not each.answered, len(each.mux.streams)), default=None)
        answer: Deferred[Any] = Deferred(self._cancel)
        if best is not None:
            if best.mux.streams and self.clock.seconds() >= self._not_before:
                self._dial()  # for those to come
            self._open_on(best, answer, factory)
        else:
            self._waiting[answer] = factory
            if not self._dial() and not self._dialing:
                del self._waiting[answer]
                answer.errback(self._full())
        return answer

    def lost(self, connection: MuxConnection, _reason: Failure) -> None:
        """A connection was lost."""
        self.connections.lost(connection)
        if not connection.answered:
            self._not_before = self.clock.seconds() + RETRY

    def close(self) -> Deferred[None]:
        """Close all connections behind what is queued on them, and make none for those who wait.  Fires when
        none is left.  Who asks for a stream behind that has one made again.
        """
        for dialing in tuple(self._dialing):
            dialing.cancel()
        return self.connections.end()

    def _has_room(self, connection: MuxConnection) -> bool:
        return connection.mux.can_open and len(connection.mux.streams) < self._max_streams

    def _dial(self) -> bool:
        """Make one more connection, if there may be one; tells whether it was begun."""
        open_ones = sum(each.mux.can_open for each in self.connections)
        if open_ones + len(self._dialing) >= self._most:
            return False
        dialing = self.endpoint.connect(_Ends(self))
        self._dialing.append(dialing)
        dialing.addCallbacks(self._connected, self._failed, callbackArgs=(dialing,), errbackArgs=(dialing,))
        return True

    def _connected(self, connection: MuxConnection, dialing: Deferred[Any]) -> None:
        self._dialing.remove(dialing)
        self.connections.add(connection)
        self._serve(None)

    def _failed(self, failure: Failure, dialing: Deferred[Any]) -> None:
        self._dialing.remove(dialing)
        self._not_before = self.clock.seconds() + RETRY
        self._serve(failure)

    def _serve(self, failure: Failure | None) -> None:
        """Those who wait have their turn, as far as there is room; or hear why nobody else will come."""
        for answer, factory in tuple(self._waiting.items()):
            connection = next(filter(self._has_room, self.connections), None)
            if connection is not None:
                del self._waiting[answer]
                self._open_on(connection, answer, factory)
            elif not self._dialing:
                del self._waiting[answer]
                answer.errback(failure or self._full())

    def _full(self) -> Failure:
        return Failure(Closed(f"{len(self.connections)} connections carry all that they may"))

    def _open_on(self, connection: MuxConnection, answer: Deferred[Any], factory: IProtocolFactory) -> None:
        try:
            protocol = connection.open(factory)
        except Exception:
            answer.errback(Failure())
        else:
            answer.callback(Failure(NoProtocol()) if protocol is None else protocol)

    def _cancel(self, answer: Deferred[Any]) -> None:
        self._waiting.pop(answer, None)


@implementer(IStreamClientEndpoint)
@frozen
class MuxClientEndpoint:
    """Opens a stream of a trunk."""

    trunk: Trunk
    carrier: str = ""
    """The endpoint string of what carries it."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the stream's protocol, connected."""
        protocolFactory.doStart()
        return self.trunk.open(protocolFactory)


def parse(reactor: Any, *places: str, **names: str) -> MuxServerEndpoint:
    """What ``mux:`` and these arguments describe, to listen on."""
    return MuxServerEndpoint(serverFromString(reactor, _text(places, names)), reactor)


def parse_client(
    reactor: Any, *places: str, connections: str = "1", maxStreams: str = str(MAX_STREAMS), **names: str
) -> MuxClientEndpoint:
    """What ``mux:`` and these arguments describe, to connect to."""
    text = _text(places, names)
    key = f"mux:{text}"
    for name, given, usual in (
        ("connections", connections, "1"),
        ("maxStreams", maxStreams, str(MAX_STREAMS)),
    ):
        if given != usual:
            key += f":{name}={given}"
    trunks = trunks_of(reactor)
    if key not in trunks:
        trunks[key] = Trunk(
            clientFromString(reactor, text),
            reactor,
            _positive("connections", connections),
            _positive("maxStreams", maxStreams),
        )
    return MuxClientEndpoint(trunks[key], text)


def _positive(name: str, text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{name}: expected a number from 1 on, got {text!r}")
    return int(text)


def _text(places: tuple[str, ...], names: dict[str, str]) -> str:
    """The endpoint string behind ``mux:``, as it was written."""
    if not any(places):
        raise ValueError("expected mux:tcp:…, or another endpoint behind mux:")
    return ":".join(
        [
            *map(quoteStringArgument, places),
            *(f"{name}={quoteStringArgument(text)}" for name, text in names.items()),
        ]
    )
