"""How long clients are waited for where they speak first, and how much they may ask at once.

The options are other defaults for what every listener has, and some that only such services have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.options import Duration

if TYPE_CHECKING:
    from tcpsuite.net.deadlines import Deadlines

FIRST_BYTE_TIMEOUT = Duration(10.0)
"""Seconds: who comes to ask begins at once, or holds a place for nothing."""
FIRST_BYTE = (
    "A client that has sent nothing so long after it was accepted is cut; over TLS there are 10 s for the "
    "handshake in its place; 0: never."
)

READ_TIMEOUT = Duration(30.0)
"""Seconds: a request is a line or some headers, which the worst of networks brings sooner."""
READ = (
    "A client whose request is not complete so long after its first byte is cut; a body has so long too, and "
    "1 s more for each KiB that has come; 0: never."
)

WRITE_TIMEOUT = Duration(30.0)
"""Seconds: a packet is sent again several times in these."""
WRITE = "A client that takes nothing for so long of what is sent to it is cut; 0: never."

IDLE_TIMEOUT = Duration(60.0)
"""Seconds: shorter than where either side may be silent for good reasons."""
IDLE = "A connection on which nothing moves for so long is ended; 0 never ends one."

MAX_REQUESTS_IN_HAND = 1000
"""More than any client asks ahead that reads its answers."""
REQUESTS_IN_HAND = (
    "Requests in lines of one connection that may wait for their answers; past it each is refused; 0: no "
    "limit."
)


@frozen
class Patience:
    """What the connections of one listener have in common.

    :ivar deadlines: keeps all their time-outs.
    :ivar read_timeout: seconds from the first byte of a request to its last; 0 for any time.
    :ivar max_requests_in_hand: requests of one connection that may wait for their answers; 0 for any number.
    """

    deadlines: Deadlines
    read_timeout: float = READ_TIMEOUT
    max_requests_in_hand: int = MAX_REQUESTS_IN_HAND
