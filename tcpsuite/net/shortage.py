"""When it is this process or machine that has run out of something: that says nothing of any server."""

from __future__ import annotations

from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from tcpsuite.net.seldom import Seldom

if TYPE_CHECKING:
    from twisted.python.failure import Failure

_SHORTAGES = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})


def is_shortage(failure: Failure) -> bool:
    """Whether an attempt to connect failed for want of a descriptor, a buffer or memory of our own."""
    error = failure.value
    return getattr(error, "osError", getattr(error, "errno", None)) in _SHORTAGES


class Complaints:
    """Says in the log what is short, and not too often.

    :param upstream: its name, for the log.
    :param clock: an ``IReactorTime``.
    """

    log = Logger()

    def __init__(self, upstream: str, clock: Any) -> None:
        self._upstream = upstream
        self._seldom = Seldom(clock)

    def complain(self, error: str) -> None:
        """An attempt failed so."""
        if self._seldom.says("shortage"):
            self.log.error(
                "{upstream}: no connection can be made from here: {error}; its servers are not blamed",
                upstream=self._upstream,
                error=error,
            )
