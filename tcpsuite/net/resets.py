"""What cleans a connection for its next taker, for servers whose protocol has a word for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.net.dialogue import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.defer import Deferred

    from tcpsuite.interfaces import ILease


def reset_redis(lease: ILease) -> Deferred[None]:
    """Have a Redis server, 6.2 or newer, forget who was connected: transaction, subscriptions, watched keys,
    database, user, name.

    With a password set, the next taker has to log in again.
    """
    return ask(lease, b"*1\r\n$5\r\nRESET\r\n", b"+RESET\r\n")


RESETS: Mapping[str, Callable[[ILease], Deferred[None]]] = {"redis": reset_redis}
"""The built-in ones, by the word in the file."""
