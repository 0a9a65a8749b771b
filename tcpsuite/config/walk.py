"""Every option of a configuration, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast, get_args

import attrs
from attrs import Attribute, frozen

from tcpsuite.config.schema import FILE_KEYS, ListenerConfig, listener_table

if TYPE_CHECKING:
    from tcpsuite.config.lines import Path


@frozen
class Entry:
    """One option: where it stands, what it is, what it says."""

    path: Path
    field: Attribute[Any]
    value: Any


def options_of(cls: Any) -> tuple[Attribute[Any], ...]:
    """The options that a class of the configuration declares, their types resolved."""
    attrs.resolve_types(cls)
    return tuple(field for field in attrs.fields(cls) if field.metadata)


def entries(config: Any, path: Path = ()) -> Iterator[Entry]:
    """The options of ``config`` and of all that is in it, in the order of a file: the plain ones of a table
    before the tables in it.
    """
    owners = {field.name: config for field in options_of(type(config))}
    if isinstance(config, ListenerConfig):
        owners |= {field.name: config.options for field in options_of(type(config.options))}
        fields = options_of(listener_table(cast("Any", type(config.options))))
    else:
        fields = options_of(type(config))
    deep = []
    for field in fields:
        here = (*path, FILE_KEYS.get(field.name, field.name))
        value = getattr(owners[field.name], field.name)
        inner = _inner(value, field.type)
        if inner is None:
            yield Entry(here, field, value)
        else:
            deep += [((*here, *step), child) for step, child in inner]
    for here, child in deep:
        yield from entries(child, here)


def _inner(value: Any, kind: Any) -> list[tuple[Path, Any]] | None:
    """The tables in a value, by the steps that lead to them; ``None`` if it is a plain value."""
    if attrs.has(type(value)):
        return [((), value)]
    if isinstance(value, Mapping) and attrs.has(get_args(kind)[1]):
        return [((name,), child) for name, child in value.items()]
    if isinstance(value, tuple) and value and attrs.has(type(value[0])):
        return [((index,), child) for index, child in enumerate(value)]
    return None
