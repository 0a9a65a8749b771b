"""Asking a connection that nobody has whether it works, or to forget who had it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.error import ConnectionClosed
from twisted.logger import Logger

from tcpsuite.errors import TcpsuiteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from tcpsuite.interfaces import ILease

    Hook = Callable[[ILease], Any]

log = Logger()


def ask(hook: Hook, lease: ILease, timeout: float, reactor: Any) -> Deferred[bool]:
    """Call ``hook`` with the lease, and wait for its Deferred or coroutine.

    :param timeout: seconds until its silence is an answer.
    :param reactor: an ``IReactorTime``.
    :return: fires with whether it succeeded; never fails, also when it is cancelled.
    """
    asked: Deferred[Any] = maybeDeferred(hook, lease)
    asked.addTimeout(timeout, reactor)
    return asked.addCallbacks(lambda _: True, _failed, errbackArgs=(lease,))


def _failed(failure: Failure, lease: ILease) -> bool:
    # What no server can bring about is a fault of the hook, and would look like a server's for ever.
    if not failure.check(TcpsuiteError, ConnectionClosed, CancelledError, TimedOut):
        log.failure(
            "what validates or resets connections to {server} is broken", failure, server=lease.server
        )
    return False
