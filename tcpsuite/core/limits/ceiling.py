"""How many connections there may be in all: of a listener, and of the process."""

from __future__ import annotations

import sys

from tcpsuite.errors import LocalError

SPARE_DESCRIPTORS = 100
"""For what is open besides the connections: listeners, health checks, logs, databases."""


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

    def beside(self, size: int) -> Ceiling:
        """Another one of the same height, over the same room, of which each takes ``size``."""
        return Ceiling(self.limit, self._room, size)

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
