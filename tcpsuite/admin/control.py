"""Changes of a running process, carried out.

A change holds until the process ends: what the configuration says is never written.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from twisted.logger import Logger

from tcpsuite.admin.changes import (
    Add,
    Administer,
    ClearAffinity,
    KillConnections,
    Pause,
    Remove,
    Resume,
    SetWeight,
)
from tcpsuite.net.assembly import build_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tcpsuite.admin.changes import ServerChange, UpstreamChange
    from tcpsuite.admin.status import UpstreamView


class Control:
    """Tells upstreams what an operator wants, logs it, and counts it.

    :ivar made: the changes that were made, by upstream and by the word of the change.
    """

    log = Logger()

    def __init__(self, upstreams: Mapping[str, UpstreamView]) -> None:
        self._upstreams = upstreams
        self.made: Counter[tuple[str, str]] = Counter()

    def __repr__(self) -> str:
        return f"<Control made={self.made.total()}>"

    def change_server(self, upstream: str, server: str, change: ServerChange, who: str) -> str:
        """Change a server of an upstream that is there, as ``who`` wants it.

        :return: what was done, in a few words.
        :raises ChangeRefused: when the upstream does not take it.
        """
        operator, done = self._upstreams[upstream].operator, str(change)
        match change:
            case Administer(state):
                operator.administer(server, state)
            case SetWeight(weight):
                operator.set_weight(server, weight)
            case KillConnections():
                number = operator.kill_connections(server)
                done = f"{number} connection{'' if number == 1 else 's'} cut"
        return self._made(upstream, f"{upstream}/{server}: {done}", change.word, who)

    def change_upstream(self, upstream: str, change: UpstreamChange, who: str) -> str:
        """Change an upstream that is there, in the same way."""
        told, done = self._upstreams[upstream], str(change)
        match change:
            case Pause(limit):
                told.pause(limit)
            case Resume(rate):
                told.resume(rate)
            case Add(options):
                told.operator.add(build_server(options))
            case Remove(name, force):
                told.operator.remove(name, force)
            case ClearAffinity(client):
                number = told.clear_affinity(client)
                done += f": {number} client{'' if number == 1 else 's'} forgotten"
        return self._made(upstream, f"{upstream}: {done}", change.word, who)

    def _made(self, upstream: str, done: str, word: str, who: str) -> str:
        self.made[upstream, word] += 1
        self.log.info("admin: {who} changed {done}", who=who, done=done)
        return done
