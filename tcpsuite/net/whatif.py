"""What would become of a client that came now."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tcpsuite.core.choosing import Choice
    from tcpsuite.core.queueing import Held
    from tcpsuite.interfaces import ILoadBalancer
    from tcpsuite.net.members import Members


@frozen
class Whatif:
    """Who would be picked, and from whom."""

    server: str | None
    """Who would be picked; ``None`` for nobody."""
    choice: Choice
    reason: str
    """Why nobody, or why it cannot be said; empty otherwise."""
    waits: Held | None = None
    """Why it would have to wait first; ``None`` when it would not."""


def whatif(
    members: Members, balancer: ILoadBalancer, client: str, now: float, shared: Iterable[Any] = ()
) -> Whatif:
    """Ask a copy of ``balancer``: no connection is made, and nothing changes.

    :param client: the client's IP address.
    :param shared: what the balancer may hold that others use too, and that is not to be copied.
    """
    choice = members.choice
    if not members.usable:
        return Whatif(None, choice, members.nobody)
    try:
        memo = {id(each): each for each in (*members.servers, *shared)}
        server = deepcopy(balancer, memo).pick(members.usable, client, now)
    except Exception as error:  # a balancer of somebody's own may hold what cannot be copied
        return Whatif(None, choice, f"its balancer cannot be asked without a pick: {error}")
    if server is None:
        return Whatif(None, choice, f"the balancer of {members.upstream} refused")
    return Whatif(server.name, choice, "")
