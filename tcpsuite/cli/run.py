"""``tcpsuite run``: twistd with our defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tcpsuite.cli.config import settings_option

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULTS = ("--nodaemon", "--pidfile=")
"""In the foreground, where it can be watched; without a file that a second one in this folder trips over."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--config", "-c", metavar="FILE", help="The same as FILE.")
@settings_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[FILE] [TWISTD_OPTION]...")
def run(config: str | None, settings: Sequence[str], words: Sequence[str]) -> None:
    """Serve what FILE says, in the foreground, until Ctrl-C or SIGTERM.  Without FILE: the demonstration.

    It is twistd with other defaults; what is not an option here goes to it: --logfile=FILE, --reactor=NAME.
    """
    if words and not words[0].startswith("-"):
        if config is not None:
            raise click.UsageError(f"one file, not {config} and {words[0]}")
        config, *words = words
    from twisted.python.usage import UsageError
    from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined]

    ours = [] if config is None else [f"--config={config}"]
    options = ServerOptions()
    try:
        options.parseOptions(
            [*DEFAULTS, *words, "tcpsuite", *ours, *(f"--set={setting}" for setting in settings)]
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    runApp(options)
