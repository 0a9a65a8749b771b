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

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import evolve, field, fields, frozen, resolve_types

from tcpsuite.core.limits.keys import LOOPBACK, PREFIX, UNIX, number_of, user_key, user_of
from tcpsuite.core.limits.settings import DEFAULTS, NAMES, Limits
from tcpsuite.core.passwords import is_user
from tcpsuite.options import OptionError, Size, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OF_USERS = ("connections_per_user", "message_rate", "message_burst", "bandwidth_per_user")
"""What may be different for a user."""
OF_CLIENTS = tuple(name for name in NAMES if name not in ("connections_per_user", "bandwidth_per_user"))
"""What may be different for an address, a network, or UNIX peers."""
MOST_FAULTS = 20
"""Faults of a file that are told one by one."""

_HERE = (UNIX, LOOPBACK)
_LOOPBACKS = "127."
_LOOPBACK_NETWORK = IPv4Network("127.0.0.0/8")

Whom = str | IPv4Network | IPv6Network
Value = TypeVar("Value")
_Tables = list[tuple[int, dict[int, Value]]]  # by so many bits of hosts, the fewest first


class OverridesError(ValueError):
    """A file of overrides with faults; ``str`` gives them all, a line each."""

    def __init__(self, faults: Iterable[tuple[int, str]]) -> None:
        self.faults = tuple(faults)
        told = [f"line {number}: {text}" for number, text in self.faults[:MOST_FAULTS]]
        left = len(self.faults) - len(told)
        super().__init__("\n".join([*told, f"and {left} more"] if left else told))


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


@frozen
class Override:
    """One line: whom it is for, a network or a key, and what is different for them."""

    whom: Whom
    changes: Mapping[str, Any]

    @property
    def is_here(self) -> bool:
        """Whether it is for this machine alone."""
        whom = self.whom
        return whom in _HERE or (isinstance(whom, IPv4Network) and whom.subnet_of(_LOOPBACK_NETWORK))


@frozen
class Overrides:
    """All lines of a file, for each network and user at most one, and the means to find them.

    To build it takes its time, in any thread; to go by it afterwards does not.
    """

    lines: tuple[Override, ...] = ()
    here: frozenset[int] = field(init=False, eq=False, repr=False)
    """The numbers of those for this machine alone: for UNIX peers, or within the loopback's network."""
    throttle_users: bool = field(init=False, eq=False, repr=False)
    """Whether some user has a bandwidth by them."""
    _named: dict[Whom, int] = field(init=False, eq=False, repr=False)
    _networks: Networks[int] = field(init=False, eq=False, repr=False)

    @here.default
    def _find_here(self) -> frozenset[int]:
        return frozenset(number for number, each in enumerate(self.lines) if each.is_here)

    @throttle_users.default
    def _find_throttled(self) -> bool:
        return any(each.changes.get("bandwidth_per_user") for each in self.lines)

    @_named.default
    def _find_named(self) -> dict[Whom, int]:
        return {each.whom: number for number, each in enumerate(self.lines) if isinstance(each.whom, str)}

    @_networks.default
    def _find_networks(self) -> Networks[int]:
        networks: Networks[int] = Networks()
        for number, each in enumerate(self.lines):
            if not isinstance(each.whom, str):
                networks.put(each.whom, number)
        return networks

    def __len__(self) -> int:
        return len(self.lines)

    def find(self, key: str) -> int | None:
        """The number of the line for a key; ``None`` when none is."""
        number = self._named.get(key)
        return self._networks.find(key) if number is None else number


NO_OVERRIDES = Overrides()


def parse_overrides(text: str) -> Overrides:
    """The overrides of a file.

    :raises OverridesError: with every line that is neither empty, a comment, nor an override.
    """
    found: dict[Whom, Override] = {}
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            whom = _whom(words[0])
            override = Override(whom, _changes(words[1:], whom))
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        if override.whom in found:
            faults.append((number, f"{override.whom} stands here for the second time"))
        found[override.whom] = override
    if faults:
        raise OverridesError(faults)
    return Overrides(tuple(found.values()))


class Policies:
    """Which limits each key has: its override's, or else the configured ones.

    :param limits: the configured ones.
    :param exempt_loopback: whether keys of this machine have none, unless an override is for them alone.
    :ivar throttle_users: whether some user has a bandwidth.
    """

    def __init__(self, limits: Limits, overrides: Overrides, exempt_loopback: bool) -> None:
        self.throttle_users = bool(limits.bandwidth_per_user) or overrides.throttle_users
        self._limits = limits
        self._overrides = overrides
        self._exempt_loopback = exempt_loopback
        # By the line, when somebody comes whom it is for: not all of a long file at once.
        self._own: dict[int, Limits] = {}
        # Who has just been let in is asked for again.
        self._last: tuple[str | None, Limits | None] = None, None

    def find(self, key: str) -> Limits | None:
        """The limits of a key; ``None`` when it has none."""
        if key != self._last[0]:
            self._last = key, self._look_up(key)
        return self._last[1]

    def _look_up(self, key: str) -> Limits | None:
        number = self._overrides.find(key)
        if self._exempt_loopback and number not in self._overrides.here and _is_here(key):
            return None
        if number is None:
            return self._limits
        own = self._own.get(number)
        if own is None:
            own = self._own[number] = evolve(self._limits, **self._overrides.lines[number].changes)
        return own


def _is_here(key: str) -> bool:
    return key in _HERE or (key.startswith(_LOOPBACKS) and number_of(key) is not None)


def _put(tables: _Tables[Value], network: IPv4Network | IPv6Network, value: Value) -> None:
    shift = network.max_prefixlen - network.prefixlen
    table = next((table for known, table in tables if known == shift), None)
    if table is None:
        table = {}
        tables.append((shift, table))
        tables.sort(key=lambda each: each[0])
    table[int(network.network_address) >> shift] = value


def _whom(text: str) -> Whom:
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
    return network


def _changes(words: list[str], whom: Whom) -> dict[str, Any]:
    """What the other words change.

    :raises ValueError: when they are not ``option=value``, each for an option of its own that counts for such
        as ``whom``, at least one.
    """
    names, whose = (
        (OF_USERS, "a user") if isinstance(whom, str) and user_of(whom) else (OF_CLIENTS, "an address")
    )
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in names:
            expected = ", ".join(f"{each}=…" for each in names)
            raise ValueError(f"for {whose} expected one of {expected}, got {word!r}")
        if name in changes:
            raise ValueError(f"{name} stands there twice")
        changes[name] = _value(name, value)
    if not changes:
        raise ValueError(f"it says nothing of {', '.join(names)}")
    return changes


@lru_cache(maxsize=1024)  # a long file says the same again and again
def _value(name: str, text: str) -> Any:
    kind: Any = getattr(fields(resolve_types(Limits)), name).type
    try:
        value = parse_size(int(text) if text.isdecimal() else text) if kind is Size else kind(text)
        evolve(DEFAULTS, **{name: value})
    except OptionError as error:
        raise ValueError(f"{name}: {error}") from None
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: expected {what}, got {text!r}") from None
    return value
