"""Counts what happens to sessions, and tells who observes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from tcpsuite.core.session_events import EventCounts, Refused
from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from tcpsuite.core.session_events import Event


class SessionJournal:
    """What has happened to the sessions of one manager.

    :param observer: called with each event.
    :ivar counts: how much of each there was.
    """

    log = Logger()

    def __init__(self, observer: Callable[[Event], object] | None = None) -> None:
        self.counts = EventCounts()
        self._observer = observer

    def __repr__(self) -> str:
        return f"<SessionJournal {self.counts!r}>"

    def tell(self, event: Event) -> None:
        """It happened."""
        self.counts.note(event)
        if self._observer is None:
            return
        try:
            self._observer(event)
        except Exception:  # what goes wrong there must not touch the sessions
            self.log.failure("the observer of the sessions is broken")

    def tell_refusal(self, user: str, asked: Deferred[Any]) -> Deferred[Any]:
        """Tell of it, if what ``user`` asked for is refused."""

        def refused(failure: Any) -> Any:
            if failure.check(ProtocolError):
                self.tell(Refused(user, failure.value.code))
            return failure

        return asked.addErrback(refused)
