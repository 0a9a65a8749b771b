"""``tcpsuite explain`` and ``tcpsuite whatif``."""

from __future__ import annotations

import sys

import click

from tcpsuite.admin.explain import tell, tell_whatif, would_be_refused
from tcpsuite.cli.client import asks, process, show


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
