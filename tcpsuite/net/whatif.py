"""What would become of a client that came now."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from attrs import frozen

from tcpsuite.core.picks import Pick, Told
from tcpsuite.interfaces import IReasoned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tcpsuite.core.picks import Basis
    from tcpsuite.core.queueing import WhyHeld
    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILoadBalancer
    from tcpsuite.net.members import Members


@frozen
class Whatif:
    """Who would be picked, from whom, and why."""

    pick: Pick
    reason: str = ""
    """Why nobody, or why it cannot be said; empty otherwise."""
    strategy: str = ""
    """The balancer's name."""
    waits: WhyHeld | None = None
    """Why it would have to wait first; ``None`` when it would not."""
    home: dict[str, Any] | None = None
    """What affinity remembers of it: the ``server``, its ``open`` connections, and for how many seconds it
    has had none (``idle``); ``None`` when that is nothing.
    """


def whatif(
    members: Members, balancer: ILoadBalancer, client: str, now: float, shared: Iterable[Any] = ()
) -> Whatif:
    """Ask a copy of ``balancer``: no connection is made, and nothing changes.

    :param client: the client's IP address.
    :param shared: what the balancer may hold that others use too, and that is not to be copied.
    """
    choice, usable = members.choice, members.usable
    if not usable:
        return Whatif(Pick(choice), members.nobody)
    try:
        asked: Any = deepcopy(balancer, {id(each): each for each in (*members.servers, *shared)})
        server = asked.pick(usable, client, now)
    except Exception as error:  # a balancer of somebody's own may hold what cannot be copied
        return Whatif(Pick(choice), f"its balancer cannot be asked without a pick: {error}")
    if server is None:
        return Whatif(Pick(choice), f"the balancer of {members.upstream} refused")
    return Whatif(Pick(choice, server.name, _basis(asked, usable, client)))


def _basis(asked: ILoadBalancer, usable: Sequence[Server], client: str) -> Basis | None:
    reasoner: IReasoned | None = IReasoned(asked, None)
    try:
        return None if reasoner is None else reasoner.because(usable, client)
    except Exception as error:  # what it has picked is to be told all the same
        return Told(f"it cannot say why: {error}")
