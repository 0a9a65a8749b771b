"""Why one of the candidates was picked: what its balancer went by, as it was at that moment.

A balancer that provides :class:`~tcpsuite.interfaces.IReasoned` gives a :class:`Basis`.  It is made with each
recorded pick, and hardly ever looked at: so it holds bare numbers, and becomes words when somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import Factory, define, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.connections import Attempt


class Basis(Protocol):
    """What a pick went by."""

    def told(self, choice: Choice, picked: str) -> Told:
        """All of it; asked long after, when servers are other than they were.

        :param choice: the candidates, in the order in which the balancer was given them.
        :param picked: the name of the one that it picked.
        """


@frozen
class Told:
    """A rule, and the figures that it compared.  It is a :class:`Basis` itself."""

    rule: str
    """Who is picked, in words: ``the least (active + 1) / weight``."""
    figures: Mapping[str, Mapping[str, float]] = Factory(dict)
    """By what they are, then by the server's name: those that were looked at.  Weights are known without."""

    def told(self, choice: Choice, picked: str) -> Told:
        """Just that."""
        return self


@define
class Pick:
    """What there was to choose from, and what was chosen."""

    choice: Choice
    server: str = ""
    """Who was picked; empty for nobody."""
    basis: Basis | None = None
    """``None`` when the balancer does not say."""
    attempt: Attempt | None = None
    """What came of it; ``None`` while it is under way, and of nobody."""
