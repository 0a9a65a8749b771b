"""What is wrong with a configuration, where, and what would be right."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from attrs import frozen

from tcpsuite.options import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen
class Origin:
    """Where a value was given."""

    source: str
    """A file as the user named it, an environment variable, ``--set``, or ``default``."""
    line: int = 0
    """Counted from 1; 0 where there are no lines."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


DEFAULT = Origin("default")


@frozen
class Fault:
    """One fault, or one doubt; ``str`` is the line that people read.

    :ivar file: the file, or what else gave the value (see :class:`Origin`).
    :ivar path: the option: ``upstream.pg.servers[1].address``; empty when it is the whole file.
    :ivar expected: what would be right there; may be empty, ``got`` then says it all.
    :ivar got: what stands there.
    :ivar hint: what to do about it, when that can be guessed.
    """

    file: str
    line: int
    path: str
    expected: str
    got: str
    hint: str = ""

    def __str__(self) -> str:
        what = f"expected {self.expected}, got {self.got}" if self.expected else self.got
        path = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{Origin(self.file, self.line)}: {path}{what}{hint}"


class HintedError(OptionError):
    """A value that does not fit, and what to do about it."""

    def __init__(self, expected: str, got: object, hint: str) -> None:
        super().__init__(expected, got)
        self.hint = hint


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word which is most like this one; empty when none is."""
    found = get_close_matches(word, list(known), n=1)
    return f"did you mean {found[0]}?" if found else ""
