"""Sends blocks of bytes as fast as their consumer takes them, and no faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Generator

    from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime


@implementer(IPushProducer)
class Sending:
    """A producer of what a generator yields.

    One block is asked for at a time, when the consumer has room, and one in each turn of the reactor, so that
    a fast consumer does not keep others waiting.  The generator is closed when there is nothing more to do,
    whatever happened.

    :param blocks: yields the blocks; an empty one gives others their turn, and a Deferred in place of one is
        waited for, and cancelled when it is not needed any more.  What the generator raises fails the
        sending, and so does a Deferred that fails.
    """

    def __init__(self, blocks: Generator[bytes | Deferred[None], None, None], reactor: IReactorTime) -> None:
        self._blocks = blocks
        self._reactor = reactor
        self._consumer: IConsumer
        self._done: Deferred[None] = Deferred(self._cancelled)
        self._paused = False
        self._next: IDelayedCall | None = None
        self._waiting: Deferred[None] | None = None

    def send_to(self, consumer: IConsumer) -> Deferred[None]:
        """Begin.

        :return: fires when the consumer has been given everything and this is no longer its producer.  Fails
            as the blocks do, or with ``CancelledError`` when the consumer is gone, as if by ``cancel``.
        """
        self._consumer = consumer
        consumer.registerProducer(self, True)
        self._step()
        return self._done

    def pauseProducing(self) -> None:
        """There is no room."""
        self._paused = True
        self._rest()

    def resumeProducing(self) -> None:
        """There is room again."""
        self._paused = False
        if self._next is None and self._waiting is None:
            self._step()

    def stopProducing(self) -> None:
        """The consumer is gone."""
        self._end()
        if not self._done.called:
            self._done.errback(CancelledError())

    def _step(self) -> None:
        self._next = None
        if self._done.called or self._paused:
            return
        try:
            block = next(self._blocks, None)
        except Exception:
            self._finish(Failure())
            return
        if block is None:
            self._finish(None)
        elif isinstance(block, Deferred):
            self._waiting = block
            block.addCallbacks(self._waited, self._waited)
        else:
            self._consumer.write(block)
            if not self._paused and not self._done.called:
                self._next = self._reactor.callLater(0, self._step)

    def _waited(self, result: Failure | None) -> None:
        self._waiting = None
        if self._done.called:
            return
        if isinstance(result, Failure):
            self._finish(result)
        else:
            self._step()

    def _finish(self, result: Failure | None) -> None:
        self._end()
        self._consumer.unregisterProducer()
        self._done.callback(result)

    def _cancelled(self, done: Deferred[None]) -> None:
        self._end()
        self._consumer.unregisterProducer()
        done.errback(CancelledError())

    def _end(self) -> None:
        self._rest()
        self._blocks.close()
        if self._waiting is not None:
            self._waiting.cancel()

    def _rest(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
