"""``tcpsuite explain``, ``tcpsuite whatif`` and ``tcpsuite sessions``."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from tcpsuite.admin.explain import plain, tell, tell_whatif, would_be_refused
from tcpsuite.admin.limits import MOST, NUMBER
from tcpsuite.admin.sessions import EVENTS
from tcpsuite.cli.client import asks, process, show
from tcpsuite.cli.words import print_table

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command()
@click.argument("id")
@asks
def explain(id: str) -> None:  # noqa: A002 (it is what the help calls it)
    """Say why connection ID went where it went: the servers that it could have had, why each other one was
    left out, each attempt, and why it ended.

    ID stands in the access log.  Open connections are known, and as many of those that ended as
    past_connections of [admin] says.
    """
    show(process().get("explain", id), lambda told: click.echo(tell(told)))


@click.command()
@click.option("--upstream", required=True, metavar="NAME", help="Where the client is led to.")
@click.option("--client", default="", metavar="ADDRESS", help="Its IP address; without it, a UNIX socket's.")
@asks
def whatif(upstream: str, client: str) -> None:
    """Say which server a client would get now, and why the others would not be picked.  Nothing is connected,
    and no balancer counts it.

    The exit status is 1 when it would be refused: it would get none, nor wait for one.
    """
    told = process().get("whatif", upstream=upstream, client=client)
    show(told, lambda told: click.echo(tell_whatif(told)))
    if would_be_refused(told):
        sys.exit(1)


@click.command()
@click.option(
    "--number", "-n", default=NUMBER, show_default=True, type=click.IntRange(1, MOST), help="Of users."
)
@asks
def sessions(number: int) -> None:
    """Print how many sessions there are, how they are used, and which users have most of them."""
    show(process().get("sessions", number=str(number)), _print_sessions)


def _print_sessions(told: Mapping[str, Any]) -> None:
    oldest, idlest = (timedelta(seconds=round(told[key])) for key in ("longest_age", "longest_idle"))
    events = ", ".join(f"{event} {told[event]}" for event in EVENTS)
    refused = ", ".join(f"{code} {number}" for code, number in told["refused"].items()) or "none"
    if "error" in told:
        click.echo(f"the store fails: {told['error']}")
    click.echo(f"stored: {told['count']}, users: {told['users']}, requests to them: {told['requests']}")
    click.echo(f"oldest: {oldest}, longest unused: {idlest}")
    click.echo(f"in use: {told['in_use']}, with a connection of their own: {told['connected']}")
    click.echo(f"since the start: {events}; refused: {refused}")
    if "attachments" in told:
        figures = ", ".join(
            f"{name.replace('_', ' ')} {number}" for name, number in told["attachments"].items()
        )
        click.echo(f"connections to servers: {figures}")
    if told["top"]:
        rows = ((plain(user), str(count)) for user, count in told["top"].items())
        print_table(("user", "sessions"), rows, left=(0,))
