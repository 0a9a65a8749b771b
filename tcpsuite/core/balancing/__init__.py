"""The rules that pick a server for each new connection.

They are cheap because they keep what they have prepared for the servers that they were given last; each looks
whether these are still the same, so it may be given others at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.core.balancing.chance import PowerOfTwo as PowerOfTwo
from tcpsuite.core.balancing.chance import RandomChoice as RandomChoice
from tcpsuite.core.balancing.hashing import IPHash as IPHash
from tcpsuite.core.balancing.load import LeastConnections as LeastConnections
from tcpsuite.core.balancing.times import LeastTime as LeastTime
from tcpsuite.core.balancing.turns import First as First
from tcpsuite.core.balancing.turns import RoundRobin as RoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tcpsuite.interfaces import ILoadBalancer

STRATEGIES: Mapping[str, Callable[..., ILoadBalancer]] = {
    "round_robin": RoundRobin,
    "least_connections": LeastConnections,
    "least_time": LeastTime,
    "random": RandomChoice,
    "power_of_two": PowerOfTwo,
    "ip_hash": IPHash,
    "first": First,
}
"""The built-in balancers, by their names in the configuration."""
