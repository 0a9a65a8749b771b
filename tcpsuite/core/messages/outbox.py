"""What waits to be sent, in order, while there is no connection or it takes no more."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Generic, TypeVar

from tcpsuite.errors import OutOfResources

MAX_MESSAGES = 1000
MAX_BYTES = 8 * 1024**2
"""What may wait for a connection: some seconds of it, and never much of the memory."""

Item = TypeVar("Item")


class WhenFull(Enum):
    """What becomes of a message for which there is no room."""

    BLOCK = "block"  # who sends waits
    DROP_OLDEST = "drop_oldest"
    FAIL = "fail"


class Outbox(Generic[Item]):
    """A queue with a bound on how many messages wait, and on their bytes.

    :param when_full: what becomes of one more.
    """

    def __init__(
        self,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        when_full: WhenFull = WhenFull.BLOCK,
    ) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.when_full = when_full
        self.dropped = 0
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._outside: deque[tuple[Item, int]] = deque()  # they wait for room

    def __repr__(self) -> str:
        return f"<Outbox messages={len(self._items)} bytes={self._bytes} outside={len(self._outside)}>"

    def __len__(self) -> int:
        return len(self._items) + len(self._outside)

    def put(self, item: Item, size: int) -> tuple[bool, list[Item]]:
        """One message more.

        :return: whether it is in; if not, it waits outside until :meth:`get` has made room.  And those that
            were dropped for it.
        :raises OutOfResources: when there is no room for it, and it is not to wait.
        """
        dropped: list[Item] = []
        if self._outside or not self._has_room(size):
            if self.when_full is WhenFull.BLOCK:
                self._outside.append((item, size))
                return False, dropped
            if self.when_full is WhenFull.FAIL:
                raise OutOfResources(f"{len(self._items)} messages wait to be sent already")
            while self._items and not self._has_room(size):
                oldest, its_size = self._items.popleft()
                self._bytes -= its_size
                dropped.append(oldest)
            self.dropped += len(dropped)
        self._items.append((item, size))
        self._bytes += size
        return True, dropped

    def put_first(self, items: list[tuple[Item, int]]) -> None:
        """Have these sent before all others, in their order.  They had room before, and need none."""
        self._items.extendleft(reversed(items))
        self._bytes += sum(size for _, size in items)

    def get(self) -> tuple[Item | None, list[Item]]:
        """The next one, and those that came in from outside for it; ``None`` when nothing waits."""
        if not self._items:
            return None, []
        item, size = self._items.popleft()
        self._bytes -= size
        came: list[Item] = []
        while self._outside and self._has_room(self._outside[0][1]):
            self._items.append(self._outside.popleft())
            self._bytes += self._items[-1][1]
            came.append(self._items[-1][0])
        return item, came

    def remove(self, item: Item) -> bool:
        """Have it not sent, if it waits; tells whether it did."""
        for queue in (self._items, self._outside):
            for place, (each, size) in enumerate(queue):
                if each is item:
                    del queue[place]
                    self._bytes -= size if queue is self._items else 0
                    return True
        return False

    def clear(self) -> list[Item]:
        """Nothing waits any more; what did."""
        items = [item for item, _ in (*self._items, *self._outside)]
        self._items.clear()
        self._outside.clear()
        self._bytes = 0
        return items

    def _has_room(self, size: int) -> bool:
        # The first one always has: else one that is larger than all would wait for ever.
        return not self._items or (
            len(self._items) < self.max_messages and self._bytes + size <= self.max_bytes
        )
