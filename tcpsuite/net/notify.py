"""Tells the service manager how far we are: systemd's notification protocol, sd_notify(3).

A notification is one datagram of ``NAME=value`` lines to the UNIX socket that ``$NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 1.0
"""Seconds that a notification may wait for a service manager whose queue is full; then it is lost."""


@frozen
class Notifier:
    """A line to the service manager.  Nothing it does can fail: who does not listen is not told.

    :ivar address: the path of a UNIX datagram socket, ``@`` first for an abstract one; empty when
        nobody asked for notifications.
    """

    address: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """The line that ``NOTIFY_SOCKET`` names, or a dead one without it."""
        return cls(environ.get("NOTIFY_SOCKET", ""))

    def ready(self, status: str = "") -> None:
        """The start is over: everything listens.  ``status`` is one line for people."""
        self._send("READY=1", f"STATUS={status}")

    def stopping(self, seconds: float, status: str = "") -> None:
        """The end has begun, and may take so many seconds from now before anybody should lose patience."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={seconds * 1_000_000:.0f}", f"STATUS={status}")

    def status(self, status: str) -> None:
        """How things are, in one line for people."""
        self._send(f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        if not self.address.startswith(("/", "@")):
            return
        # A NUL in place of the @ is how Linux spells an abstract name.
        address = self.address.replace("@", "\0", 1) if self.address.startswith("@") else self.address
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.settimeout(PATIENCE)
            line.sendto("\n".join(lines).encode(), address)
