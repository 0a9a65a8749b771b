"""What all checks have in common: they end in time, and with an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from tcpsuite.core.scripts import Unwell
from tcpsuite.interfaces import Outcome
from tcpsuite.net.endpoints import failure_text, timed_out
from tcpsuite.net.shortage import is_shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
    from twisted.internet.protocol import Protocol


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
        return Outcome(False, _text(failure), seconds, local=is_shortage(failure))

    asking = maybeDeferred(begin)
    asking.addTimeout(timeout, reactor, onTimeoutCancel=late)
    return asking.addCallbacks(good, bad)


def visit(endpoint: IStreamClientEndpoint, visitor: Protocol) -> Deferred[Any]:
    """Connect ``visitor``; fires then.  Unlike Twisted's ``connectProtocol`` it logs nothing."""
    return endpoint.connect(_Once(visitor))


class _Once(Factory):
    """Makes one connection, which is no news."""

    noisy = False

    def __init__(self, visitor: Protocol) -> None:
        self._visitor = visitor

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._visitor


def lost_before(what: str, reason: Failure) -> Failure:
    """Why a server is not well whose connection ended before ``what``: in words of our own for an end that
    says no more.
    """
    if reason.check(ConnectionDone):
        return Failure(Unwell(f"it closed the connection before {what}"))
    if reason.check(ConnectionLost):
        return Failure(Unwell(f"the connection was lost before {what}"))
    return reason


def _text(failure: Failure) -> str:
    match getattr(failure.value, "args", ()):
        case ([*_, (_, _, str(words))],):  # OpenSSL's, of which only the last words are for people
            return f"TLS: {words}"
    if type(failure.value).__module__.startswith("service_identity."):  # which would tell it in Python
        return "TLS: the certificate has another name"
    return failure_text(failure)
