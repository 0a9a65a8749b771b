"""One question on a connection, and the one answer that is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone

from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
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
            self.done.errback(ProtocolError("answer", f"expected {self._answer!r}, got {self._got[:64]!r}"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.errback(reason)


def ask(lease: ILease, question: bytes, answer: bytes) -> Deferred[None]:
    """Say one thing on a connection that is lent to a hook, and expect one answer: a hook of one line.

    :param question: what is said at once; empty when the server speaks first.
    :param answer: what has to come, byte by byte, and nothing else.
    :return: fires when it has come.  Fails with :class:`~tcpsuite.errors.ProtocolError` as soon as something
        else has, and when the connection is lost before, as it was lost.
    """
    dialogue = _Dialogue(question, answer)
    lease.attach(dialogue)
    return dialogue.done
