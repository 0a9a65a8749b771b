"""One backend of an upstream, as every decision sees it."""

from __future__ import annotations

from enum import Enum

from attrs import define, field


class Administration(Enum):
    """What an operator wants of a server; it stands above what health says."""

    READY = "ready"  # health decides
    DRAIN = "drain"  # what runs goes on, nothing new comes
    MAINT = "maint"  # as with drain, and it is not checked either


@define(eq=False)
class Server:
    """A server and what is known of it now.

    Balancers read these; the upstream and its parts alone write them, in the same step as their decision, so
    that nobody sees a server that was picked a moment ago as idle.
    """

    name: str
    """The user's name for it, unique within its upstream."""
    address: str
    """A Twisted client endpoint string, ``tcp:10.0.0.1:5432``."""
    weight: float = 1
    """Its share now, 0 to 256; 0 takes no new connections.  Whole, but while a slow start lowers it."""
    up: bool = True
    """What health says.  A server that was not yet checked is up."""
    active: int = 0
    """Its connections now, those being made included."""
    connections: int = 0
    """All connections that were made to it."""
    failures: int = 0
    """Attempts to connect to it that failed."""
    resets: int = 0
    """Connections that it reset, or that were lost on the way to it."""
    connect_seconds: float = 0.0
    """What all connections that were made took to connect, together."""
    last_error: str = field(default="", repr=False)
    """Why the last attempt or check failed; empty when none did."""
    max_connections: int = 0
    """Connections that it takes at once; 0 for no limit."""
    backup: bool = False
    """Whether it is used only while no other server may be."""
    administration: Administration = Administration.READY
    ejected: bool = False
    """Whether real connections failed so often that it takes no new ones for a while."""
    share: float = 1.0
    """The part of its whole weight that a slow start leaves it: ``weight`` is lowered by it already."""

    @property
    def error_rate(self) -> float:
        """The share of attempts and connections that failed by its fault; 0 before the first."""
        tried = self.connections + self.failures
        return (self.failures + self.resets) / tried if tried else 0.0

    @property
    def full(self) -> bool:
        """Whether it has as many connections as it takes."""
        return 0 < self.max_connections <= self.active
