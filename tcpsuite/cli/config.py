"""``tcpsuite check`` and ``tcpsuite show-config``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tcpsuite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tcpsuite.config import Loaded

settings_option: Callable[[Any], Any] = click.option(
    "settings",
    "--set",
    multiple=True,
    metavar="KEY=VALUE",
    help="Over what the file says: listener.db.upstream=pg.  May be given again.",
)


@click.command()
@click.argument("file")
@settings_option
def check(file: str, settings: Sequence[str]) -> None:
    """Verify FILE, and say every fault at once.

    Warnings are about what may well be meant so, or is not there on this machine; they leave the exit status
    as it is.
    """
    loaded = load_or_exit(file, settings)
    if loaded.broken:
        for fault in loaded.broken:
            click.echo(fault, err=True)
        sys.exit(1)
    warnings = (*loaded.missing, *loaded.doubts)
    for warning in warnings:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)
    counted = {"listener": loaded.config.listeners, "upstream": loaded.config.upstreams, "warning": warnings}
    click.echo(f"{file}: good: {', '.join(_count(len(things), noun) for noun, things in counted.items())}")


@click.command("show-config")
@click.argument("file", required=False)
@settings_option
def show_config(file: str | None, settings: Sequence[str]) -> None:
    """Print what is in force with FILE, and where each value came from.  Without FILE: the demonstration.

    It is TOML, and loads again; secrets are left out.
    """
    from tcpsuite.config.show import show

    text = show(load_or_exit(file, settings))
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(text, "toml", theme="ansi_dark", background_color="default", word_wrap=True))


def load_or_exit(file: str | None, settings: Sequence[str]) -> Loaded:
    """The configuration; when it has faults they are said on standard error, and the exit status is 1."""
    from tcpsuite.config import load

    try:
        return load(file, settings)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(fault, err=True)
        sys.exit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
