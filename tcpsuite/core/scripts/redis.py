"""Redis, Valkey, and what else speaks their protocol: PING."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.core.scripts import Unwell, first_line, shown

if TYPE_CHECKING:
    from tcpsuite.core.servers import Server


class Redis:
    """Well is who answers PONG; and, when no password is given here, who wants one: it serves those who have
    it.

    One that is loading its data set, or has lost its master and serves nothing stale, is not well; one that
    wants a password says so only to those who give it.

    :param password: of the default user; empty for none.
    """

    parting = b""

    def __init__(self, password: str = "") -> None:
        self._ping = _command("PING")
        self._asked = 1
        if password:
            self._ping = _command("AUTH", password) + self._ping
            self._asked = 2

    def __repr__(self) -> str:
        return f"<Redis{' with a password' if self._asked > 1 else ''}>"

    def opening(self, server: Server) -> bytes:
        """PING, behind AUTH when there is a password."""
        return self._ping

    def heard(self, said: bytes) -> bool:
        """A line for each command, which must be good."""
        for expected in (b"+OK", b"+PONG")[-self._asked :]:
            line = first_line(said)
            if line is None:
                return False
            if self._asked == 1 and line.startswith(b"-NOAUTH"):
                return True
            if line != expected:
                raise Unwell(f"answered {shown(line)}")
            said = said.partition(b"\n")[2]
        return True


def _command(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
