"""What all checks have in common: they end in time, and with an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from tcpsuite.interfaces import Outcome
from tcpsuite.net.endpoints import failure_text, timed_out
from tcpsuite.net.shortage import is_shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
    from twisted.internet.protocol import Protocol

    from tcpsuite.core.servers import Server


def ask(reactor: Any, timeout: float, begin: Callable[[], Deferred[float | None]]) -> Deferred[Outcome]:
    """Ask a server once.

    :param timeout: seconds until the asking is cancelled.
    :param begin: asks, and fires with the seconds that the answer took (``None``: all that have passed), or
        fails with why the server is not well.  What it does not do in time is cancelled; it may still fire
        then, when the answer had come and only the end of the connection was missing.
    :return: fires with the outcome, whatever happened.
    """
    begun = reactor.seconds()

    def late(result: Any, seconds: float) -> Any:
        if isinstance(result, Failure):
            timed_out(result, seconds)
        return result

    def good(seconds: float | None) -> Outcome:
        return Outcome(True, seconds=reactor.seconds() - begun if seconds is None else seconds)

    def bad(failure: Failure) -> Outcome:
        seconds = reactor.seconds() - begun
        return Outcome(False, failure_text(failure), seconds, local=is_shortage(failure))

    asking = maybeDeferred(begin)
    asking.addTimeout(timeout, reactor, onTimeoutCancel=late)
    return asking.addCallbacks(good, bad)


def visit(endpoint: IStreamClientEndpoint, visitor: Protocol) -> Deferred[Any]:
    """Connect ``visitor``; fires then.  Unlike Twisted's ``connectProtocol`` it logs nothing."""
    return endpoint.connect(_Once(visitor))


class Endpoints:
    """How each server is connected to: made when it is first asked, and kept while there is such a server.

    So the certificates that an address names are read once, as they are for clients: a file that changes
    meanwhile must not have the checks say what clients do not find.

    :param make: makes the endpoint of a server.
    """

    def __init__(self, make: Callable[[Server], IStreamClientEndpoint]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Server, IStreamClientEndpoint] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<Endpoints of {len(self._made)} servers>"

    def to(self, server: Server) -> IStreamClientEndpoint:
        """The endpoint of ``server``."""
        endpoint = self._made.get(server)
        if endpoint is None:
            endpoint = self._made[server] = self._make(server)
        return endpoint


class _Once(Factory):
    """Makes one connection, which is no news."""

    noisy = False

    def __init__(self, visitor: Protocol) -> None:
        self._visitor = visitor

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._visitor
