"""The limits that one key may have, and their defaults; 0 is no limit in all of them."""

from __future__ import annotations

from attrs import fields, frozen

from tcpsuite.options import OptionError, Size, between, option

MOST = 1_000_000
"""More than one machine has connections, or answers messages in a second."""


SLOWEST = 4096
"""Bytes a second: slower, what a single read has brought would pass for longer than many an idle time-out."""


def _bandwidth(size: int) -> None:
    if size and size < SLOWEST:
        raise OptionError(f"0, or at least {SLOWEST} bytes", size)


@frozen
class Limits:
    """What one client, or one user, may have and do."""

    connections_per_ip: int = option(
        # Enough for an office behind one address; far too few to fill a server from one place.
        100,
        "Connections that a listener takes from one address at once; past it they are refused; 0: no limit.",
        check=between(0, MOST),
    )
    connection_rate: float = option(
        0.0,
        "New connections a second that a listener takes from one address; 0: no limit.",
        check=between(0, MOST),
    )
    connection_burst: int = option(
        100,
        "With connection_rate, so many new connections may come at once.",
        check=between(1, MOST),
    )
    connections_per_user: int = option(
        # A user's devices; who shares a password with everybody is noticed.
        5,
        "Connections to a session or file service that one user may be logged in on at once; 0: no limit.",
        check=between(0, MOST),
    )
    message_rate: float = option(
        # Far more than a person's hands, or a program that waits for its answers over a network.
        100.0,
        "Requests a second in lines, to a session or file service, of one user, or of one address while "
        "nobody is logged in; 0: no limit.",
        check=between(0, MOST),
    )
    message_burst: int = option(
        100, "With message_rate, so many requests may come at once.", check=between(1, MOST)
    )
    bandwidth_per_connection: Size = option(
        Size(0), "Bytes a second of one connection, each way; 0: no limit.", check=_bandwidth
    )
    bandwidth_per_ip: Size = option(
        Size(0), "Bytes a second of all connections of one address, each way; 0: no limit.", check=_bandwidth
    )
    bandwidth_per_user: Size = option(
        Size(0),
        "Bytes a second of all connections to a session or file service on which one user is logged in, each "
        "way; 0: no limit.",
        check=_bandwidth,
    )


LIMITS = ("connections_per_ip", "connection_rate", "connections_per_user", "message_rate")
"""Those that refuse, by the options' names; the others say more of these."""

BANDWIDTHS = ("bandwidth_per_connection", "bandwidth_per_ip", "bandwidth_per_user")
"""Those that refuse nothing, and let it pass more slowly."""

NAMES = tuple(field.name for field in fields(Limits))
"""All of them."""

DEFAULTS = Limits()

UNLIMITED = Limits(connections_per_ip=0, connections_per_user=0, message_rate=0)
"""No limit at all."""
