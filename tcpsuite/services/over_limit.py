"""What line services answer to what a limit refuses."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from tcpsuite.core.lines import OVER_LIMIT
from tcpsuite.errors import ProtocolError

if TYPE_CHECKING:
    from tcpsuite.interfaces import Verdict


def check_verdict(verdict: Verdict) -> Verdict:
    """A verdict that allows.

    :raises ProtocolError: ``limit``, with the reason, for what it refuses.
    """
    if not verdict.allowed:
        raise ProtocolError(OVER_LIMIT, _reason(verdict))
    return verdict


def refusal_line(verdict: Verdict) -> bytes:
    """What a line service tells a client whom a limit refuses at the door."""
    return f"ERR {OVER_LIMIT} {_reason(verdict)}\n".encode()


def _reason(verdict: Verdict) -> str:
    again = f"; it may again in {ceil(verdict.retry_after * 1000)} ms" if verdict.retry_after else ""
    return f"{verdict.reason}{again}"
