"""Limits that are said to be shared, and are not, or not as they were meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.config.faults import Fault
from tcpsuite.config.lines import format_path
from tcpsuite.options import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config
    from tcpsuite.config.tree import Tree

    Remarks = Iterator[tuple[Path, str]]


def nowhere(tree: Tree) -> Iterator[Fault]:
    """Limits that are shared where nobody says in which Redis."""
    listeners = tree.find(("listener",))
    names = listeners if isinstance(listeners, dict) else ()
    for table in (("limits",), *(("listener", name, "limits") for name in names)):
        path = (*table, "shared")
        if tree.find(path) and not tree.inherited(path) and tree.find(("redis",)) is None:
            origin = tree.origin(path)
            expected = "a table [redis] beside it, which says where they are counted"
            yield Fault(origin.source, origin.line, format_path(path), expected, "none")


def doubts(config: Config, tree: Tree) -> Remarks:
    """Options about shared limits that say nothing, and times that do not fit."""
    told = set()
    for name, listener in config.listeners.items():
        limits, table = listener.limits, ("listener", name, "limits")
        remarks = [("shared", limit, _off(limit)) for limit in limits.shared if not getattr(limits, limit)]
        remarks += [
            ("refuse_when_away", limit, f"{limit} is not among shared, and knows nothing of Redis")
            for limit in limits.refuse_when_away
            if limit not in limits.shared
        ]
        for option, limit, text in remarks:
            path = (*table, option)
            origin = tree.origin(path)
            if (origin, limit) not in told and not (option == "shared" and limits.overrides):
                told.add((origin, limit))  # mostly of [limits], and told once
                yield path, text
    redis = config.redis
    if redis.timeout > redis.lease / 3 and any(each.limits.shared for each in config.listeners.values()):
        lease = format_duration(redis.lease)
        yield (
            ("redis", "timeout"),
            f"longer than a third of lease, {lease}: who waits so long counts as dead",
        )


def _off(limit: str) -> str:
    return f"{limit} is 0, no limit, so there is nothing to share"
