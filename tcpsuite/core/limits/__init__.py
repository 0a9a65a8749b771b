"""Who may come in, how often, and how much they may do.

::

    keys        whom a limit counts: an address, a network of IPv6, a user
    settings    the limits, and their defaults
    overrides   other limits for some networks and users, from a file
    rates       so many a second, and so many at once
    bandwidth   so many bytes a second
    ceiling     connections in all
    sharing     limits that several processes count together, of places and of tokens
    limiter     all of it together: ``ResourceLimiter``
"""

from tcpsuite.core.limits.ceiling import ENDLESS, SPARE_DESCRIPTORS, Ceiling, Room
from tcpsuite.core.limits.keys import user_key
from tcpsuite.core.limits.limiter import ResourceLimiter, Use
from tcpsuite.core.limits.overrides import NO_OVERRIDES, Overrides, OverridesError, parse_overrides
from tcpsuite.core.limits.settings import BANDWIDTHS, LIMITS, Limits
from tcpsuite.core.limits.sharing import Sharing, Tables
from tcpsuite.core.limits.standing import Terms

__all__ = [
    "BANDWIDTHS",
    "ENDLESS",
    "LIMITS",
    "NO_OVERRIDES",
    "SPARE_DESCRIPTORS",
    "Ceiling",
    "Limits",
    "Overrides",
    "OverridesError",
    "ResourceLimiter",
    "Room",
    "Sharing",
    "Tables",
    "Terms",
    "Use",
    "parse_overrides",
    "user_key",
]
