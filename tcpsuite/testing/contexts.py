"""What a service is built with, for the tests of services."""

from __future__ import annotations

from typing import Any

from attrs import Factory, frozen
from zope.interface import implementer

from tcpsuite.interfaces import IServiceContext
from tcpsuite.net.deadlines import Deadlines


@implementer(IServiceContext)
@frozen
class FakeContext:
    """A context that has what a test gives it, and nothing else."""

    reactor: Any = None
    listener: str = "test"
    limits: Any = None
    allow_plaintext: bool = False
    upstreams: dict[str, Any] = Factory(dict)
    session_manager: Any = None
    known_users: Any = None

    @property
    def deadlines(self) -> Deadlines:
        """Deadlines on the ``reactor``."""
        return Deadlines(self.reactor)

    def upstream(self, name: str) -> Any:
        """One of ``upstreams``."""
        return self.upstreams[name]

    def sessions(self) -> Any:
        """The ``session_manager``."""
        return self.session_manager

    def authenticator(self) -> Any:
        """Who tells ``known_users``."""
        return self.known_users
