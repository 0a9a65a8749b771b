"""What the limits of each listener have refused, and who uses most of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import asdict

from tcpsuite.core.connections import Totals
from tcpsuite.core.metrics import Family, Kind, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tcpsuite.admin.status import SuiteView

NUMBER = 10
"""Keys of each limit that are told unless somebody asks for more: what fits on a screen."""
MOST = 1000
"""Keys that are told at most."""


class SharedLimitsView(Protocol):
    """What is looked at of a :class:`tcpsuite.stores.redis.limits.RedisLimits`."""

    def figures(self) -> dict[str, Any]: ...


def limits_data(suite: SuiteView, number: int, now: float) -> dict[str, Any]:
    """All of it as plain data, by listener.

    :param number: keys that are told of each limit, at most.
    """
    totals = suite.ledger.by_listener()
    sharing = shared_data(suite.shared_limits)
    found = {}
    for name, limiter in suite.limiters.items():
        sums = totals.get(name, Totals())
        found[name] = {
            "limits": asdict(suite.config.listeners[name].limits),
            "overrides": len(limiter.overrides),
            "refused": dict(sums.refused),
            "refused_requests": dict(sums.refused_requests),
            "would_refuse": dict(sums.would_refuse),
            "shared": {
                **sharing,
                "reserved": {limit: round(table.reserved, 3) for limit, table in tables.items()},
            }
            if (tables := limiter.shared.given)
            else {},
            "top": [{**asdict(use), "used": round(use.used, 3)} for use in limiter.top(number, now)],
        }
    return {"listeners": found}


def shared_data(shared: SharedLimitsView | None) -> dict[str, Any]:
    """How this process stands with those that it shares limits with; empty when it shares none."""
    return {} if shared is None else shared.figures()


def shared_families(told: Mapping[str, Any]) -> Iterator[Family]:
    """The same as metrics."""
    if not told:
        return
    alone = Sample(int(told["alone_for"] is not None))
    yield Family(
        "tcpsuite_limits_alone",
        Kind.GAUGE,
        "Whether this process counts shared limits alone, as Redis is away or does not know: 1 or 0.",
        [alone],
    )
    yield Family(
        "tcpsuite_limits_others",
        Kind.GAUGE,
        "Other processes that share limits with this one, as last heard.",
        [Sample(told["others"])],
    )
    yield Family(
        "tcpsuite_limits_questions_total",
        Kind.COUNTER,
        "How often Redis was asked about shared limits.",
        [Sample(told["questions"])],
    )
