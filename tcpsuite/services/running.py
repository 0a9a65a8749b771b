"""A method of the message service that takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from tcpsuite.core.messages.wire import refusal, reply_head

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tcpsuite.core.messages.repeats import Repeatable
    from tcpsuite.net.deadlines import Deadline
    from tcpsuite.services.calling import Caller
    from tcpsuite.services.message import MessageFactory
    from tcpsuite.services.methods import Method


class Running:
    """A method that takes its time.

    :ivar caller: who is to have the answer; ``None`` when that one is gone.
    :ivar key: by which its caller knows it: the number of a request; below 0 for a note.
    :ivar number: that its answer has; 0 for a note, whose answer nobody is told.
    :ivar kept: what a repeat finds, of a request that may be repeated.
    """

    __slots__ = ("_deadline", "_deferred", "_over", "caller", "kept", "key", "method", "number")

    def __init__(self, caller: Caller, key: int, method: Method, kept: Repeatable | None) -> None:
        self.caller: Caller | None = caller
        self.key = key
        self.number = max(key, 0)
        self.method = method
        self.kept = kept
        self._deadline: Deadline | None = None
        self._deferred: Deferred[Any] | None = None
        self._over = False

    def start(self, result: Deferred[Any], service: MessageFactory, seconds: float) -> None:
        """Wait for what it returned."""
        self._deferred = result
        self.limit(service, seconds)
        result.addCallbacks(self._done, self._failed, callbackArgs=(service,), errbackArgs=(service,))

    def limit(self, service: MessageFactory, seconds: float) -> None:
        """It has so many seconds from now on; 0 for any number."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds and not self._over:
            self._deadline = service.deadlines.after(seconds, lambda: self._late(service))

    def stop(self, service: MessageFactory) -> None:
        """Nobody waits for it any more."""
        self._over = True
        self.limit(service, 0)
        if self.kept is not None:
            service.repeats.forget(self.kept)
        assert self._deferred is not None
        self._deferred.cancel()

    def _late(self, service: MessageFactory) -> None:
        self._deadline = None
        self._end(service, refusal(self.number, "late", "its time was over"), failed=True)
        assert self._deferred is not None
        self._deferred.cancel()

    def _done(self, result: Any, service: MessageFactory) -> None:
        if not self._over:
            try:
                answer = reply(self.number, result)
            except TypeError:
                self._failed(Failure(), service)
            else:
                self._end(service, answer)

    def _failed(self, failure: Failure, service: MessageFactory) -> None:
        if not self._over:
            self._end(service, service.refusal_of(self.number, failure), failed=True)

    def _end(self, service: MessageFactory, answer: bytes, failed: bool = False) -> None:
        self._over = True
        self.method.failed += failed
        self.limit(service, 0)
        if self.kept is not None:
            service.repeats.answered(self.kept, answer, service.deadlines.seconds())
        if self.caller is not None:
            self.caller.ran(self, answer)


def reply(number: int, result: Any) -> bytes:
    """The answer with what a method returned.

    :raises TypeError: when that is no bytes.
    """
    if result is None:
        result = b""
    if not isinstance(result, bytes | bytearray | memoryview):
        raise TypeError(f"expected bytes from a method, got {type(result).__name__}")
    return reply_head(number, len(result)) + bytes(result)
