"""Tells a peer that takes nothing of what is sent to it from one that is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcpsuite.core.connections import Traffic


class Standstill:
    """For how long one peer has taken nothing, though there was something for it.

    What its kernel has acknowledged it has taken: nothing else of it can be seen from here.  What our own
    kernel has taken it has not: that may be megabytes, for a peer that has stopped reading.
    """

    __slots__ = ("_arrived", "_left", "_sent", "_since")

    def __init__(self) -> None:
        self._sent = 0
        self._left = 0
        self._arrived = 0
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<Standstill left={self._left} since={self._since:g}>"

    def look(self, now: float, traffic: Traffic) -> float:
        """Seconds for which nothing was taken, as far as earlier looks could see; 0 when nothing is left.

        It asks what is left only if there may be something, for that costs a system call.
        """
        sent = traffic.bytes_out
        if not self._left and sent == self._sent:
            return 0.0
        left = traffic.in_flight()
        arrived = sent - left
        if not self._left or arrived != self._arrived:
            self._since = now
        self._sent, self._left, self._arrived = sent, left, arrived
        return now - self._since if left else 0.0
