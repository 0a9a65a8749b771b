"""Carries out what :mod:`tcpsuite.core.queueing` decides: who waits for a server is called, or sent away."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail

from tcpsuite.core.queueing import Queue
from tcpsuite.net.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.core.queueing import Waiting, WhyHeld

Who = TypeVar("Who")


class WaitingRoom(Generic[Who]):
    """Where clients wait, each with a Deferred that fires when it is its turn.

    :param clock: an ``IReactorTime``.
    :param ready: whether there is a server for one of those who wait.
    :param late: the error for one whose time is over.
    :param queue: says whose turn it is.
    :param some: whether there is a server for anybody; asked first, for many may wait.
    """

    def __init__(
        self,
        clock: Any,
        ready: Callable[[Who, Waiting], bool],
        late: Callable[[Waiting], Exception],
        queue: Queue | None = None,
        some: Callable[[], bool] = lambda: True,
    ) -> None:
        self.queue = Queue() if queue is None else queue
        self._clock = clock
        self._ready = ready
        self._late = late
        self._some = some
        self._numbers = count(1)
        self._held: dict[int, tuple[Who, Deferred[None]]] = {}
        self._alarm = Alarm(clock, self._look)
        self._serving = False
        self._looked_at = 0.0  # when it was asked last whose turn it is

    def __repr__(self) -> str:
        return f"<WaitingRoom {self.queue!r}>"

    @property
    def goes_first(self) -> bool:
        """Whether those who wait go before who comes now, even if there is a server for it: they are held
        back, or are being called at this moment.
        """
        return self.queue.held_back or (self._serving and bool(self._held))

    def hold(
        self, who: Who, why: WhyHeld, limit: float, full: Exception, again: float | None = None
    ) -> Deferred[None]:
        """``who`` waits, for ``limit`` seconds at most; without any it is late at once.

        :param full: the error when too many wait already.
        :param again: when servers that have failed it may be tried again.
        :return: fires when there is a server for it, whose place it must take in that very callback.
        """
        number, now = next(self._numbers), self._clock.seconds()
        if limit <= 0:
            return fail(self._late(self.queue.turn_away(number, why, now)))
        if not self.queue.enter(number, why, now, limit, again):
            return fail(full)
        turn: Deferred[None] = Deferred(lambda _: self._leave(number))
        self._held[number] = who, turn
        self._set_alarm()
        return turn

    def serve(self) -> None:
        """There may be servers now: call those whose turn it is."""
        # Who is called takes a place, or gives one back; that ends up here again.
        if self._serving or not self._held:
            return
        self._serving = True
        try:
            while (number := self._next()) is not None:
                self.queue.served(number, self._clock.seconds())
                _, turn = self._held.pop(number)
                turn.callback(None)
        finally:
            self._serving = False
        self._set_alarm()

    def pause(self) -> None:
        """Call nobody until :meth:`resume`."""
        self.queue.pause()

    def resume(self, rate: float) -> None:
        """Call those who wait, ``rate`` a second; 0: as fast as there are servers."""
        self.queue.resume(rate, self._clock.seconds())
        self.serve()
        self._set_alarm()

    def close(self, error: Callable[[], Exception]) -> None:
        """Send everybody away."""
        for number in tuple(self._held):
            self._send_away(number, error())
        self._set_alarm()

    def _next(self) -> int | None:
        self._looked_at = self._clock.seconds()
        if not self.queue.may_serve(self._looked_at) or not self._some():
            return None
        # Whom the only free server has failed must not keep the others from it.
        ready = (each.taker for each in self.queue if self._ready(self._held[each.taker][0], each))
        return next(ready, None)

    def _leave(self, number: int) -> None:
        del self._held[number]
        self.queue.leave(number, self._clock.seconds())
        self._set_alarm()

    def _send_away(self, number: int, error: Exception) -> None:
        # Whoever was sent away before it may have taken it along.
        _, turn = self._held.pop(number, (None, None))
        if turn is not None:
            self.queue.leave(number, self._clock.seconds())
            turn.errback(error)

    def _set_alarm(self) -> None:
        if self._held:
            # As it was then: a turn that has come since has not been seen, and nobody else would look.
            self._alarm.set(self.queue.due(self._looked_at))
        else:
            self._alarm.stop()

    def _look(self) -> None:
        for waiting in self.queue.expire(self._clock.seconds()):
            self._send_away(waiting.taker, self._late(waiting))
        self.serve()
        self._set_alarm()
