"""The ``tcpsuite`` command.  Exit status: 0; 1 when something is wrong; 2 when the command line is."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar, cast

import click

from tcpsuite import __version__


class LazyGroup(click.Group):
    """Commands that are imported when they are called: each starts without the weight of the others."""

    places: ClassVar[dict[str, tuple[str, str]]] = {
        "run": ("tcpsuite.cli.run", "run"),
        "check": ("tcpsuite.cli.config", "check"),
        "show-config": ("tcpsuite.cli.config", "show_config"),
        "passwd": ("tcpsuite.cli.passwd", "passwd"),
        "call": ("tcpsuite.cli.call", "call"),
        "attach": ("tcpsuite.cli.attach", "attach"),
        "pool-size": ("tcpsuite.cli.pool", "pool_size"),
        "explain": ("tcpsuite.cli.looking", "explain"),
        "whatif": ("tcpsuite.cli.looking", "whatif"),
        "simulate": ("tcpsuite.cli.simulate", "simulate"),
        "sessions": ("tcpsuite.cli.looking", "sessions"),
        "limits": ("tcpsuite.cli.limits", "limits"),
        "server": ("tcpsuite.cli.changing", "server"),
        "upstream": ("tcpsuite.cli.changing", "upstream"),
        "manhole": ("tcpsuite.cli.manhole", "manhole"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which one meets them."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in self.places:
            return None
        module, attribute = self.places[cmd_name]
        return cast(click.Command, getattr(import_module(module), attribute))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tcpsuite")
def main() -> None:
    """A TCP gateway and service host."""
