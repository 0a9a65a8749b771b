"""How long clients are waited for where they speak first: other defaults for what every listener has."""

from __future__ import annotations

from tcpsuite.options import Duration

FIRST_BYTE_TIMEOUT = Duration(10.0)
"""Seconds: who comes to ask begins at once, or holds a place for nothing."""
FIRST_BYTE = (
    "A client that has sent nothing so long after it was accepted is cut; over TLS there are 10 s for the "
    "handshake in its place; 0: never."
)

IDLE_TIMEOUT = Duration(60.0)
"""Seconds: shorter than where either side may be silent for good reasons."""
IDLE = "A connection on which nothing moves for so long is ended; 0 never ends one."
