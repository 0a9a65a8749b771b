"""What the limits of each listener have refused, and who uses most of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from tcpsuite.core.connections import Totals

if TYPE_CHECKING:
    from tcpsuite.admin.status import SuiteView

NUMBER = 10
"""Keys of each limit that are told unless somebody asks for more: what fits on a screen."""
MOST = 1000
"""Keys that are told at most."""


def limits_data(suite: SuiteView, number: int, now: float) -> dict[str, Any]:
    """All of it as plain data, by listener.

    :param number: keys that are told of each limit, at most.
    """
    totals = suite.ledger.by_listener()
    found = {}
    for name, limiter in suite.limiters.items():
        sums = totals.get(name, Totals())
        found[name] = {
            "limits": asdict(suite.config.listeners[name].limits),
            "overrides": len(limiter.overrides),
            "refused": dict(sums.refused),
            "refused_requests": dict(sums.refused_requests),
            "would_refuse": dict(sums.would_refuse),
            "top": [{**asdict(use), "used": round(use.used, 3)} for use in limiter.top(number, now)],
        }
    return {"listeners": found}
