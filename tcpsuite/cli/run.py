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
@click.option("--config", "-c", metavar="FILE", help="The configuration; without it, the demonstration.")
@settings_option
@click.argument("twistd_options", nargs=-1, type=click.UNPROCESSED)
def run(config: str | None, settings: Sequence[str], twistd_options: Sequence[str]) -> None:
    """Serve in the foreground, until Ctrl-C or SIGTERM.

    It is twistd with other defaults; what is not an option here goes to it: --logfile=FILE, --reactor=NAME.
    """
    from twisted.python.usage import UsageError
    from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined]

    ours = [] if config is None else [f"--config={config}"]
    options = ServerOptions()
    try:
        options.parseOptions(
            [*DEFAULTS, *twistd_options, "tcpsuite", *ours, *(f"--set={setting}" for setting in settings)]
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    runApp(options)
