"""Traffic for balancers, in a time of its own."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from tcpsuite.interfaces import ILearning, ITimed, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from tcpsuite.core.servers import Server
    from tcpsuite.interfaces import ILoadBalancer


def picks(balancer: ILoadBalancer, usable: Sequence[Server], count: int) -> str:
    """The names of the servers that are picked, one letter each."""
    found = (balancer.pick(usable, "192.0.2.1", 0.0) for _ in range(count))
    return "".join(server.name for server in found if server is not None)


def clients(number: int) -> Iterator[str]:
    """So many addresses."""
    return (f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}" for client in range(number))


def traffic(
    balancer: ILoadBalancer,
    usable: Sequence[Server],
    seconds: Callable[[Server, float], float],
    *,
    rate: float,
    begin: float,
    end: float,
    chance: Random,
) -> Counter[str]:
    """Requests at random moments, each a connection of its own that ends with its answer.

    :param seconds: what a server takes to answer, by the time.
    :param rate: requests a second.
    :return: how many each server got.
    """
    found, order, now = Counter[str](), count(), begin
    ends: list[tuple[float, int, Server, float]] = []
    while (now := now + chance.expovariate(rate)) < end:
        while ends and ends[0][0] <= now:
            _end_one(balancer, *heappop(ends))
        server = balancer.pick(usable, "192.0.2.1", now)
        assert server is not None
        found[server.name] += 1
        server.active += 1
        if ILearning.providedBy(balancer):
            ILearning(balancer).connected(server, Outcome(True, seconds=0.0005), now)
        took = seconds(server, now)
        heappush(ends, (now + took, next(order), server, took))
    while ends:
        _end_one(balancer, *heappop(ends))
    return found


def _end_one(balancer: ILoadBalancer, now: float, _order: int, server: Server, took: float) -> None:
    if ITimed.providedBy(balancer):
        ITimed(balancer).answered(server, took, now)
    server.active -= 1
