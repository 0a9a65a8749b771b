"""``tcpsuite pool-size``."""

from __future__ import annotations

import click

from tcpsuite.cli.words import seconds_of
from tcpsuite.core.pooling.settings import recommended_size
from tcpsuite.options import format_duration


@click.command("pool-size")
@click.argument("arrivals", type=float)
@click.argument("mean")
def pool_size(arrivals: float, mean: str) -> None:
    """Print how large a pool should be for ARRIVALS a second that hold a connection for MEAN each ("20ms").

    It is for pools that lend their connections again: mode session or message.
    """
    seconds = seconds_of(mean, "MEAN")
    try:
        least, most = recommended_size(arrivals, seconds)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="ARRIVALS") from None
    click.echo(f"min_connections = {least}")
    click.echo(f"max_connections = {most}")
    in_use = f"{arrivals * seconds:.10g} in use on average (Little's law)"
    click.echo(
        f"# {arrivals:.10g} a second, for {format_duration(seconds)} each, are {in_use}.  "
        "Half as many are kept, at least 2; twice as many are allowed, at least 10."
    )
