"""What a client of the message service is told."""

from __future__ import annotations

from attrs import frozen

from tcpsuite.core.messages.framing import MAX_MESSAGE
from tcpsuite.core.messages.outbox import MAX_BYTES, MAX_MESSAGES, WhenFull


@frozen
class ClientOptions:
    """How a client behaves; times in seconds."""

    timeout: float = 30.0
    """Until a request has failed that was not answered, unless it names a time of its own; 0 for any time."""
    connect_timeout: float = 10.0
    first_wait: float = 0.1
    """Until it is connected again, at most: chance takes a part.  Each failure doubles it."""
    longest_wait: float = 30.0
    healthy: float = 30.0
    """A connection that has lasted so long was well: when it is lost the first wait is the first again."""
    queue_messages: int = MAX_MESSAGES
    """Messages that wait while there is no connection, or while it takes no more."""
    queue_bytes: int = MAX_BYTES
    when_full: WhenFull = WhenFull.BLOCK
    """What becomes of one more."""
    large: int = 64 * 1024
    """A request with a longer body has a stream, or connection, of its own: no small one waits behind it."""
    connections: int = 4
    """Streams, or connections, for such requests, at most; who comes while all are in use waits."""
    max_message: int = MAX_MESSAGE
    """Bytes of a message that the service may send."""
    sign_of_life: float = 60.0
    """So often something is said, so that a quiet client is not taken for one that has gone; 0: never."""
