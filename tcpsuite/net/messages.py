"""Messages on any stream transport: what speaks in them, and what keeps those that nobody has read."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from tcpsuite.core.messages.framing import LENGTH, MAX_MESSAGE, MessageReader
from tcpsuite.core.messages.outbox import MAX_BYTES, MAX_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.python.failure import Failure

    from tcpsuite.errors import ProtocolError
    from tcpsuite.net.stream import IStreamTransport

AT_ONCE = 64 * 1024
"""Bytes that are collected while a read is handled, before they are given to the transport."""
APART = 16 * 1024
"""A body of so many bytes is not copied behind its head, but sent behind it."""

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """What has come, for whoever asks for it.

    :param rest: called with whether nothing more is to come for now, for too much waits.
    """

    def __init__(
        self,
        rest: Callable[[bool], object],
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._rest = rest
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._asking: deque[Deferred[Item]] = deque()
        self._reason: Failure | None = None
        self.resting = False

    def __repr__(self) -> str:
        return f"<Inbox messages={len(self._items)} asking={len(self._asking)}>"

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, size: int) -> None:
        """One has come."""
        if self._asking:
            self._asking.popleft().callback(item)
            return
        self._items.append((item, size))
        self._bytes += size
        if not self.resting and (len(self._items) >= self._max_messages or self._bytes >= self._max_bytes):
            self.resting = True
            self._rest(True)

    def get(self) -> Deferred[Item]:
        """Fires with the next one; fails as :meth:`close` was told, when there will be none."""
        if self._items:
            item, size = self._items.popleft()
            self._bytes -= size
            if (
                self.resting
                and len(self._items) * 2 <= self._max_messages
                and self._bytes * 2 <= self._max_bytes
            ):
                self.resting = False
                self._rest(False)
            return succeed(item)
        if self._reason is not None:
            return fail(self._reason)
        asking: Deferred[Item] = Deferred(self._asking.remove)
        self._asking.append(asking)
        return asking

    def close(self, reason: Failure) -> None:
        """Nothing more comes; what has come can still be had."""
        self._reason = reason
        asking, self._asking = self._asking, deque()
        for each in asking:
            each.errback(reason)


@implementer(IPushProducer)
class MessageProtocol(Protocol):
    """Speaks in messages.  What is said while some are heard leaves together, behind the last of them.

    A subclass has :meth:`heard` and :meth:`broken`.

    :param max_message: bytes of a message that may come.
    :ivar full: whether the transport asks to be given no more for now.
    """

    transport: IStreamTransport

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self.reader = MessageReader(max_message)
        self.full = False
        self._said: list[bytes] | None = None
        self._said_size = 0
        self._told = False

    def heard(self, messages: list[bytes]) -> None:
        """Messages have come."""
        raise NotImplementedError

    def broken(self, error: ProtocolError) -> None:
        """What came is no message; nothing behind it is."""
        raise NotImplementedError

    def connectionMade(self) -> None:
        """Be the producer of what is said."""
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Parts of messages, or several."""
        messages = self.reader.feed(data)
        if messages:
            self.collect(messages)
        if self.reader.fault is not None and not self._told:
            self._told = True
            self.broken(self.reader.fault)

    def collect(self, messages: list[bytes]) -> None:
        """Have these heard, and what is said meanwhile leave together."""
        with self.together():
            self.heard(messages)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is said meanwhile leaves behind it."""
        if self._said is not None:
            yield
            return
        self._said = []
        try:
            yield
        finally:
            self.flush()
            self._said = None

    def say(self, data: bytes) -> None:
        """Send some bytes of messages."""
        if self._said is None:
            self.transport.write(data)
            return
        self._said.append(data)
        self._said_size += len(data)
        if self._said_size >= AT_ONCE:
            self.flush()

    def say_with(self, head: bytes, body: bytes) -> None:
        """Send a message of two parts."""
        if len(body) < APART:
            self.say(head + body)
        else:
            self.say(head)
            self.say(body)

    def end(self) -> None:
        """Close behind what was said."""
        self.flush()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """The peer takes no more for now."""
        self.full = True

    def resumeProducing(self) -> None:
        """It takes more."""
        self.full = False

    def stopProducing(self) -> None:
        """``connectionLost`` says the same."""

    def flush(self) -> None:
        """Give what was said to the transport."""
        if self._said:
            data = self._said[0] if len(self._said) == 1 else b"".join(self._said)
            self._said.clear()
            self._said_size = 0
            self.transport.write(data)


class MessageStream(MessageProtocol):
    """A stream whose user sends and receives messages of any meaning.

    While a thousand messages, or 8 MiB of them, have come that were not taken, no more are read.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        super().__init__(max_message)
        self._inbox: Inbox[bytes] = Inbox(self._rest)
        self._sending: list[Deferred[None]] = []
        self._closed: Deferred[None] = Deferred()

    def __repr__(self) -> str:
        return f"<MessageStream {self._inbox!r}{' full' if self.full else ''}>"

    def send(self, *messages: bytes) -> Deferred[None]:
        """Send some messages, together.

        :return: fires when there is room for more: at once, or when the peer has taken what waits.
        """
        self.transport.write(b"".join([part for each in messages for part in (LENGTH.pack(len(each)), each)]))
        if not self.full:
            return succeed(None)
        sending: Deferred[None] = Deferred(self._sending.remove)
        self._sending.append(sending)
        return sending

    def receive(self) -> Deferred[bytes]:
        """Fires with the next message; fails as the stream ended, when there will be none."""
        return self._inbox.get()

    def close(self) -> Deferred[None]:
        """Close behind what was sent; fires when the stream is gone."""
        self.end()
        return self._closed

    def heard(self, messages: list[bytes]) -> None:
        """For whoever receives."""
        for message in messages:
            self._inbox.put(message, len(message))

    def broken(self, error: ProtocolError) -> None:
        """A message that is too long."""
        self.transport.abortConnection()

    def resumeProducing(self) -> None:
        """Whoever sends goes on."""
        super().resumeProducing()
        sending, self._sending = self._sending, []
        for each in sending:
            each.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        self._inbox.close(reason)
        sending, self._sending = self._sending, []
        for each in sending:
            each.errback(reason)
        self._closed.callback(None)

    def _rest(self, wanted: bool) -> None:
        transport: Any = self.transport
        (transport.pauseProducing if wanted else transport.resumeProducing)()
