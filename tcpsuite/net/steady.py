"""Time that does not jump."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def steady_time(
    wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """A clock for what lasts: seconds since the epoch, by the wall clock as it stands now.

    Whoever sets that clock later moves nothing: an hour that it leaps over is no hour in which nobody used
    a session.  The next start of the process sees the new time.
    """
    ahead = wall() - monotonic()
    return lambda: monotonic() + ahead


def make_steady(reactor: Any) -> None:
    """Have a reactor that goes by the wall clock, as Twisted's do, go by one that does not jump.

    What was scheduled before stays due when it was.  A reactor that has a clock of its own keeps it.
    """
    if getattr(reactor, "seconds", None) is time.time:
        reactor.seconds = steady_time()
