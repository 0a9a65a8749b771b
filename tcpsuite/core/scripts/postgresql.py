"""PostgreSQL: whether it would speak TLS, the one question that it answers to anybody.

The question is asked before a name or a database is, so that a check needs neither and leaves no line in the
log of a server without TLS.  One that has TLS logs that the handshake did not follow.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tcpsuite.core.scripts import Unwell, shown

if TYPE_CHECKING:
    from tcpsuite.core.servers import Server

SSL_REQUEST = struct.pack("!II", 8, 80877103)
"""The length of the packet and the code that stands for a protocol version (Message Formats, SSLRequest)."""


class PostgreSQL:
    """Well is who answers yes or no.

    That is its postmaster: whether the database behind it is still starting is not asked.
    """

    parting = b""

    def __repr__(self) -> str:
        return "<PostgreSQL>"

    def opening(self, server: Server) -> bytes:
        """The question."""
        return SSL_REQUEST

    def heard(self, said: bytes) -> bool:
        """One byte, and nothing behind it: who says ``No such service`` is another program."""
        if said in (b"S", b"N"):
            return True
        if said:
            raise Unwell(f"answered {shown(said)}")
        return False
