"""The raw configuration: what several sources say, laid over each other, and who said what."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from tcpsuite.config.faults import DEFAULT, Origin
from tcpsuite.config.lines import Path

if TYPE_CHECKING:
    from collections.abc import Mapping


class Text(str):
    """A string, and how it was written.

    :ivar directory: where a relative path is taken from.
    :ivar loose: it came from the environment or the command line, where everything is a string: it may stand
        for a number or a truth value.
    """

    __slots__ = ("directory", "loose")
    directory: str
    loose: bool

    def __new__(cls, value: str, directory: str, loose: bool = False) -> Text:
        """``value``, with what is known of it."""
        text = super().__new__(cls, value)
        text.directory = directory
        text.loose = loose
        return text


class Tree:
    """Tables, lists and values by path; later sources go over earlier ones, key by key.

    Lists are values: a later list takes the place of an earlier one.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._origins: dict[Path, Origin] = {}
        self._inherited: set[Path] = set()

    def origin(self, path: Path) -> Origin:
        """Who gave what stands at ``path``, or else the table that it would stand in."""
        while path not in self._origins and path:
            path = path[:-1]
        return self._origins.get(path, DEFAULT)

    def given(self, path: Path) -> bool:
        """Whether some source has said something at ``path``."""
        return path in self._origins

    def lay(self, table: dict[str, Any], lines: dict[Path, int], source: str, directory: str) -> None:
        """Lay a file's content over what is there."""

        for key, value in _written(table, directory, loose=False).items():
            self._lay(self.values, key, value, (key,), lines, source)

    def put(self, path: Path, text: str, source: str, directory: str) -> None:
        """Put one value, given as text, over what is there; what TOML reads as a list or a table is one.

        Names are found whatever their case, and with ``_`` for ``-``: environment variables know no better.
        A number counts the elements of a list.

        :raises LookupError: when the path leads into a value, or to an element that is not there.
        """
        here: Any = self.values
        found: Path = ()
        for step in path[:-1]:
            key = _key(here, step)
            found = (*found, key)
            if isinstance(here, dict):
                here.setdefault(key, {})
            self._origins.setdefault(found, Origin(source))
            here = here[key]
        key = _key(here, path[-1])
        try:
            value = read_value(text)
        except ValueError:
            value = text
        value = _written(value if isinstance(value, dict | list) else text, directory, loose=True)
        self._lay(here, key, value, (*found, key), {}, source)

    def inherit(self, path: Path, table: Path) -> None:
        """What is not said in the table at ``path`` is as in the one at ``table``."""
        parent, theirs = self.find(path[:-1]), self.find(table)
        if not isinstance(parent, dict) or not isinstance(theirs, dict):
            return
        ours = parent.setdefault(path[-1], {})
        if isinstance(ours, dict):
            for key in theirs.keys() - ours.keys():
                ours[key] = theirs[key]
                self._origins[*path, key] = self.origin((*table, key))
                self._inherited.add((*path, key))

    def supply(self, path: Path, values: Mapping[str, Any], source: str) -> None:
        """What is not said in the table at ``path`` is as in ``values``."""
        table = self.find(path)
        assert isinstance(table, dict)
        for key in values.keys() - table.keys():
            table[key] = values[key]
            self._origins[*path, key] = Origin(source)
            self._inherited.add((*path, key))

    def inherited(self, path: Path) -> bool:
        """Whether what stands at ``path`` was said elsewhere, and inherited."""
        return path in self._inherited

    def find(self, path: Path) -> Any:
        """What stands at ``path``; ``None`` when nothing does."""
        here: Any = self.values
        for step in path:
            try:
                here = here[step]
            except (LookupError, TypeError):
                return None
        return here

    def _lay(
        self, here: Any, key: str | int, value: Any, path: Path, lines: dict[Path, int], source: str
    ) -> None:
        """Lay ``value`` over what ``here`` has under ``key``: a table key by key, all else as a whole."""
        old = here.get(key) if isinstance(here, dict) else here[key]
        if isinstance(value, dict) and isinstance(old, dict):
            for step, child in value.items():
                self._lay(old, step, child, (*path, step), lines, source)
            return
        self._forget(path)
        here[key] = value
        for deep in _paths(value, path):
            self._origins[deep] = Origin(source, lines.get(deep, 0))

    def _forget(self, path: Path) -> None:
        for known in [known for known in self._origins if known[: len(path)] == path]:
            del self._origins[known]


def read_value(text: str) -> Any:
    """What ``text`` means where TOML has a value.

    :raises ValueError: when it is no TOML, more than one value, or too much of it.
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise ValueError("lists and tables nested too deep") from None
    if len(table) != 1:
        raise ValueError("more than one value")
    return table["value"]


def _written(value: Any, directory: str, loose: bool) -> Any:
    match value:
        case str():
            return Text(value, directory, loose)
        case dict():
            return {key: _written(child, directory, loose) for key, child in value.items()}
        case list():
            return [_written(child, directory, loose) for child in value]
    return value


def _paths(value: Any, path: Path) -> list[Path]:
    children: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(deep for step, child in children for deep in _paths(child, (*path, step)))]


def _key(here: Any, step: str | int) -> Any:
    """The key or index by which ``here`` knows ``step``."""
    match here:
        case dict():
            return _spelling(str(step), here)
        case list() if str(step).isdecimal() and int(step) < len(here):
            return int(step)
        case list():
            raise LookupError(f"{step} where a list has elements 0 to {len(here) - 1}")
    raise LookupError(f"{step} inside of a value")


def _spelling(step: str, table: dict[str, Any]) -> str:
    if step in table:
        return step

    def plain(key: str) -> str:
        return key.lower().replace("-", "_")

    return next((key for key in table if plain(key) == plain(step)), step)
