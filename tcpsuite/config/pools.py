"""What the file says of pools: presets that fill in, what no pool can follow, what hardly anybody wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields

from tcpsuite.config.faults import Fault
from tcpsuite.config.lines import format_path
from tcpsuite.core.pooling.settings import (
    ON_DEMAND,
    PRECONNECT,
    PRESETS,
    SESSION,
    PoolSettings,
    concerns,
    problems,
)
from tcpsuite.net.pool_options import HOOKS, PoolOptions
from tcpsuite.options import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cattrs import Converter

    from tcpsuite.config.lines import Path
    from tcpsuite.config.schema import Config
    from tcpsuite.config.tree import Tree

    Remarks = Iterator[tuple[Path, str]]

_DEFAULTS = PoolSettings()
_CLEANERS = {"reset", "provider"}
_CLIENTS = "how many clients a server has is bounded by its own max_connections"


def supply_preset(tree: Tree, path: Path) -> None:
    """Fill in what the preset of the pool's table at ``path`` says, and the table does not."""
    name = tree.find((*path, "preset"))
    if isinstance(name, str) and name in PRESETS:
        tree.supply(path, PRESETS[name], f"preset {name}")


def misfits(tree: Tree, structure: Converter) -> Iterator[Fault]:
    """What cannot be together in a pool, or not with what uses it, however much else is wrong with the file.

    :param structure: reads options; those that it cannot read are told of elsewhere.
    """
    relayed = {
        str(table["upstream"]): listener
        for listener, table in reversed(_tables(tree, "listener"))
        if table.get("service") == "gateway" and isinstance(table.get("upstream"), str)
    }
    for name, upstream in _tables(tree, "upstream"):
        path, (pool, unread) = ("upstream", name, "pool"), _read(upstream.get("pool", {}), structure)
        if unread & {"mode", "preset"}:
            continue  # everything depends on these
        remarks = [
            (_place(tree, path, problem.names), problem.text)
            for problem in problems(pool.settings())
            if problem.impossible and unread.isdisjoint(problem.names)
        ]
        if pool.mode == SESSION and not (pool.reset or pool.provider) and unread.isdisjoint(_CLEANERS):
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


def _tables(tree: Tree, key: str) -> list[tuple[str, dict[str, Any]]]:
    """The tables of this name that are tables, by their own names."""
    found = tree.find((key,))
    named = found.items() if isinstance(found, dict) else ()
    return [(name, table) for name, table in named if isinstance(table, dict)]


def _read(table: Any, structure: Converter) -> tuple[PoolOptions, set[str]]:
    """The options of a pool, and which of them cannot be read."""
    given = table if isinstance(table, dict) else {}
    unread = {name for name in given if not _fits({name: given[name]}, structure)}
    good = {name: value for name, value in given.items() if name not in unread}
    return structure.structure(good, PoolOptions), unread


def _fits(table: dict[str, Any], structure: Converter) -> bool:
    try:
        structure.structure(table, PoolOptions)
    except (ExceptionGroup, OptionError):
        return False
    return True


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
        for option, text in () if pool.provider else _silent(pool):
            if not tree.inherited((*path, option)):
                yield (*path, option), text


def _place(tree: Tree, path: Path, names: tuple[str, ...]) -> Path:
    """The first of these options that was given, and not by a preset; else the table."""
    places = ((*path, name) for name in names)
    return next((place for place in places if tree.given(place) and not tree.inherited(place)), path)


def _silent(pool: PoolOptions) -> Iterator[tuple[str, str]]:
    """What was changed and does not do what one may think of it, and why."""
    nothing = f"it says nothing with mode {pool.mode}"
    if pool.mode == ON_DEMAND and pool.preset:
        yield "preset", nothing
    for own in fields(PoolSettings):
        if getattr(pool, own.name) == getattr(_DEFAULTS, own.name):
            continue
        if not concerns(own.name, pool.mode):
            more = f": {_CLIENTS}" if own.name == "max_connections" else ""
            yield own.name, nothing + more
        elif (
            own.name == "max_connections"
            and pool.mode == PRECONNECT
            and pool.max_connections > pool.min_connections
        ):
            yield own.name, f"no more than min_connections ({pool.min_connections}) are kept warm: {_CLIENTS}"
    for option, modes in HOOKS.items():
        if getattr(pool, option) and pool.mode not in modes:
            yield option, nothing
