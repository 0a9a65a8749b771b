"""The client's half of attached connections: a program's connection outlives what carries it to the suite.

The suite's half is ``ATTACH`` of the session service; ``docs/attach.md`` tells what both promise.
"""

from __future__ import annotations

import random
from socket import socketpair
from typing import TYPE_CHECKING, Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from tcpsuite.core.attaching.dialogue import Dialogue, Introduction
from tcpsuite.net.attaching.attached import Attached
from tcpsuite.net.attaching.program import Carried
from tcpsuite.net.attaching.succession import Succession
from tcpsuite.net.transport import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
    from twisted.python.failure import Failure

    from tcpsuite.core.attaching.dialogue import Login
    from tcpsuite.core.attaching.events import Event

PATIENCE = 120.0
"""Seconds that a connection waits for a carrier: as long as the suite keeps its half by default."""
GRACE = 5.0
"""Seconds in which the suite may be told that all is over."""


@implementer(IStreamClientEndpoint)
class AttachClient(Factory):
    """Attaches each connection that it is given to a session's own connection to a server.

    It is a factory to listen with: a program that connects then speaks with that server.  And it is an
    endpoint, by which a program in this process connects.

    :param reactor: an ``IReactorTime``; for :meth:`connect`, an ``IReactorFDSet`` too.
    :param endpoint: leads to a session service.
    :param login: who one is there; ``None`` to stay anonymous.
    :param session: the id of the session to use.  It has one connection at a time: a second one is reset,
        unless the first is about to end.  Empty to open a session for each one, and to close it afterwards.
    :param patience: seconds that a connection may be without a carrier before it is reset.
    :param observer: called with each of :mod:`tcpsuite.core.attaching.events`.
    :param chance: gives numbers from 0 to 1, for the pauses between tries.
    :raises OptionError: when no session can have that id.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        *,
        login: Login | None = None,
        session: str = "",
        patience: float = PATIENCE,
        observer: Callable[[Event], object] = lambda _: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._introduction = Introduction(login)
        Dialogue(self._introduction, session)
        self.clock = reactor
        self.endpoint = endpoint
        self.patience = patience
        self.observer = observer
        self.chance = chance
        self.carried: set[Carried] = set()
        self._session = session
        self._succession = Succession(reactor) if session else None
        self._number = 0

    def __repr__(self) -> str:
        kind = "of one session" if self._session else "of a session each"
        return f"<AttachClient {len(self.carried)} connections {kind}>"

    def buildProtocol(self, addr: IAddress | None) -> Attached:
        """For one connection of a program."""
        return self._new().program

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Attach a protocol of this process.

        :return: fires with it when it is attached; fails with :class:`~tcpsuite.errors.RemoteError` when it
            cannot be, or all is stopped before.  To the protocol a reset looks like an end, as ever on UNIX
            sockets: events tell of it.
        """
        near, far = socketpair()
        for each in (near, far):
            each.setblocking(False)
        carried = self._new()

        def cancel(_: object) -> None:
            carried.begun = None
            carried.cut()

        def build(_: object) -> IProtocol:
            protocol = protocolFactory.buildProtocol(UNIXAddress(""))
            if protocol is None:
                raise NoProtocol
            return protocol

        def give(protocol: IProtocol) -> IProtocol:
            adopt(self.clock, near, protocol, "")
            return protocol

        def close(failure: Failure) -> Failure:
            near.close()
            return failure

        begun = carried.begun = Deferred(cancel)
        connected: Deferred[Any] = begun.addCallback(build).addCallbacks(give, close)
        adopt(self.clock, far, carried.program, "")
        return connected

    def _new(self) -> Carried:
        self._number += 1
        return Carried(self, self._number, Dialogue(self._introduction, self._session), self._succession)

    def stop(self) -> Deferred[Any]:
        """Reset all connections, tell the suite, and close the sessions that were opened.

        :return: fires when that is done, at the latest after :data:`GRACE`: sessions that are left expire.
        """
        leaving = tuple(self.carried)
        for each in leaving:
            each.stop()
        return DeferredList([each.ended for each in leaving]).addTimeout(GRACE, self.clock)

    def cut(self) -> None:
        """Reset all connections, and tell nobody."""
        for each in tuple(self.carried):
            each.cut()
