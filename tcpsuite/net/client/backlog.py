"""Requests and notes that wait for the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed

from tcpsuite.core.messages.outbox import Outbox
from tcpsuite.errors import Closed, OutOfResources
from tcpsuite.net.client.lane import Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tcpsuite.net.client.lane import Lane
    from tcpsuite.net.client.options import ClientOptions


class Notes:
    """Notes that wait to be sent.

    :ivar taken: fires when there is room for them; ``None`` when there was from the start.
    """

    __slots__ = ("data", "taken")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.taken: Deferred[None] | None = None


class Backlog:
    """All that waits, in order.

    :param dropped: called with each request that was dropped for later ones.
    """

    def __init__(self, options: ClientOptions, dropped: Callable[[Asked], object]) -> None:
        self._outbox: Outbox[Any] = Outbox(options.queue_messages, options.queue_bytes, options.when_full)
        self._dropped = dropped
        self.remove = self._outbox.remove

    def __repr__(self) -> str:
        return f"<Backlog {self._outbox!r}>"

    def __len__(self) -> int:
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """How many messages were dropped for later ones."""
        return self._outbox.dropped

    def put_notes(self, data: bytes) -> Deferred[None]:
        """Fires when there is room for them; fails when there is none, and nobody is to wait for it."""
        notes = Notes(data)
        try:
            inside = self._put(notes, len(data))
        except OutOfResources:
            return fail()
        if inside:
            return succeed(None)

        def give_up(_: Deferred[None]) -> None:
            self.remove(notes)

        notes.taken = Deferred(give_up)
        return notes.taken

    def put(self, asked: Asked) -> None:
        """A request.

        :raises OutOfResources: when there is no room, and nobody is to wait for it.
        """
        self._put(asked, len(asked.body))

    def put_first(self, asked: list[Asked]) -> None:
        """Requests that are sent once more."""
        self._outbox.put_first([(each, len(each.body)) for each in asked])

    def send(self, lane: Lane, ask: Callable[[Asked], object]) -> None:
        """Send what waits, while the lane takes it; ``ask`` sends a request."""
        with lane.together():
            while self._outbox and not (lane.full or lane.retired):
                item, came = self._outbox.get()
                if isinstance(item, Notes):
                    lane.say(item.data)
                elif item is not None:
                    ask(item)
                for each in came:
                    if isinstance(each, Notes) and each.taken is not None:
                        each.taken.callback(None)

    def clear(self) -> None:
        """Nothing is sent any more: who waits for room hears of it."""
        for item in self._outbox.clear():
            if isinstance(item, Notes) and item.taken is not None:
                item.taken.errback(Closed("the client was closed"))

    def _put(self, item: Asked | Notes, size: int) -> bool:
        inside, dropped = self._outbox.put(item, size)
        for each in dropped:
            if isinstance(each, Asked):
                self._dropped(each)
        return inside
