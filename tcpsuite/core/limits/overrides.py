"""Other limits for some networks and users.

::

    # whom            what is different for them
    10.0.0.0/8        connections_per_ip=1000 connection_rate=0
    2001:db8::/48     connections_per_ip=20
    unix              connections_per_ip=50
    user:ann          connections_per_user=50 message_rate=1000

The longest network that holds an address counts, and it alone; what it does not say is as configured.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import evolve, fields, frozen, resolve_types

from tcpsuite.core.limits.keys import LOOPBACK, PREFIX, UNIX, number_of, user_key, user_of
from tcpsuite.core.limits.settings import DEFAULTS, NAMES, Limits
from tcpsuite.core.passwords import is_user
from tcpsuite.options import OptionError, Size, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_FAULTS = 20
"""Faults of a file that are told one by one."""


Value = TypeVar("Value")
_Tables = list[tuple[int, dict[int, Value]]]  # by so many bits of hosts, the fewest first


class OverridesError(ValueError):
    """A file of overrides with faults; ``str`` gives them all, a line each."""

    def __init__(self, faults: Iterable[tuple[int, str]]) -> None:
        self.faults = tuple(faults)
        told = [f"line {number}: {text}" for number, text in self.faults[:MOST_FAULTS]]
        left = len(self.faults) - len(told)
        super().__init__("\n".join([*told, f"and {left} more"] if left else told))


@frozen
class Override:
    """One line: whom it is for, and what is different for them.

    ``whom`` is a network as :func:`ipaddress.ip_network` writes it, or a key.
    """

    whom: str
    changes: Mapping[str, Any]


Overrides = tuple[Override, ...]
"""All lines of a file, for each network and user at most one."""

NO_OVERRIDES: Overrides = ()


def parse_overrides(text: str) -> Overrides:
    """The overrides of a file.

    :raises OverridesError: with every line that is neither empty, a comment, nor an override.
    """
    found: dict[str, Override] = {}
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            override = Override(_whom(words[0]), _changes(words[1:]))
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        if override.whom in found:
            faults.append((number, f"{override.whom} stands here for the second time"))
        found[override.whom] = override
    if faults:
        raise OverridesError(faults)
    return tuple(found.values())


class Networks(Generic[Value]):
    """Values by network, of which the longest counts that holds an address."""

    def __init__(self) -> None:
        # Of IPv4 by what an address begins with, up to its first dot: most addresses need not be read then,
        # and no network has far to look.
        self._v4: dict[str, _Tables[Value]] = {}
        self._v6: _Tables[Value] = []

    def put(self, network: IPv4Network | IPv6Network, value: Value) -> None:
        """From now on ``network`` has this value."""
        if network.version == 6:
            _put(self._v6, network, value)
            return
        first, last = (int(address) >> 24 for address in (network[0], network[-1]))
        for octet in range(first, last + 1):
            _put(self._v4.setdefault(str(octet), []), network, value)

    def find(self, key: str) -> Value | None:
        """The value of the longest network that holds the address ``key``; ``None`` when none does."""
        tables = self._v6 if ":" in key else self._v4.get(key.partition(".")[0])
        number = number_of(key) if tables else None
        if tables and number is not None:
            for shift, table in tables:
                value = table.get(number >> shift)
                if value is not None:
                    return value
        return None


class Policies:
    """Which limits each key has: its override's, or else the configured ones.

    :param limits: the configured ones.
    :param exempt_loopback: whether keys of this machine have none, unless an override is for them alone: for
        UNIX peers, or for a network that lies within the loopback's.
    :ivar throttle_users: whether some user has a bandwidth.
    """

    def __init__(self, limits: Limits, overrides: Overrides, exempt_loopback: bool) -> None:
        self.throttle_users = bool(limits.bandwidth_per_user) or any(
            override.changes.get("bandwidth_per_user") for override in overrides
        )
        self._limits = limits
        self._named: dict[str, Limits | None] = {}
        self._networks: Networks[tuple[Limits | None]] = Networks()
        if exempt_loopback:
            self._named = dict.fromkeys((UNIX, LOOPBACK))
            self._networks.put(IPv4Network("127.0.0.0/8"), (None,))
        for override in overrides:
            own = evolve(limits, **override.changes)
            if override.whom in (UNIX, LOOPBACK) or user_of(override.whom):
                self._named[override.whom] = own
            else:
                self._networks.put(ip_network(override.whom), (own,))

    def find(self, key: str) -> Limits | None:
        """The limits of a key; ``None`` when it has none."""
        if key in self._named:
            return self._named[key]
        found = self._networks.find(key)
        return self._limits if found is None else found[0]


def _put(tables: _Tables[Value], network: IPv4Network | IPv6Network, value: Value) -> None:
    shift = network.max_prefixlen - network.prefixlen
    table = next((table for known, table in tables if known == shift), None)
    if table is None:
        table = {}
        tables.append((shift, table))
        tables.sort(key=lambda each: each[0])
    table[int(network.network_address) >> shift] = value


def _whom(text: str) -> str:
    """Whom the first word of a line is for.

    :raises ValueError: when it is nobody that limits count.
    """
    if text == UNIX:
        return UNIX
    if user := user_of(text):
        if not is_user(user):
            raise ValueError(f"no user can be called {user!r}")
        return user_key(user)
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(
            f"expected a network such as 10.0.0.0/8, an address, unix, or user:NAME, got {text!r}"
        ) from None
    if network.version == 6 and network.prefixlen > PREFIX:
        if network.is_loopback:
            return LOOPBACK
        raise ValueError(f"clients of IPv6 are told apart by {PREFIX} bits, and {text} has more")
    return str(network)


def _changes(words: list[str]) -> dict[str, Any]:
    """What the other words change.

    :raises ValueError: when they are not ``option=value``, each for an option of its own, at least one.
    """
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in NAMES:
            raise ValueError(f"expected one of {', '.join(f'{each}=…' for each in NAMES)}, got {word!r}")
        if name in changes:
            raise ValueError(f"{name} stands there twice")
        changes[name] = _value(name, value)
    if not changes:
        raise ValueError(f"it says nothing of {', '.join(NAMES)}")
    return changes


def _value(name: str, text: str) -> Any:
    field: Any = getattr(fields(resolve_types(Limits)), name)
    try:
        value = (
            parse_size(int(text) if text.isdecimal() else text) if field.type is Size else field.type(text)
        )
        evolve(DEFAULTS, **{name: value})
    except OptionError as error:
        raise ValueError(f"{name}: {error}") from None
    except ValueError:
        kind = "a whole number" if field.type is int else "a number"
        raise ValueError(f"{name}: expected {kind}, got {text!r}") from None
    return value
