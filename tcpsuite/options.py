"""The words that configuration classes are written in.

A service, an upstream, a listener: each is configured by a frozen attrs class whose fields are made with
:func:`option`.  The type of a field says what the file may hold there, and how it is written::

    @frozen
    class EchoOptions:
        idle_timeout: Duration = option(Duration(120.0), "No byte either way for so long ends a connection.")

The loader (:mod:`tcpsuite.config`) turns text into these types, and reports what does not fit.
"""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any, NewType, TypeVar

from attrs import NOTHING, Attribute, field

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

Duration = NewType("Duration", float)
"""Seconds.  Written ``"500ms"``, ``"30s"``, ``"5m"``, ``"2h"``, ``"1d"``, or a number of seconds."""

Size = NewType("Size", int)
"""Bytes.  Written ``"64KiB"``, ``"1MiB"``, ``"2GB"``, or a number of bytes."""

Endpoints = NewType("Endpoints", tuple[str, ...])
"""One or several Twisted server endpoint strings.  Written as a string or a list of strings."""

ClientEndpoint = NewType("ClientEndpoint", str)
"""A Twisted client endpoint string: ``tcp:10.0.0.1:5432``."""

UpstreamName = NewType("UpstreamName", str)
"""The name of an ``[upstream.NAME]`` table, which must exist."""

MaybeUpstream = NewType("MaybeUpstream", str)
"""The name of such a table, or nothing."""

FilePath = NewType("FilePath", str)
"""A file's path.  A relative one is taken from the folder of the file that names it; ``state:x`` is the file
``x`` in the state directory; ``-`` stays what it is.
"""

DirectoryPath = NewType("DirectoryPath", str)
"""A directory's path, written as a file's is."""


class Secret(str):
    """Text that is never shown: not by ``show-config``, not in a log, not in a ``repr``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


Provider = NewType("Provider", str)
"""A short name of a built-in, or ``module:attribute`` for somebody's own."""


class OptionError(ValueError):
    """A value that does not fit its option.  ``str`` says what was expected, and what came."""

    def __init__(self, expected: str, got: object) -> None:
        super().__init__(f"expected {expected}, got {got!r}")
        self.expected = expected
        self.got = got


def option(default: Any, doc: str, *, check: Any = None, choices: tuple[str, ...] = ()) -> Any:
    """A field of a configuration class.

    :param default: its value when the file is silent; ``attrs.NOTHING`` for one that the file must give.
    :param doc: one sentence for ``etc/tcpsuite.toml``, which says what the number means.
    :param check: called with the value, raises :class:`OptionError` (see :func:`between`).
    :param choices: with a :data:`Provider`, the short names that are built in; with a ``str``, all it may be.
    """
    metadata = {"doc": doc, "choices": choices, "check": check}

    def validate(_instance: Any, _attribute: Attribute[Any], value: Any) -> None:
        if check is not None:
            check(value)

    if default is NOTHING:
        return field(metadata=metadata, validator=validate)
    return field(default=default, metadata=metadata, validator=validate)


def import_provider(name: str) -> Any:
    """What ``module:attribute`` names.

    :raises OptionError: when it cannot be imported; ``str`` says why.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # an import runs somebody's module, and that may raise anything
        raise OptionError(f"module:attribute that can be imported ({error_text(error)})", name) from error
    return found


def error_text(error: BaseException) -> str:
    """What an error says, on one line; its kind when it says nothing, or only a number."""
    text = " ".join(str(error).split())
    return text if text and not text.isdecimal() else f"{type(error).__name__}({text})"


def between(low: float, high: float, unit: str = "") -> Callable[[float], None]:
    """A check that a number lies from ``low`` to ``high``, both allowed; ``unit`` is for the message."""
    suffix = f" {unit}" if unit else ""

    def check(value: float) -> None:
        if not low <= value <= high:
            raise OptionError(f"a value from {_plain(low)} to {_plain(high)}{suffix}", value)

    return check


def at_least(low: float, unit: str = "") -> Callable[[float], None]:
    """A check that a number is ``low`` or more; ``unit`` is for the message."""
    suffix = f" {unit}" if unit else ""

    def check(value: float) -> None:
        if not value >= low:  # not a number is not enough
            raise OptionError(f"a value of at least {_plain(low)}{suffix}", value)

    return check


MIN_TOKEN = 16
"""Characters of a token: whoever can reach the service may guess at it."""


def token_length(value: str) -> None:
    """A check that a token, if there is one, is too long to be guessed; what it is stays untold."""
    if 0 < len(value) < MIN_TOKEN:
        raise OptionError(f"at least {MIN_TOKEN} characters, or none", "fewer")


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)")
_SECONDS = {
    "d": Fraction(86400), "h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000),
}  # fmt: skip
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|[kK]B|[KMGT]iB|[MGT]B)")
_BYTES = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


_TRUTHS = {
    "true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


def parse_truth(text: str) -> bool:
    """The truth value that ``yes`` or ``off`` says; :class:`OptionError` for anything else."""
    try:
        return _TRUTHS[text.lower()]
    except KeyError:
        raise OptionError("true or false", text) from None


def parse_duration(value: object) -> Duration:
    """Seconds from ``"1.5s"`` or a number; :class:`OptionError` for anything else, a negative one too."""
    with suppress(OverflowError, ValueError):  # more than a float holds, or than Python reads
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
            return Duration(float(value))
        if value == "0":  # of no unit, for it is the same in all
            return Duration(0.0)
        if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
            return Duration(float(Fraction(match[1]) * _SECONDS[match[2]]))
    raise OptionError('a duration such as "500ms", "30s", "5m" or "2h"', value)


def parse_size(value: object) -> Size:
    """Bytes from ``"64KiB"`` or a whole number; :class:`OptionError` for anything else.  A part of a byte is
    left out: ``"1.1KiB"`` is 1126.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Size(value)
    with suppress(ValueError):  # more digits than Python reads
        if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
            return Size(int(Fraction(match[1]) * _BYTES[match[2]]))
    raise OptionError('a size such as "64KiB", "1MiB" or a number of bytes', value)


def format_duration(seconds: float) -> str:
    """So many seconds as people write them, without loss: ``"5m"``, ``"1.5s"``, ``"200ms"``."""
    exact = Fraction(repr(seconds))
    for unit in ("d", "h", "m"):
        if exact and exact % _SECONDS[unit] == 0:
            return f"{exact // _SECONDS[unit]}{unit}"
    written = Decimal(repr(seconds))
    return f"{_plain(written.scaleb(3))}ms" if 0 < written < 1 else f"{_plain(written)}s"


def format_size(size: int) -> str:
    """The shortest exact way to write so many bytes: ``"64KiB"``, ``"1000B"``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def _plain(number: float | Decimal) -> str:
    """A number in digits, with neither an exponent nor zeros that say nothing."""
    text = format(Decimal(str(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
