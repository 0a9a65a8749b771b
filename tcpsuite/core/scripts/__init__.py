"""What a health check says to a server, and what one that is well answers: a module for each protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tcpsuite.core.servers import Server

LIMIT = 16 * 1024
"""Bytes of an answer that are looked at: a greeting or a status is far shorter, a check is no download."""

LONGEST_SHOWN = 100
"""Bytes of a wrong answer that an error shows: it is a line in a log."""


class Unwell(Exception):  # noqa: N818
    """A server has answered, and is not well; ``str`` says why."""


class Script(Protocol):
    """One way to ask.  Keeps no state: any number of checks may share it."""

    parting: bytes
    """What is said to a server that is well, before the connection ends; empty: nothing."""

    def opening(self, server: Server) -> bytes:
        """What is said first; empty when the server speaks first."""

    def heard(self, said: bytes) -> bool:
        """Whether the server is well by what it has ``said`` so far; ``False``: that cannot be known yet.

        :raises Unwell: when it is not, whatever else it may say.
        """


def shown(said: bytes) -> str:
    """An answer as an error shows it: a line, and not all of a long one."""
    return repr(said[:LONGEST_SHOWN])[1:] + ("…" if len(said) > LONGEST_SHOWN else "")


def first_line(said: bytes) -> bytes | None:
    """The first line without its end; ``None`` while that has not come."""
    line, end, _ = said.partition(b"\n")
    return line.rstrip(b"\r") if end else None
