"""``tcpsuite pool-size``."""

from __future__ import annotations

from contextlib import suppress

import click

from tcpsuite.core.pooling.settings import recommended_size
from tcpsuite.options import Duration, OptionError, format_duration, parse_duration


@click.command("pool-size")
@click.argument("arrivals", type=float)
@click.argument("mean")
def pool_size(arrivals: float, mean: str) -> None:
    """Print how large a pool should be for ARRIVALS a second that hold a connection for MEAN each ("20ms").

    It is for pools that lend their connections again: mode session or message.
    """
    try:
        seconds = _duration(mean)
        least, most = recommended_size(arrivals, seconds)
    except OptionError as error:
        raise click.BadParameter(str(error), param_hint="MEAN") from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="ARRIVALS") from None
    click.echo(f"min_connections = {least}")
    click.echo(f"max_connections = {most}")
    click.echo(
        f"# {arrivals:g} a second, for {format_duration(seconds)} each, are {arrivals * seconds:g} in use on "
        "average (Little's law).  Half as many are kept, at least 2; twice as many are allowed, at least 10."
    )


def _duration(text: str) -> Duration:
    with suppress(ValueError):
        return parse_duration(float(text))
    return parse_duration(text)
