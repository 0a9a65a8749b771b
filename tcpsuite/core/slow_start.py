"""What share of its weight a server has that has just come back: caches are cold, pools are empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tcpsuite.core.servers import Server

STEPS = 20
"""In so many steps it comes to its whole weight."""
LEAST = 0.1
"""The share that it begins with: with none at all nobody would find out how it does."""
MOST = 4.0
"""Picks that a server may be owed, or have had too many: what a rule did not want comes in no burst later."""
_NONE: Mapping[str, float] = {}


def share(elapsed: float, window: float) -> float:
    """The share of its weight, ``elapsed`` seconds after it came back: in a straight line up to 1 after
    ``window`` seconds, in :data:`STEPS` steps, and never under :data:`LEAST`.
    """
    if elapsed >= window:
        return 1.0
    return max(LEAST, int(STEPS * elapsed / window) / STEPS)


class Allowance:
    """What the servers in a slow start are due from a rule that looks for the least load.

    Their lowered weight is little to go by for such a rule: while the others have nothing to do they look
    worse than all of them, and get none.  So each pick earns each of them its share of it, by weight.  Who is
    due one competes for it with its whole weight, and having got it waits until the next is earned; else it
    competes with the lowered one, which keeps it in step where there is much to do.

    :ivar granted: those who were due the last pick.
    """

    def __init__(self) -> None:
        self._servers: Sequence[Server] = ()
        self._slow: list[Server] = []
        self._total = 0.0
        self._earned: dict[Server, float] = {}
        self.granted: Sequence[Server] = ()

    def __repr__(self) -> str:
        owed = ", ".join(f"{server.name}: {picks:.2f}" for server, picks in self._earned.items())
        return f"<Allowance {{{owed}}}>"

    def due(self, servers: Sequence[Server]) -> Sequence[Server]:
        """One of ``servers`` is about to be picked: those in a slow start that are due it.

        :param servers: the same object as the last time, while none has come, left or changed its weight.
        """
        if servers is not self._servers:
            self._look(servers)
        if not self._slow:
            return ()
        earned = self._earned
        for server in self._slow:
            earned[server] = min(MOST, earned[server] + server.weight / self._total)
        # Rounded, so that the first one does not come later than the others do.
        self.granted = [server for server in self._slow if earned[server] >= 0.5]
        return self.granted

    def note(self, server: Server) -> None:
        """It was picked."""
        if server in self._earned:
            self._earned[server] = max(-MOST, self._earned[server] - 1)

    def parts(self) -> Mapping[str, float]:
        """Of each of those that were due the last pick, by name, the part of its weight that is left it."""
        return {server.name: server.share for server in self.granted} if self.granted else _NONE

    def _look(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self.granted = ()
        self._slow = [server for server in servers if server.share < 1 and server.weight]
        self._total = sum(server.weight for server in servers)
        # Who is left out of one client's pick, or of one, loses nothing.
        kept = {server: picks for server, picks in self._earned.items() if server.share < 1}
        self._earned = dict.fromkeys(self._slow, 0.0) | kept
