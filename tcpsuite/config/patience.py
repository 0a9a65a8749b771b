"""What a listener says about slow clients, and has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpsuite.options import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config, ListenerConfig
    from tcpsuite.config.tree import Tree

    Remarks = Iterator[tuple[Path, str]]


def doubts(config: Config, tree: Tree) -> Remarks:
    """Options that say nothing beside others; what is not said is none."""
    for name, listener in config.listeners.items():
        for option, text in _in_vain(listener):
            path = ("listener", name, option)
            if tree.find(path) is not None:
                yield path, text


def _in_vain(listener: ListenerConfig) -> Iterator[tuple[str, str]]:
    idle = listener.idle_timeout
    for option, who in (("first_byte_timeout", "is silent"), ("write_timeout", "takes nothing")):
        if 0 < idle <= getattr(listener, option):
            yield option, f"it never counts: idle_timeout ends who {who} after {format_duration(idle)}"
    if getattr(listener.options, "anonymous", False):
        yield "login_timeout", "nobody has to log in, for anonymous = true"
    if getattr(listener.options, "protocol", "") == "http":
        yield "max_requests_in_hand", "it counts requests in lines; over HTTP one is taken at a time"
