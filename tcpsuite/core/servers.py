"""One backend of an upstream, as every decision sees it."""

from __future__ import annotations

from attrs import define, field


@define(eq=False)
class Server:
    """A server and what is known of it now.

    Balancers read these; the upstream alone writes them, in the same step as its decision, so that nobody
    sees a server that was picked a moment ago as idle.
    """

    name: str
    """The user's name for it, unique within its upstream."""
    address: str
    """A Twisted client endpoint string, ``tcp:10.0.0.1:5432``."""
    weight: int = 1
    """Its share, 0 to 256; 0 takes no new connections."""
    up: bool = True
    """What health says.  A server that was not yet checked is up."""
    active: int = 0
    """Its connections now, those being made included."""
    connections: int = 0
    """All connections that were made to it."""
    failures: int = 0
    """Attempts to connect to it that failed."""
    last_error: str = field(default="", repr=False)
    """Why the last attempt or check failed; empty when none did."""
