"""What cleans a connection for its next taker, for servers whose protocol has a word for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone

from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import ITransport
    from twisted.python.failure import Failure

    from tcpsuite.interfaces import ILease


class _Dialogue(Protocol):
    """Says one thing, and expects one answer and not a byte more."""

    transport: ITransport

    def __init__(self, question: bytes, answer: bytes) -> None:
        self._question = question
        self._answer = answer
        self._got = b""
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self._question)

    def dataReceived(self, data: bytes) -> None:
        self._got += data
        if self.done.called:
            return
        if self._got == self._answer:
            self.done.callback(None)
        elif not self._answer.startswith(self._got):
            self.done.errback(ProtocolError("reset", f"expected {self._answer!r}, got {self._got[:64]!r}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.errback(reason)


def reset_redis(lease: ILease) -> Deferred[None]:
    """Have a Redis server, 6.2 or newer, forget who was connected: transaction, subscriptions, watched keys,
    database, user, name.

    With a password set, the next taker has to log in again.
    """
    dialogue = _Dialogue(b"*1\r\n$5\r\nRESET\r\n", b"+RESET\r\n")
    lease.attach(dialogue)
    return dialogue.done


RESETS: Mapping[str, Callable[[ILease], Deferred[None]]] = {"redis": reset_redis}
"""The built-in ones, by the word in the file."""
