"""One end of a TCP connection, whose strings somebody else pulls."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import struct
import termios
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.support.scripts import Who

GONE = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)
"""How a reset is told, the first time and later."""
PERIOD = 65_521
"""Bytes after which what is sent repeats itself: a prime, so that no block's size divides it."""


@cache
def said_by(who: str) -> bytes:
    """What a puppet says, whatever it says: two periods of it."""
    return random.Random(who).randbytes(PERIOD) * 2


class Puppet:
    """One end of a connection.

    :param who: whose voice it has.
    :param plain: its socket; ``None`` when there is no connection.
    :param other: whose voice it hears.
    :ivar received: how many bytes it has read, each of them checked.
    :ivar end: what came behind the last of them: nothing, ``FIN``, ``reset`` or ``FIN reset``.
    :ivar left: whether it ended the connection itself.
    """

    def __init__(self, who: Who, plain: socket.socket | None, other: Who) -> None:
        self.who = who
        self.socket = plain
        self.received = 0
        self.end = ""
        self.left = False
        self._other = other
        self._sent = 0
        self._due: float = 0
        self._finishing = False
        if plain is not None:
            plain.setblocking(False)

    def __str__(self) -> str:
        if self.socket is None and not (self.end or self.left):
            return "nobody"
        return f"{self.received} {self.end or ('left' if self.left else 'open')}"

    @property
    def sending(self) -> bool:
        """Whether there is something that did not fit yet."""
        return self.socket is not None and self._sent < self._due

    def send(self, size: float) -> None:
        """Have so many bytes more to say."""
        self._due += size
        self.push()

    def hold(self) -> None:
        """Have nothing more to say than what was taken."""
        self._due = self._sent

    def push(self) -> None:
        """Send what fits."""
        text = said_by(self.who)
        try:
            while self.socket is not None and self._sent < self._due:
                at = self._sent % PERIOD
                self._sent += self.socket.send(text[at : at + int(min(PERIOD, self._due - self._sent))])
            if self.socket is not None and self._finishing:
                self._finishing = False
                self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fell(error)

    def finish(self) -> None:
        """Send a FIN behind all that."""
        self._finishing = True
        self.push()

    def read(self, most: int) -> bool:
        """Read what is there; false when there is nothing yet."""
        assert self.socket is not None
        try:
            data = self.socket.recv(min(most, PERIOD))
        except BlockingIOError:
            return False
        except OSError as error:
            self._fell(error)
            return True
        at = self.received % PERIOD
        expected = said_by(self._other)[at : at + len(data)]
        assert data == expected, f"{self.who} had {self.received} bytes, and then not those that were sent"
        self.received += len(data)
        if not data and not self.end:
            self.end = "FIN"
        return True

    def unread(self) -> int:
        """Bytes that are here and were not read."""
        return self._ask(termios.FIONREAD)

    def unacknowledged(self) -> int:
        """Bytes that its own kernel still has."""
        return self._ask(termios.TIOCOUTQ)

    def hear_at_least(self, size: int) -> None:
        """Let the kernel call nothing readable that is less."""
        if self.socket is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def notice_reset(self) -> None:
        """Take the error that the kernel keeps."""
        if self.socket is not None and (error := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self._fell(OSError(error, os.strerror(error)))

    def close(self, reset: bool = False) -> None:
        """Have no socket any more."""
        if self.socket is not None:
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()
            self.socket = None
            self.left = True

    def _ask(self, question: int) -> int:
        if self.socket is None:
            return 0
        number: int = struct.unpack("i", fcntl.ioctl(self.socket, question, b"\0" * 4))[0]
        return number

    def _fell(self, error: OSError) -> None:
        if error.errno not in GONE:
            raise error
        self._due = self._sent
        self._finishing = False
        if not self.end.endswith("reset"):
            self.end = f"{self.end} reset".lstrip()
