"""A configuration as it is in force, written as TOML that loads again, with the origin of every value."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tcpsuite.config.lines import Path, format_key, quote
from tcpsuite.config.structure import MASK
from tcpsuite.config.walk import entries
from tcpsuite.options import Duration, Endpoints, Secret, Size, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tcpsuite.config.loading import Loaded
    from tcpsuite.config.walk import Entry


def show(loaded: Loaded) -> str:
    """Every option that is in force.  Secrets are left out; a comment says that there is one."""
    return "\n".join(_lines(loaded)) + "\n"


def format_value(value: Any, kind: Any) -> str:
    """A value of an option of this type as a file writes it."""
    if kind is Duration:
        return quote(format_duration(value))
    if kind is Size:
        return quote(format_size(value))
    if kind is Endpoints and len(value) < 2:
        return quote("".join(value))
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case tuple() | list():
            return f"[{', '.join(format_value(element, None) for element in value)}]"
        case Mapping():
            pairs = (f"{format_key(key)} = {format_value(each, None)}" for key, each in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case Enum():
            return format_value(value.value, None)
    return quote(str(value))


def _lines(loaded: Loaded) -> Iterator[str]:
    for table, options in groupby(entries(loaded.config), key=lambda entry: entry.path[:-1]):
        if table:
            yield ""
            yield _header(table)
        for entry in options:
            yield _line(
                entry, str(loaded.tree.origin(entry.path) if loaded.tree.given(entry.path) else "default")
            )


def _line(entry: Entry, origin: str) -> str:
    key = format_key(str(entry.path[-1]))
    if entry.field.type is Secret and entry.value:
        return f"# {key} = {quote(MASK)}  # {origin}; a secret, not shown"
    return f"{key} = {format_value(entry.value, entry.field.type)}  # {origin}"


def _header(table: Path) -> str:
    """``[upstream.pg.pool]``, or ``[[upstream.pg.servers]]`` for an element of a list of tables."""
    keys = ".".join(format_key(step) for step in table if isinstance(step, str))
    return f"[[{keys}]]" if isinstance(table[-1], int) else f"[{keys}]"
