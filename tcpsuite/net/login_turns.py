"""Whose login is tried now, and who waits for the turn."""

from __future__ import annotations

from collections import deque
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail

from tcpsuite.core.lockout import network
from tcpsuite.errors import LoginFailed

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from tcpsuite.core.lockout import Lockout

WAITING = 100
"""Logins of one address that may wait: some seconds of work.  They take no place of other addresses."""


class LoginTurns:
    """Lets as many logins of an address be tried at once as may fail yet; the others wait in line.

    A line stands only behind logins that are under way, so it moves when one of those ends.

    :param lockout: says who may try.
    :param clock: an ``IReactorTime``.
    """

    def __init__(self, lockout: Lockout, clock: IReactorTime) -> None:
        self._lockout = lockout
        self._clock = clock
        self._lines: dict[str, deque[Deferred[None]]] = {}
        self._moving: set[str] = set()

    def __repr__(self) -> str:
        return f"<LoginTurns waiting={sum(map(len, self._lines.values()))} {self._lockout!r}>"

    def begin(self, host: str) -> Deferred[None]:
        """Wait for the turn of a login.

        :param host: its address; empty for a UNIX peer.
        :return: fires when it is to be tried, which has an end, :meth:`end`; cancelled before, it gives up
            its place.  Fails with :class:`~tcpsuite.errors.LoginFailed`, with the code ``login`` when the
            address has failed too often, and at once with ``limit`` when too many wait already.
        """
        address = network(host)
        line = self._lines.setdefault(address, deque())
        if len(line) >= WAITING:
            return fail(LoginFailed("too many logins at once", "limit"))
        turn: Deferred[None] = Deferred(partial(self._leave, address))
        line.append(turn)
        self._move(address)
        return turn

    def end(self, host: str, *, failed: bool) -> None:
        """A login that was tried has ended: it was wrong, or it was not."""
        self._lockout.end(host, self._clock.seconds(), failed=failed)
        self._move(network(host))

    def _leave(self, address: str, turn: Deferred[None]) -> None:
        self._lines[address].remove(turn)
        self._move(address)

    def _move(self, address: str) -> None:
        if address in self._moving or address not in self._lines:
            # A login that ends as soon as it is begun leaves it to the loop below, not to calls in calls.
            return
        line, now = self._lines[address], self._clock.seconds()
        self._moving.add(address)
        while line:
            if wait := self._lockout.wait(address, now):
                why = f"too many failed logins; try again in {ceil(wait)} s"
                line.popleft().errback(LoginFailed(why))
            elif self._lockout.begin(address, now):
                line.popleft().callback(None)
            else:
                break
        self._moving.discard(address)
        if not line:
            del self._lines[address]
