"""SMTP: the greeting."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tcpsuite.core.scripts import Unwell, shown

if TYPE_CHECKING:
    from tcpsuite.core.servers import Server

_LINE = re.compile(rb"220(?:[ -]|\s*$)")


class SMTP:
    """Well is who greets with 220, in one line or several.  It is left with QUIT, as is polite."""

    parting = b"QUIT\r\n"

    def __repr__(self) -> str:
        return "<SMTP>"

    def opening(self, server: Server) -> bytes:
        """The server speaks first."""
        return b""

    def heard(self, said: bytes) -> bool:
        """All lines must be of code 220; the last one has no hyphen behind it."""
        *lines, _ = said.split(b"\n")
        for line in lines:
            if not _LINE.match(line):
                raise Unwell(f"greeted with {shown(line.rstrip())}")
            if line[3:4] != b"-":
                return True
        return False
