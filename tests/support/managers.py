"""A session manager, and a store that answers when it is told."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tcpsuite.core.sessions import Session, digest_of
from tcpsuite.errors import ProtocolError
from tcpsuite.interfaces import ISessionStore
from tcpsuite.net.session_data import LiveSession
from tcpsuite.net.session_options import SessionRules
from tcpsuite.net.sessions import SessionManager
from tcpsuite.options import Duration, Size
from tcpsuite.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tcpsuite.core.session_events import Event
    from tcpsuite.net.session_connections import SessionConnections


@implementer(ISessionStore)
class SlowStore(MemoryStore):
    """A memory store that answers when it is told, in the order of the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = False
        self.asked: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def _answer(self, work: Callable[[], Any]) -> Deferred[Any]:
        if not self.slow:
            return super()._answer(work)
        done: Deferred[Any] = Deferred()
        self.asked.append((work, done))
        return done

    def answer(self, *, error: Exception | None = None) -> None:
        """Do the first thing that was asked, or fail it."""
        work, done = self.asked.pop(0)
        if error is None:
            execute(work).chainDeferred(done)
        else:
            done.errback(error)


class ManagerCase(SynchronousTestCase):
    """A manager, and a store that answers when it is told."""

    settings: Mapping[str, Any] = MappingProxyType({})
    """What else stands in the options."""

    def setUp(self) -> None:
        """A manager whose clock stands at noon of some day."""
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.store = SlowStore()
        self.chance = iter(range(256))
        self.events: list[Event] = []
        self.manager = self.make_manager()
        self.addCleanup(self.manager.stop)

    def make_manager(self, connections: SessionConnections | None = None) -> SessionManager:
        """A manager of the store."""
        return SessionManager(
            self.store,
            self.clock,
            SessionRules(
                idle_timeout=Duration(100.0),
                sweep_interval=Duration(10.0),
                max_sessions=3,
                max_keys=2,
                max_bytes=Size(20),
                **self.settings,
            ),
            connections=connections,
            observer=self.events.append,
            random_bytes=lambda length: bytes([next(self.chance)]) * length,
            now=self.clock.seconds,
        )

    def opened(self, user: str = "alice") -> tuple[str, LiveSession]:
        """A new session."""
        return self.successResultOf(self.manager.create(user))

    def resumed(self, session_id: str, user: str = "alice") -> LiveSession:
        """A session that is there."""
        return self.successResultOf(self.manager.resume(session_id, user))

    def refused(self, asked: Deferred[Any]) -> str:
        """The code of the refusal."""
        error = self.failureResultOf(asked, ProtocolError).value
        assert isinstance(error, ProtocolError)
        return error.code

    def value(self, live: LiveSession, key: str) -> str | None:
        """What a key holds."""
        return self.successResultOf(self.manager.get(live, key))

    def stored(self, session_id: str) -> Session | None:
        """What the store holds."""
        return self.successResultOf(self.store.get(digest_of(session_id)))
