"""What the admin listener refused: counted, and said in the log, where guessing at a token is to be seen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from tcpsuite.admin.explain import plain
from tcpsuite.net.seldom import Seldom

if TYPE_CHECKING:
    from tcpsuite.admin.guard import Refusal

LOG_INTERVAL = 10.0
"""Seconds between two lines in the log: who asks without end must not fill the disk."""
LONGEST_TEXT = 200
"""Characters of a text that a peer may have had a hand in; the rest is left out."""
_OF_NOTE = frozenset({401, 403})
"""What is logged whatever was asked: a token, a Host or an Origin that is wrong."""


class Refusals:
    """Notes each request that was refused.

    :param clock: an ``IReactorTime``.
    :ivar made: how many there were, by the HTTP status.
    """

    log = Logger()

    def __init__(self, clock: Any) -> None:
        self._seldom = Seldom(clock, LOG_INTERVAL)
        self.made: Counter[int] = Counter()

    def __repr__(self) -> str:
        return f"<Refusals made={self.made.total()} unlogged={self._seldom.unsaid['refused']}>"

    def note(self, refusal: Refusal, asked: str, who: str) -> None:
        """Count a refusal; log it when it is one of who may not ask, or of a change.

        :param asked: the method and the path, as far as they are known.
        :param who: the peer.
        """
        self.made[refusal.code] += 1
        if refusal.code not in _OF_NOTE and not asked.startswith("POST "):
            return
        if not self._seldom.says("refused"):
            return
        others = self._seldom.unsaid.pop("refused", 0)
        self.log.warn(
            "admin: {who} was refused {asked}: {code}, {text}{others}",
            who=who, asked=_clip(asked), code=refusal.code, text=_clip(refusal.text),
            others=f"; so were {others} others since the last such line" if others else "",
        )  # fmt: skip


def _clip(text: str) -> str:
    return plain(text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…")
