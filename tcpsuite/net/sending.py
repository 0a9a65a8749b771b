"""Sends what comes in steps as fast as its consumer takes it, and no faster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Generator

    from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime


T = TypeVar("T")


class Stepwise(ABC, Generic[T]):
    """What every producer here is: one that works in steps, until all is done or somebody wants no more.

    Whoever derives from it says when there is time for the next step, and what to do with its outcome.

    :param steps: yields the outcome of each step, or a Deferred, that is waited for, and cancelled when it is
        not needed any more.  What it raises fails the whole, and so does a Deferred that fails.  It is closed
        when there is nothing more to do, whatever happened.
    """

    def __init__(self, steps: Generator[T | Deferred[None], None, None]) -> None:
        self._steps = steps
        self._consumer: Any
        self._done: Deferred[None] = Deferred(self._cancelled)
        self._waiting: Deferred[None] | None = None

    def stopProducing(self) -> None:
        """The consumer is gone."""
        self._end()
        if not self._done.called:
            self._done.errback(CancelledError())

    @abstractmethod
    def _did(self, outcome: T) -> None:
        """A step is done."""

    def _step(self) -> None:
        if self._done.called:
            return
        try:
            outcome = next(self._steps)
        except StopIteration:
            self._finish(None)
        except Exception:
            self._finish(Failure())
        else:
            if isinstance(outcome, Deferred):
                self._waiting = outcome
                outcome.addBoth(self._waited)
            else:
                self._did(outcome)

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
        # Called back with a failure, a Deferred fails with it, as it does by errback.
        self._done.callback(result)

    def _cancelled(self, done: Deferred[None]) -> None:
        self._end()
        self._consumer.unregisterProducer()
        done.errback(CancelledError())

    def _end(self) -> None:
        self._steps.close()
        if self._waiting is not None:
            self._waiting.cancel()


@implementer(IPushProducer)
class Sending(Stepwise[bytes]):
    """A producer of what a generator yields.

    One block is asked for at a time, when the consumer has room, and one in each turn of the reactor, so that
    a fast consumer does not keep others waiting.

    :param blocks: yields the blocks; an empty one gives others their turn, and a Deferred in place of one is
        waited for.
    """

    def __init__(self, blocks: Generator[bytes | Deferred[None], None, None], reactor: IReactorTime) -> None:
        super().__init__(blocks)
        self._reactor = reactor
        self._paused = False
        self._next: IDelayedCall | None = None

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

    def _step(self) -> None:
        self._next = None
        if not self._paused:
            super()._step()

    def _did(self, outcome: bytes) -> None:
        self._consumer.write(outcome)
        if not self._paused and not self._done.called:
            self._next = self._reactor.callLater(0, self._step)

    def _end(self) -> None:
        self._rest()
        super()._end()

    def _rest(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
