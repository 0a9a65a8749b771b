"""Every exception of tcpsuite, and whose fault each one is.

::

    TcpsuiteError
    ├── LocalError            our caller asked for what cannot be: raised, never counted
    │   ├── ConfigError       the configuration has faults (all of them, in ``faults``)
    │   ├── StartError        what the configuration asks for cannot be started
    │   ├── OutOfResources    this machine has no descriptor, buffer or memory left
    │   ├── Closed            the pool, upstream or store was closed
    │   │   └── Cut           the pool's connections were cut, and it goes on
    │   ├── ChangeRefused     a change that the running process does not take
    │   ├── LeaseError        a lease used against its rules; a ValueError too
    │   └── MetricError       a metric that its text format cannot say; a ValueError too
    └── RemoteError           a peer's doing: counted and closed, without a traceback
        ├── ConnectFailed     a server refused, was unreachable, or took too long
        ├── NoServer          no server of the upstream may be used now
        ├── PoolExhausted     no connection within the time a waiter may wait, or too many waiters
        ├── LoginFailed       a user or password that is not right, or too many that were not, or at once
        ├── StoreFailed       a store did not answer, or refused
        ├── RequestFailed     a request that was answered with an error, which has a code
        ├── RequestLost       a request that was not answered, and that may have run
        └── ProtocolError     bytes that the protocol does not allow, with a code to answer
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TcpsuiteError(Exception):
    """The root: whatever tcpsuite raises on purpose is one of these."""


class LocalError(TcpsuiteError):
    """Our caller asked for what cannot be."""


class ConfigError(LocalError):
    """A configuration with faults; ``str`` gives them all, a line each."""

    def __init__(self, faults: Sequence[object]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class StartError(LocalError):
    """What the configuration asks for cannot be started: a port in use, a root that does not exist."""


class OutOfResources(LocalError):
    """This process or machine has no descriptor, buffer or memory left for what was asked."""


class Closed(LocalError):
    """The pool, upstream or store was closed before or while this was asked of it."""


class Cut(Closed):
    """All connections of a pool were cut while one was asked for; the pool goes on."""


class ChangeRefused(LocalError):
    """A change that the running process does not take; ``str`` is a sentence that says why."""


class LeaseError(LocalError, ValueError):
    """A lease used against its rules: attached twice or when it was over, or released to another pool."""


class MetricError(LocalError, ValueError):
    """A metric that the text format cannot say: a name it does not allow, a sample twice."""


class RemoteError(TcpsuiteError):
    """A peer's doing: counted and closed, without a traceback."""


class ConnectFailed(RemoteError):
    """A server refused, was unreachable, or took longer than the connect time-out."""


class NoServer(RemoteError):
    """No server of the upstream may be used now: all are down, ejected, drained or without weight."""


class PoolExhausted(RemoteError):
    """No connection within the time that a waiter may wait, or too many waiters already."""


class LoginFailed(RemoteError):
    """A user or password that is not right, or too many failures from one address, or too many at once.

    :ivar code: ``login``; ``limit`` when too many come at once, so that nothing was tried.
    """

    def __init__(self, text: str, code: str = "login") -> None:
        super().__init__(text)
        self.code = code


class StoreFailed(RemoteError):
    """A store did not answer within its time, or refused."""


class RequestFailed(RemoteError):
    """A request was answered with an error.  A method of a service raises it to have that done.

    :ivar code: a word for programs; the text is for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class RequestLost(RemoteError):
    """A request was not answered: the connection was lost, or its time was over.

    :ivar may_have_run: whether it had been sent, so that nobody knows what has become of it.
    """

    def __init__(self, text: str, may_have_run: bool) -> None:
        super().__init__(text)
        self.may_have_run = may_have_run


class ProtocolError(RemoteError):
    """Bytes that the protocol does not allow.

    :ivar code: the word that the answer begins with, for programs; the text is for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
