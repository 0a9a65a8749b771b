"""The same scene on several reactors: connections of a protocol under test with peers that are plain sockets.

Nothing runs on its own: a :class:`Stage` turns its reactor by hand, and has the peers read and send between
two turns.  So a scene is played in the same order each time, and what it tells can be compared.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet import tcp
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Cooperator
from zope.interface import implementer

from tcpsuite.net.reactor import TcpsuiteReactor
from tcpsuite.net.transport import TCPStream, count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.python.failure import Failure

PATIENCE = 20.0
"""Seconds until a scene that goes on no more has failed the test."""

QUIET = 0.01
"""Seconds in which nothing has come through the kernel when all is at rest."""

TURNS = 3
"""Turns that an event takes which nobody waits for: a writer's that was asked for meanwhile, say."""

FIN, RESET = "FIN", "reset"


class Actor(Protocol):
    """A protocol that tells what it is called, and does then what the scene says.

    :param stage: is told.
    :param name: how it is called there.
    :param deeds: for the name of a method, what is done when it is called, with this and its arguments.
    """

    transport: Any

    def __init__(self, stage: Stage, name: str = "", **deeds: Callable[..., Any]) -> None:
        self.stage = stage
        self.name = name
        self.deeds = deeds
        stage.actors.append(self)

    def does(self, event: str, *args: Any) -> None:
        """Tell, and do."""
        if (deed := self.deeds.get(event)) is not None:
            deed(self, *args)

    def connectionMade(self) -> None:
        """It begins."""
        self.stage.tell(self.name, "made")
        self.does("connectionMade")

    def dataReceived(self, data: bytes) -> None:
        """Tell how much has come so far, for where it is cut is nobody's promise."""
        self.stage.heard(self.name, data)
        self.does("dataReceived", data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.stage.tell(self.name, "lost", type(reason.value).__name__)
        self.does("connectionLost", reason)


@implementer(IHalfCloseableProtocol)
class HalfActor(Actor):
    """One that goes on with one half of a connection."""

    def readConnectionLost(self) -> None:
        """The peer's FIN has come."""
        self.stage.tell(self.name, "read half lost")
        self.does("readConnectionLost")

    def writeConnectionLost(self) -> None:
        """Our FIN has gone."""
        self.stage.tell(self.name, "write half lost")
        self.does("writeConnectionLost")


@implementer(IPushProducer, IPullProducer)
class Source:
    """A producer of either kind that tells what it is called.

    :param deeds: as an actor's, but called with this alone.
    """

    def __init__(self, stage: Stage, actor: Actor, **deeds: Callable[[Source], Any]) -> None:
        self.stage = stage
        self.actor = actor
        self.deeds = deeds
        self.asked = 0

    def _does(self, event: str) -> None:
        self.stage.tell(self.actor.name, event)
        if (deed := self.deeds.get(event)) is not None:
            deed(self)

    def resumeProducing(self) -> None:
        """More is wanted."""
        self.asked += 1
        self._does("resumeProducing")

    def pauseProducing(self) -> None:
        """No more is wanted for now."""
        self._does("pauseProducing")

    def stopProducing(self) -> None:
        """No more is wanted ever."""
        self._does("stopProducing")


class Peer:
    """The other end of a connection.

    :ivar reading: whether it reads what comes.
    :ivar received: all that came so far.
    :ivar end: how the connection ended for it, if it has.
    """

    def __init__(self, plain: socket.socket) -> None:
        plain.setblocking(False)
        self.socket = plain
        self.reading = True
        self.received = bytearray()
        self.end: str | None = None
        self._outgoing: deque[memoryview] = deque()

    def send(self, data: bytes) -> None:
        """Send as much as there is room for now, and the rest from turn to turn."""
        self._outgoing.append(memoryview(data))
        self._send()

    def act(self) -> None:
        """Its part of a turn."""
        self._send()
        while self.reading and self.end is None:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            except (ConnectionResetError, BrokenPipeError):
                self.end = RESET
            else:
                self.received += data
                if not data:
                    self.end = FIN

    def finish(self) -> None:
        """Send a FIN."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Read and send no more."""
        self.reading = False
        self._outgoing.clear()
        self.socket.close()

    def _send(self) -> None:
        with suppress(BlockingIOError, ConnectionResetError, BrokenPipeError):
            while self._outgoing:
                sent = self.socket.send(self._outgoing[0])
                if rest := self._outgoing.popleft()[sent:]:
                    self._outgoing.appendleft(rest)


class Stage:
    """A reactor that is turned by hand, and who plays on it.

    :ivar reactor: a private one.
    :ivar told: all that was told, in order.
    :ivar actors: all the protocols.
    """

    def __init__(self, kind: type[EPollReactor], write_through: bool) -> None:
        self.reactor: Any = kind()
        self.told: list[tuple[Any, ...]] = []
        self.actors: list[Actor] = []
        self._write_through = write_through
        self._peers: list[Peer] = []
        self._ports: list[Any] = []

    # What is told

    def tell(self, *what: Any) -> None:
        """Keep it, in its place."""
        self.told.append(what)

    def heard(self, name: str, data: bytes) -> None:
        """Keep what came, as one with what came right before."""
        if self.told and self.told[-1][:2] == (name, "heard"):
            data = self.told.pop()[2] + data
        self.told.append((name, "heard", data))

    # Who plays

    def listen(self, build: Callable[[], Protocol | None], unix: str = "", **options: Any) -> Any:
        """A port on which ``build`` makes a protocol of each connection."""
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: build()  # type: ignore[method-assign,assignment]
        if unix:
            port = self.reactor.listenUNIX(unix, factory, **options)
        else:
            port = self.reactor.listenTCP(0, factory, interface="127.0.0.1", **options)
        if self._write_through:
            count(port)
        self._ports.append(port)
        return port

    def connect(self, port: Any) -> Peer:
        """A peer that has connected to ``port``, which has not accepted it yet."""
        listening = port.socket
        plain = socket.socket(listening.family)
        plain.connect(listening.getsockname())
        peer = Peer(plain)
        self._peers.append(peer)
        return peer

    def meet(self, actor: Actor, unix: str = "") -> Peer:
        """A peer that is connected with ``actor``, which was told."""
        peer = self.connect(self.listen(lambda: actor, unix))
        self.until(lambda: actor.transport is not None)
        return peer

    def pair(self, actor: Actor) -> Peer:
        """A peer whose kernel delivers at once what is sent, either way, as TCP's might not."""
        near, far = socket.socketpair()
        for end in (near, far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        peer = Peer(far)
        self._peers.append(peer)
        ours = self._write_through or isinstance(self.reactor, TcpsuiteReactor)
        made: Any = TCPStream if ours else tcp.Server
        actor.makeConnection(made(near, actor, ("127.0.0.1", 1), None, 0, self.reactor))
        return peer

    # What goes on

    def turn(self) -> None:
        """One turn of the reactor, and of everyone else after it."""
        self.reactor.iterate()
        for peer in self._peers:
            peer.act()

    def rest(self, quiet: float = QUIET) -> None:
        """Turn until nothing is left to be done.

        :param quiet: seconds in which nothing comes then; 0 where the kernel delivers at once.
        """
        deadline = time.monotonic() + PATIENCE
        calm = 0
        while calm < TURNS:
            assert time.monotonic() < deadline, f"no rest behind {str(self.told)[-1000:]}"
            calm = calm + 1 if self.reactor.timeout() != 0 and not self._ready(0 if calm else quiet) else 0
            self.turn()

    def _ready(self, quiet: float) -> bool:
        poll = select.poll()
        poll.register(self.reactor._poller, select.POLLIN)
        for peer in self._peers:
            if peer.reading and peer.end is None:
                poll.register(peer.socket, select.POLLIN)
        return bool(poll.poll(quiet * 1000))

    def until(self, reached: Callable[[], Any]) -> None:
        """Turn until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, f"nothing more came than {str(self.told)[-1000:]}"
            self.turn()

    def close(self) -> None:
        """Leave nothing behind.  What is told from now on is not part of the scene."""
        self.told = []
        for peer in self._peers:
            peer.close()
        for port in self._ports:
            port.stopListening()
        for actor in self.actors:
            if actor.transport is not None:
                actor.transport.abortConnection()
        self.rest(0)
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        for internal in list(self.reactor._internalReaders):
            self.reactor.removeReader(internal)
            internal.connectionLost(None)
        self.reactor._poller.close()


STOCK = "stock"
KINDS: dict[str, tuple[type[EPollReactor], bool]] = {
    STOCK: (EPollReactor, False),
    "stock, writing through": (EPollReactor, True),
    "tcpsuite": (TcpsuiteReactor, False),
}
"""Each kind of reactor, and whether its ports are told to write through."""


@contextmanager
def stage(kind: str) -> Iterator[Stage]:
    """A stage with a reactor of this kind; behind the context nothing of it is left."""
    reactor, write_through = KINDS[kind]
    made = Stage(reactor, write_through)
    later = Cooperator(scheduler=lambda call: made.reactor.callLater(0, call))
    # What TLS does later, it does where the connection is.
    with (
        patch("twisted.protocols.tls._get_default_clock", lambda: made.reactor),
        patch("twisted.internet._producer_helpers.cooperate", later.cooperate),
    ):
        try:
            yield made
        finally:
            made.close()
