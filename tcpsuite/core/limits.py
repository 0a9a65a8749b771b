"""How many connections there may be: of one client, and in all."""

from __future__ import annotations

import re
import sys
from ipaddress import IPv6Address

from zope.interface import implementer

from tcpsuite.errors import LocalError
from tcpsuite.interfaces import ILimiter, Verdict

CONNECTIONS_PER_IP = 100
"""Enough for an office behind one address; far too few to fill a server from one place."""
PREFIX = 64
"""Bits of an IPv6 address that tell clients apart: one host is usually given that much to choose from."""
SPARE_DESCRIPTORS = 100
"""For what is open besides the connections: listeners, health checks, logs, databases."""

_EXEMPT = Verdict(True)
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}")


@implementer(ILimiter)
class ResourceLimiter:
    """Limits how many connections one client may have at a time.

    A client is an IPv4 address, or an IPv6 network of 64 bits.  What is counted is what is open: a client
    without a connection leaves nothing behind here.

    :param connections_per_ip: how many connections a client may have; 0 for any number.
    :param exempt_loopback: whether peers on this machine, over loopback or a UNIX socket, may have any
        number.  When not, all UNIX peers together count as one client, for they have no address.
    """

    def __init__(self, connections_per_ip: int = CONNECTIONS_PER_IP, exempt_loopback: bool = True) -> None:
        self.connections_per_ip = connections_per_ip
        self.exempt_loopback = exempt_loopback
        self._admitted: dict[str, set[Verdict]] = {}

    def __repr__(self) -> str:
        held = sum(map(len, self._admitted.values()))
        return f"<ResourceLimiter clients={len(self._admitted)} connections={held}>"

    def admit(self, client: str, now: float) -> Verdict:
        """One more connection of ``client``, an IP address or empty: see :meth:`ILimiter.admit`."""
        if not self.connections_per_ip:
            return _EXEMPT
        key, local = _identify(client)
        if local and self.exempt_loopback:
            return _EXEMPT
        held = self._admitted.get(key)
        if held is None:
            held = self._admitted[key] = set()
        elif len(held) >= self.connections_per_ip:
            reason = f"{key} has {len(held)} connections open, of {self.connections_per_ip} that it may have"
            return Verdict(False, "connections_per_ip", reason, key=key)
        verdict = Verdict(True, key=key)
        held.add(verdict)
        return verdict

    def spend(self, key: str, amount: float, now: float) -> Verdict:
        """Always allowed, and nothing is counted: no rate can be configured, so there is none to exceed.

        An amount without a limit is not a fault, and a count that nothing reads would only grow.
        """
        return _EXEMPT

    def release(self, verdict: Verdict) -> None:
        """The connection of ``verdict`` is gone.  A second time, or for a refusal, nothing happens."""
        held = self._admitted.get(verdict.key)
        if held is not None:
            held.discard(verdict)
            if not held:
                del self._admitted[verdict.key]


class Room:
    """What the connections of all listeners share: the descriptors of this process.

    :param total: descriptors that connections may take, together.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0

    def __repr__(self) -> str:
        return f"<Room {self.taken} of {self.total}>"


ENDLESS = Room(sys.maxsize)
"""More than anybody takes."""


class Ceiling:
    """How many connections may be served at once.

    Accepting rests from the moment that it is :attr:`full` until one of them leaves: what comes meanwhile
    waits in the kernel's backlog, where it costs nothing, and is not refused.

    :param limit: connections, at least 1.
    :param room: what they share with those below other ceilings.
    :param size: how much of the room each takes.
    """

    def __init__(self, limit: int, room: Room = ENDLESS, size: int = 1) -> None:
        if limit < 1:
            raise LocalError(f"a ceiling of at least 1, not {limit}")
        self.limit = limit
        self.active = 0
        self._room = room
        self._size = size

    def __repr__(self) -> str:
        return f"<Ceiling {self.active} of {self.limit}>"

    @property
    def full(self) -> bool:
        """Whether accepting rests."""
        return self.active >= self.limit or self._room.taken + self._size > self._room.total

    def enter(self) -> bool:
        """Take a place; whether there was one."""
        if self.full:
            return False
        self.active += 1
        self._room.taken += self._size
        return True

    def leave(self) -> None:
        """Give back a place that was taken."""
        if not self.active:
            raise LocalError("a place was given back that nobody had taken")
        self.active -= 1
        self._room.taken -= self._size


def _identify(client: str) -> tuple[str, bool]:
    """What a client is counted as, and whether it is on this machine."""
    if not client:
        return "unix", True
    if ":" not in client:
        # The kernel writes an IPv4 address in one way only: there is nothing to be read in it.
        return client, _LOOPBACK.fullmatch(client) is not None
    try:
        address = IPv6Address(client)
    except ValueError:
        return client, False
    mapped = address.ipv4_mapped
    if mapped is not None or address.is_loopback:
        return str(mapped or address), (mapped or address).is_loopback
    host_bits = address.max_prefixlen - PREFIX
    return f"{IPv6Address(int(address) >> host_bits << host_bits)}/{PREFIX}", False
