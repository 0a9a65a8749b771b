"""``tcpsuite server`` and ``tcpsuite upstream``: see and change what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tcpsuite.admin.explain import plain
from tcpsuite.cli.client import asks, process, show
from tcpsuite.cli.words import print_table, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEADINGS = ("server", "address", "state", "weight", "active", "made", "failed", "last error")


class NamedGroup(click.Group):
    """Commands behind a name.  Options may stand between the two; without a command they are those of
    ``show``.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that ``args`` begin with, once the options of :func:`asks` are out of the way."""
        if args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx):
            show = self.commands["show"]
            # It has no argument, so that what stands behind the options is left.
            behind = show.make_context(
                "show", list(args), ctx, allow_extra_args=True, allow_interspersed_args=False
            ).args
            if not behind:
                return "show", show, args
            args = behind
        return super().resolve_command(ctx, args)


NUMBERS = {"ignore_unknown_options": True}
"""Of a command whose argument is a number: -1 is one, and no option.  The process refuses it."""


@click.group(cls=NamedGroup, invoke_without_command=True)
@click.argument("which", metavar="UPSTREAM/NAME")
@asks
@click.pass_context
def server(ctx: click.Context, which: str) -> None:
    """See a server of a running process, and change it.

    What is changed stays so until the process ends; the configuration is not written.
    """
    upstream, slash, name = which.partition("/")
    if not (upstream and slash and name):
        raise click.BadParameter(f"expected UPSTREAM/NAME, got {which!r}", param_hint="UPSTREAM/NAME")
    ctx.obj = ("server", upstream, name)
    if ctx.invoked_subcommand is None:
        ctx.invoke(show_server)


@server.command("show")
@asks
@click.pass_obj
def show_server(path: tuple[str, ...]) -> None:
    """Print what it does now, and what of it is not as configured; so does no command at all."""
    show(process().get(*path), lambda told: _print([told], told["changes"]))


@server.command()
@asks
@click.pass_obj
def drain(path: tuple[str, ...]) -> None:
    """What runs goes on; nothing new comes."""
    _change(path, {"state": "drain"})


@server.command()
@asks
@click.pass_obj
def ready(path: tuple[str, ...]) -> None:
    """Leave it to its health checks again."""
    _change(path, {"state": "ready"})


@server.command()
@asks
@click.pass_obj
def maint(path: tuple[str, ...]) -> None:
    """As with drain; and it is not checked either."""
    _change(path, {"state": "maint"})


@server.command(context_settings=NUMBERS)
@click.argument("n", type=int)
@asks
@click.pass_obj
def weight(path: tuple[str, ...], n: int) -> None:
    """Make its share of new connections N, 0 to 256."""
    _change(path, {"weight": n})


@server.command("kill-connections")
@asks
@click.pass_obj
def kill_connections(path: tuple[str, ...]) -> None:
    """Reset every connection to it, now."""
    _change(path, {"kill_connections": True})


@click.group(cls=NamedGroup, invoke_without_command=True)
@click.argument("name")
@asks
@click.pass_context
def upstream(ctx: click.Context, name: str) -> None:
    """See an upstream of a running process, and change it.

    What is changed stays so until the process ends; the configuration is not written.
    """
    ctx.obj = ("upstream", name)
    if ctx.invoked_subcommand is None:
        ctx.invoke(show_upstream)


@upstream.command("show")
@asks
@click.pass_obj
def show_upstream(path: tuple[str, ...]) -> None:
    """Print its servers, and what is not as configured; so does no command at all."""

    def text(told: Mapping[str, Any]) -> None:
        click.echo(plain(", ".join(_summary(told))))
        _print(told["servers"], told["changes"])

    show(process().get(*path), text)


@upstream.command(context_settings=NUMBERS)
@click.argument("time", required=False)
@asks
@click.pass_obj
def pause(path: tuple[str, ...], time: str | None) -> None:
    """Hold new clients back, each for TIME ("30s") at most, by default as configured.  What runs goes on."""
    _change(path, {"pause": True if time is None else seconds_of(time, "TIME")})


@upstream.command(context_settings=NUMBERS)
@click.argument("rate", type=float, required=False)
@asks
@click.pass_obj
def resume(path: tuple[str, ...], rate: float | None) -> None:
    """Let those in that were held back: all at once, or RATE a second."""
    _change(path, {"resume": True if rate is None else rate})


@upstream.command()
@click.argument("name")
@click.argument("address")
@click.option("--weight", type=int, metavar="N", help="Its share of new connections, 0 to 256; 1 without.")
@click.option("--max-connections", type=int, metavar="N", help="Connections that it takes at once.")
@click.option("--backup", is_flag=True, default=None, help="Use it only while no other server may be.")
@asks
@click.pass_obj
def add(path: tuple[str, ...], /, **options: Any) -> None:
    """Add the server NAME at ADDRESS, tcp:10.0.0.9:5432, which lies in one of the upstream's networks."""
    _change(path, {"add": {name: value for name, value in options.items() if value is not None}})


@upstream.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Cut its connections; otherwise it must have none.")
@asks
@click.pass_obj
def remove(path: tuple[str, ...], name: str, force: bool) -> None:
    """Remove the server NAME, once it is drained."""
    _change(path, {"remove": {"name": name, "force": force}})


@upstream.command("clear-affinity")
@click.argument("address", required=False)
@asks
@click.pass_obj
def clear_affinity(path: tuple[str, ...], address: str | None) -> None:
    """Forget which server the client at ADDRESS had, or without it all clients: they are led as new ones."""
    _change(path, {"clear_affinity": True if address is None else address})


def _change(path: tuple[str, ...], value: Mapping[str, Any]) -> None:
    show(process().post(*path, value=value), lambda told: click.echo(plain(told["done"])))


def _summary(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"upstream {told['name']}: {told['strategy']}"
    yield "ready" if told["ready"] else "no server takes connections"
    if told["paused"]:
        yield f"paused (a client waits {told['pause_timeout']:g} s at most)"
    elif told["resuming"]:
        yield f"resuming at {told['resuming']:g} a second"
    if waiting := told["queue"]["waiting"]:
        yield f"{waiting} waiting for a server"
    if affinity := told["affinity"]:
        yield f"{affinity['entries']} clients remembered"


def _print(servers: list[Mapping[str, Any]], changes: list[Mapping[str, Any]]) -> None:
    from rich.text import Text

    console = print_table(HEADINGS, map(_row, servers), left=(0, 1, 2, 3, 7))
    for change in changes:
        what = f"changed: {change['server']} {change['what']}".replace("  ", " ")
        now, configured = _word(change["now"]), _word(change["configured"])
        console.print(Text(plain(f"{what}: {now}, configured {configured}"), style="yellow"))


def _word(value: Any) -> str:
    """A value of JSON in a word."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _row(each: Mapping[str, Any]) -> Iterator[str]:
    yield from (each["name"], each["address"], ", ".join(_state(each)), _weight(each))
    yield from (str(each[key]) for key in ("active", "connections", "failures", "last_error"))


def _state(each: Mapping[str, Any]) -> Iterator[str]:
    """The operator's word first, for it stands above the others."""
    if each["administration"] != "ready":
        yield str(each["administration"])
    yield "up" if each["up"] else "down"
    for word in ("ejected", "full", "slow_start", "backup", "added"):
        if each[word]:
            yield word.replace("_", " ")


def _weight(each: Mapping[str, Any]) -> str:
    configured = each["configured_weight"]
    return f"{each['weight']:g}" + (
        "" if configured in (None, each["weight"]) else f" (configured {configured})"
    )
