"""Which line of a TOML text does a key stand on?  ``tomllib`` does not say; messages for people want it.

The text has passed ``tomllib`` already, so this reads only what tells keys from values: it knows the shapes
of TOML 1.0 and judges nothing.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: ``("upstream", "pg", "servers", 1, "address")``."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_STEP = re.compile(
    r"""(?:^|(?<=.)\.)(?P<key>[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')|(?<=.)\[(?P<index>\d+)\]"""
)
_STRINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r'"""(?:\\.|[^\\])*?"{3,5}',  # up to two quotes may stand before the closing three
        r"'''.*?'{3,5}",
        r'"(?:\\.|[^"\\])*"',
        r"'[^']*'",
    )
)


def scan(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every key, table and array element of a valid TOML text."""
    return _Scan(text).document()


def parse_key(text: str) -> Path:
    """The path that ``text`` writes: dotted, quoted where TOML would quote, with array indices in brackets.

    :raises ValueError: when it is no such path.
    """
    path: list[str | int] = []
    end = 0
    while match := _STEP.match(text, end):
        end = match.end()
        path.append(int(match["index"]) if match["index"] else _unquote(match["key"]))
    if end < len(text) or not path:
        raise ValueError(text)
    return tuple(path)


def format_path(path: Path) -> str:
    """How people write a path: ``upstream.pg.servers[1].address``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + format_key(step)
    return text


def format_key(key: str) -> str:
    """A key as TOML writes it: quoted unless it is bare."""
    return key if _BARE_KEY.fullmatch(key) else quote(key)


def quote(text: str) -> str:
    """A TOML basic string."""
    return '"' + re.sub(r'[\x00-\x1f\x7f"\\]', _escape, text) + '"'


def _unquote(key: str) -> str:
    return str(tomllib.loads(f"key = {key}")["key"]) if key[0] in "\"'" else key


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return "\\" + char if char in '"\\' else f"\\u{ord(char):04x}"


class _Scan:
    def __init__(self, text: str) -> None:
        self.pos = 0
        self._text = text
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._lines: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}  # how many tables each array of tables has so far

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank() < len(self._text):
            if self._text.startswith("[", self.pos):
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _key(self) -> Path:
        """A dotted key, from its first part to behind its last."""
        parts = [self._key_part()]
        while self._after_spaces("."):
            self.pos += 1
            self._skip_blank()
            parts.append(self._key_part())
        return tuple(parts)

    def _header(self) -> Path:
        brackets = 2 if self._text.startswith("[[", self.pos) else 1
        line = self._line()
        self.pos += brackets
        self._skip_blank()
        *outer, last = self._key()
        self._skip_blank()
        self.pos += brackets
        path: Path = ()
        for part in outer:
            path = self._inside((*path, part), line)
        path = (*path, last)
        if brackets == 2:
            self._elements[path] = self._elements.get(path, 0) + 1
        return self._inside(path, line)

    def _inside(self, path: Path, line: int) -> Path:
        """The table that ``path`` means in a header: of an array of tables, the last one."""
        self._lines.setdefault(path, line)
        if path in self._elements:
            path = (*path, self._elements[path] - 1)
            self._lines.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._after_spaces("=")
        self.pos += 1
        self._skip_blank()
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self._text[self.pos]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        elif opening in "\"'":
            self._string()
        else:
            self.pos = self._end_of(_SCALAR)

    def _array(self, path: Path) -> None:
        self.pos += 1
        index = 0
        while self._text[self._skip_blank()] != "]":
            self._lines[*path, index] = self._line()
            self._value((*path, index))
            index += 1
            self._skip_comma()
        self.pos += 1

    def _inline_table(self, path: Path) -> None:
        self.pos += 1
        while self._text[self._skip_blank()] != "}":
            self._pair(path)
            self._skip_comma()
        self.pos += 1

    def _skip_comma(self) -> None:
        if self._text[self._skip_blank()] == ",":
            self.pos += 1

    def _key_part(self) -> str:
        if self._text[self.pos] in "\"'":
            return _unquote(self._string())
        start, self.pos = self.pos, self._end_of(_BARE_KEY)
        return self._text[start : self.pos]

    def _string(self) -> str:
        start = self.pos
        self.pos = max(map(self._end_of, _STRINGS))  # an empty string is also how a longer one begins
        return self._text[start : self.pos]

    def _after_spaces(self, char: str) -> bool:
        """Whether ``char`` comes next on this line, and if so go to it."""
        end = self.pos
        while self._text.startswith((" ", "\t"), end):
            end += 1
        if self._text.startswith(char, end):
            self.pos = end
            return True
        return False

    def _skip_blank(self) -> int:
        self.pos = self._end_of(_BLANK)
        return self.pos

    def _end_of(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self.pos)
        return self.pos if match is None else match.end()

    def _line(self) -> int:
        return bisect_right(self._newlines, self.pos) + 1
