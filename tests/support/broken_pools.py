"""Pools of somebody's own with one fault each, for the contracts to find."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from tcpsuite.core.queueing import Queue
from tcpsuite.errors import Closed
from tests.support.sample_pool import StackPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.interfaces import ILease
    from tcpsuite.net.held import Held


class Stiff(StackPool):
    """Knows no pace."""

    def resume(self) -> None:  # type: ignore[override]
        super().resume()


class Rushing(StackPool):
    """Keeps to no pace."""

    def resume(self, rate: float = 0.0) -> None:
        super().resume()


class Anonymous(StackPool):
    """Says nothing of its state."""

    __repr__ = object.__repr__


class Silent(StackPool):
    """Says nothing in figures."""

    def stats(self) -> dict[str, int | float]:
        return {}


class Lying(StackPool):
    """Counts no connection that is being made."""

    def stats(self) -> dict[str, int | float]:
        return {**super().stats(), "open": len(self.held)}


class Uncounting(StackPool):
    """Says that nobody has anything."""

    def stats(self) -> dict[str, int | float]:
        return {**super().stats(), "leased": 0}


class Blind(StackPool):
    """Does not see what happens to a connection that nobody has."""

    def lost(self, held: Held) -> None:
        if held not in self.idle:
            super().lost(held)
        else:
            self.held.discard(held)


class Lame(StackPool):
    """Makes nothing in place of what was lost."""

    def lost(self, held: Held) -> None:
        queue, self.queue = self.queue, []
        super().lost(held)
        self.queue = queue


class Sluggish(StackPool):
    """Is closed at the deadline, and not before."""

    def lost(self, held: Held) -> None:
        closing, self.closing = self.closing, []
        super().lost(held)
        self.closing = closing


class Belated(StackPool):
    """Writes down who asks inside an answer when that is over, whoever has left meanwhile."""

    late: list[int] | None = None

    def lend(self, held: Held) -> None:
        self.late = []
        super().lend(held)
        late, self.late = self.late, None
        self.queue += late
        self.serve()

    def enter(self, holder: str, timeout: float | None) -> Deferred[ILease]:
        if self.late is None:
            return super().enter(holder, timeout)
        number, taker = self.takers.add(holder, self.clock.seconds())
        self.late.append(number)
        return taker.answer


class Abrupt(StackPool):
    """Calls those who were held from a list of them, whoever has left meanwhile."""

    def resume(self, rate: float = 0.0) -> None:
        if rate:
            super().resume(rate)
            return
        self.room.queue.resume(rate, self.clock.seconds())
        for number in tuple(self.room._held):
            self.room.queue.served(number, self.clock.seconds())
            _, turn = self.room._held.pop(number)
            turn.callback(None)


class Credulous(StackPool):
    """Takes anything for a time."""

    def acquire(self, timeout: float | None = None, holder: str = "") -> Deferred[ILease]:
        usable = isinstance(timeout, int | float) and isfinite(timeout)
        return super().acquire(timeout if usable else None, holder)


class Keeping(StackPool):
    """Releases nothing behind a call."""

    def execute(self, fn: Callable[[ILease], Any], holder: str = "") -> Deferred[Any]:
        return self.acquire(holder=holder).addCallback(fn)


class Soft(StackPool):
    """Lends again what a call has failed on."""

    def execute(self, fn: Callable[[ILease], Any], holder: str = "") -> Deferred[Any]:
        def call(lease: ILease) -> Deferred[Any]:
            done: Deferred[Any] = fn(lease)

            def over(result: Any) -> Any:
                self.release(lease)
                return result

            return done.addBoth(over)

        return self.acquire(holder=holder).addCallback(call)


class Dropping(StackPool):
    """Keeps what a call gives to itself."""

    def execute(self, fn: Callable[[ILease], Any], holder: str = "") -> Deferred[Any]:
        return super().execute(fn, holder).addCallback(lambda _: None)


class Greedy(StackPool):
    """Makes as many connections as are wanted."""

    def has_room(self) -> bool:
        return True


class Stingy(StackPool):
    """Makes ten connections, and no more."""

    def has_room(self) -> bool:
        return len(self.held) + len(self.making) < 10


class Roomy(StackPool):
    """Lets any number wait."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.waiters = 1000
        self.room.queue = Queue(1000)


class Unfair(StackPool):
    """Serves who came last."""

    def serve(self) -> None:
        self.queue.reverse()
        super().serve()
        self.queue.reverse()


class Mute(StackPool):
    """Answers nobody with an error."""

    def reject(self, number: int, error: BaseException) -> None:
        pass


class Stoic(StackPool):
    """Lets who waits for a server that refuses wait on."""

    def failed(self, failure: Any, connection: int) -> None:
        self.making.discard(connection)


class Wasteful(StackPool):
    """Gives up what is being made when somebody gives up."""

    def forget(self, number: int) -> None:
        super().forget(number)
        for connection in tuple(self.making):
            self.attempts.give_up(connection, Closed("given up"))
        self.making.clear()


class Leaky(StackPool):
    """Serves who has given up."""

    def forget(self, number: int) -> None:
        pass


class Restless(StackPool):
    """Goes on while it is paused."""

    def pause(self, limit: float = 30.0) -> None:
        pass


class Endless(StackPool):
    """Holds for as long as it takes."""

    def pause(self, limit: float = 30.0) -> None:
        super().pause(86400.0)


class Oblivious(StackPool):
    """Forgets those whom a pause holds."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.room.close = lambda error: None  # type: ignore[method-assign]


class Hasty(StackPool):
    """Is closed before its leases are."""

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        super().close(deadline)
        return succeed(None)


class Discreet(StackPool):
    """Does not tell who waits that it was closed."""

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        queue, self.queue = self.queue, []
        closed = super().close(deadline)
        self.queue = queue
        return closed


class Hoarding(StackPool):
    """Keeps what nobody has when it is closed."""

    def close(self, deadline: float = 0.0) -> Deferred[None]:
        idle, self.idle = self.idle, []
        closed = super().close(deadline)
        self.idle = idle
        return closed


class Blunt(StackPool):
    """Cuts nothing."""

    def cut(self) -> None:
        held, self.held = self.held, set()
        super().cut()
        self.held = held


class Patient(StackPool):
    """Has who waits wait on when all is cut."""

    def cut(self) -> None:
        for held in tuple(self.held):
            if held.lease is not None:
                held.cut()
