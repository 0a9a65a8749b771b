"""What the file says of pools: presets that fill in, what no pool can follow, what hardly anybody wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import fields

from tcpsuite.config.faults import Fault
from tcpsuite.config.lines import format_path
from tcpsuite.core.pooling.settings import (
    MESSAGE,
    ON_DEMAND,
    PRESETS,
    SESSION,
    PoolSettings,
    concerns,
    problems,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config
    from tcpsuite.config.tree import Tree
    from tcpsuite.net.pool_options import PoolOptions

    Remarks = Iterator[tuple[Path, str]]

_DEFAULTS = PoolSettings()


def supply_preset(tree: Tree, path: Path) -> None:
    """Fill in what the preset of the pool's table at ``path`` says, and the table does not."""
    name = tree.find((*path, "preset"))
    if isinstance(name, str) and name in PRESETS:
        tree.supply(path, PRESETS[name], f"preset {name}")


def misfits(config: Config, tree: Tree) -> Iterator[Fault]:
    """What cannot be together in a pool, or not with what uses it."""
    relayed: dict[str, str] = {}
    for listener, table in config.listeners.items():
        if table.service == "gateway":
            relayed.setdefault(table.options.upstream, listener)
    for name, upstream in config.upstreams.items():
        path, pool = ("upstream", name, "pool"), upstream.pool
        remarks = [
            (_place(tree, path, problem.names), problem.text)
            for problem in problems(pool.settings())
            if problem.impossible
        ]
        if pool.mode == SESSION and not pool.reset:
            text = "session needs a reset, for the next client must not meet what the last one left"
            remarks.append(((*path, "mode"), text))
        if pool.settings().reuses and name in relayed:
            text = (
                f"{pool.mode} cannot serve listener.{relayed[name]}: a gateway does not see where a client's "
                "last answer ends"
            )
            remarks.append(((*path, "mode"), text))
        for place, text in remarks:
            origin = tree.origin(place)
            yield Fault(origin.source, origin.line, format_path(place), "", text)


def doubts(config: Config, tree: Tree) -> Remarks:
    """What makes little sense in a pool, or says nothing in its mode."""
    for name, upstream in config.upstreams.items():
        path, pool = ("upstream", name, "pool"), upstream.pool
        settings = pool.settings()
        for problem in problems(settings):
            yield _place(tree, path, problem.names), problem.text
        for server in upstream.servers:
            if 0 < server.max_connections < settings.kept:
                text = (
                    f"min_connections ({settings.kept}) is over the max_connections of server {server.name} "
                    f"({server.max_connections})"
                )
                yield _place(tree, path, ("min_connections",)), text
        for option in _silent(pool):
            if not tree.inherited((*path, option)):
                yield (*path, option), f"it says nothing with mode {pool.mode}"


def _place(tree: Tree, path: Path, names: tuple[str, ...]) -> Path:
    """The first of these options that was given, and not by a preset; else the table."""
    places = ((*path, name) for name in names)
    return next((place for place in places if tree.given(place) and not tree.inherited(place)), path)


def _silent(pool: PoolOptions) -> Iterator[str]:
    """What was changed, and concerns other modes alone."""
    if pool.mode == ON_DEMAND and pool.preset:
        yield "preset"
    for own in fields(PoolSettings):
        if getattr(pool, own.name) != getattr(_DEFAULTS, own.name) and not concerns(own.name, pool.mode):
            yield own.name
    if pool.reset and pool.mode != SESSION:
        yield "reset"
    if pool.validate and pool.mode not in (SESSION, MESSAGE):
        yield "validate"
