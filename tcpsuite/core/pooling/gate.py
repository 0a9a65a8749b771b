"""What stands before a pool that is paused."""

from __future__ import annotations

from math import inf

from attrs import frozen


@frozen
class Pass:
    """This taker may go on to the pool."""

    taker: int


@frozen
class Expire:
    """This taker was held for as long as it may be."""

    taker: int


class Gate:
    """Holds takers while it is shut, lets them go on in their order when it opens, as fast as it is told.

    All times are seconds, on one clock.

    :param most: how many it holds.
    :ivar shut: whether somebody who comes now is held: it is paused, or those held are still going on.
    """

    def __init__(self, most: float = inf) -> None:
        self._most = most
        self._held: dict[int, float] = {}  # taker: until when; in the order in which they came
        self._paused = False
        self._limit = 0.0
        self._interval = 0.0
        self._next = 0.0
        self._over = inf  # nobody's time is over before

    def __repr__(self) -> str:
        state = "paused" if self._paused else "resuming" if self._held else "open"
        return f"<Gate {state} held={len(self._held)}>"

    @property
    def shut(self) -> bool:
        """Whether somebody who comes now is held."""
        return self._paused or bool(self._held)

    @property
    def paused(self) -> bool:
        """Whether it was shut, and not opened again."""
        return self._paused

    @property
    def held(self) -> int:
        """How many are held."""
        return len(self._held)

    def pause(self, limit: float) -> None:
        """Hold who comes from now on, each for ``limit`` seconds at most."""
        self._paused = True
        self._limit = limit

    def resume(self, now: float, rate: float) -> None:
        """Let those who are held go on, ``rate`` in a second, and who comes behind them; 0: all at once."""
        self._paused = False
        self._interval = 1 / rate if rate > 0 else 0.0
        self._next = now

    def hold(self, taker: int, now: float, patience: float | None) -> bool:
        """``taker`` is held, unless there are as many already as may be.  Says whether it is.

        :param patience: seconds that it may wait in all, if that is less than the limit of the pause.
        """
        if len(self._held) >= self._most:
            return False
        limit = self._limit if patience is None else min(patience, self._limit)
        self._held[taker] = now + limit
        self._over = min(self._over, now + limit)
        return True

    def give_up(self, taker: int) -> bool:
        """``taker`` waits no longer.  Says whether it was held."""
        return self._held.pop(taker, None) is not None

    def due(self) -> float | None:
        """When :meth:`tick` is to be called; ``None`` for never."""
        if not self._held:
            return None
        return self._over if self._paused else min(self._over, self._next)

    def tick(self, now: float) -> list[Pass | Expire]:
        """Time has passed: who may go on, and who waited for too long."""
        decisions: list[Pass | Expire] = []
        while self._held and not self._paused and now >= self._next:
            taker = next(iter(self._held))
            del self._held[taker]
            self._next += self._interval
            decisions.append(Pass(taker))
        if now >= self._over:
            for taker in [taker for taker, until in self._held.items() if now >= until]:
                del self._held[taker]
                decisions.append(Expire(taker))
            self._over = min(self._held.values(), default=inf)
        return decisions

    def close(self) -> list[int]:
        """Nobody goes on any more: gives all who are held."""
        held, self._held, self._paused = list(self._held), {}, False
        return held
