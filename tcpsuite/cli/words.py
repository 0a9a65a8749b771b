"""What several commands read and print alike."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from tcpsuite.admin.explain import plain
from tcpsuite.options import Duration, OptionError, parse_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rich.console import Console

WIDE = 1000
"""Columns where there is no terminal: nobody's lines are broken."""
HOST_AND_PORT = re.compile(r"(?:(\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+):)?([0-9]+)")
"""What people write where an endpoint string is asked for."""


def client_string(text: str) -> str:
    """``HOST:PORT`` as an endpoint string; anything else as it is."""
    match = HOST_AND_PORT.fullmatch(text)
    return f"tcp:{escaped(match[1])}:{match[2]}" if match and match[1] else text


def escaped(host: str) -> str:
    """A host, of IPv6 too, as it stands in an endpoint string."""
    return host.strip("[]").replace(":", r"\:")


def seconds_of(text: str, argument: str) -> Duration:
    """A duration as in the configuration; a number without a unit is of seconds.

    :param argument: its name, for who reads that it cannot be one.
    """
    try:
        with suppress(ValueError):
            return parse_duration(float(text))
        return parse_duration(text)
    except OptionError as error:
        raise click.BadParameter(str(error), param_hint=argument) from None


def print_table(headings: Iterable[str], rows: Iterable[Iterable[str]], left: Collection[int]) -> Console:
    """Print rows below their headings.

    :param left: the columns of words; all others are of numbers.
    :return: what it was printed on.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(Text(plain(heading)), justify="left" if number in left else "right")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(table)
    return console
