"""``tcpsuite simulate``."""

from __future__ import annotations

import sys
from random import Random
from typing import IO, TYPE_CHECKING, NoReturn

import click
from attrs import evolve

from tcpsuite.cli.config import load_or_exit, settings_option
from tcpsuite.cli.words import print_table
from tcpsuite.core.simulation import Share, happened
from tcpsuite.core.simulation import simulate as play
from tcpsuite.errors import StartError
from tcpsuite.options import Provider

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from tcpsuite.core.servers import Server
    from tcpsuite.core.simulation import Distribution, Event
    from tcpsuite.interfaces import ILoadBalancer
    from tcpsuite.net.options import UpstreamOptions

REALITY = "as it was"
NOTE = (
    "Each connection lasts as long as it did where it was, all servers are up, nobody waits for room, and of "
    "a server's times only that of connecting is known, no first byte: these are shares, not promises."
)


@click.command()
@click.argument("access_logs", metavar="ACCESS_LOG...", type=click.File("rb"), nargs=-1, required=True)
@click.option("--config", "file", required=True, metavar="FILE", help="The configuration with the upstream.")
@click.option("--upstream", required=True, metavar="NAME", help="Whose connections are dealt out anew.")
@click.option(
    "strategies",
    "--strategy",
    multiple=True,
    required=True,
    metavar="NAME",
    help="How servers are picked, as in the file.  May be given again.",
)
@click.option("--seed", default=1, show_default=True, help="For strategies that draw lots.")
@settings_option
def simulate(
    access_logs: Sequence[IO[bytes]],
    file: str,
    upstream: str,
    strategies: Sequence[str],
    seed: int,
    settings: Sequence[str],
) -> None:
    """Deal the connections in each ACCESS_LOG out anew, by other strategies, and show who would have got how
    many.

    The logs must be JSON (format = "json" under [access_log]); - is standard input.  How long a connection
    would have taken on another server it cannot know.
    """
    from tcpsuite.net.assembly import build_stick_table

    config = load_or_exit(file, settings).config
    options = config.upstreams.get(upstream)
    if options is None:
        _refuse(f"{file} has no upstream {upstream!r}; it has {', '.join(config.upstreams) or 'none'}")
    listeners = {
        name
        for name, listener in config.listeners.items()
        if getattr(listener.options, "upstream", "") == upstream
    }
    balancers = {name: _balancer(upstream, options, name, seed) for name in strategies}
    events, others = _read(access_logs, listeners)
    if not events:
        names = ", ".join(each.name for each in access_logs)
        _refuse(f"{names}: no connection of a listener that leads to {upstream}")
    found: dict[str, Distribution] = {REALITY: happened(events, _servers(options))}
    for name, balancer in balancers.items():
        found[name] = play(events, _servers(options), balancer, build_stick_table(options))
    sticks = "" if options.affinity == "off" else ", with its affinity"
    click.echo(f"{len(events)} connections of upstream {upstream}{sticks}; other lines: {others}")
    _print(found)
    click.echo(NOTE)


def _read(logs: Iterable[IO[bytes]], listeners: Collection[str]) -> tuple[list[Event], int]:
    """The connections that all of them tell of, and the number of lines that are of others."""
    from tcpsuite.admin.log_reading import read_log

    events: list[Event] = []
    others = 0
    for log in logs:
        reading = read_log(log, listeners)
        if reading.bad:
            lines = f"{reading.bad} line{'s' * (reading.bad > 1)} left out"
            lines += f", the first is line {reading.first_bad}"
            hint = "" if reading.events or reading.others else '; does [access_log] say format = "json"?'
            click.echo(f"{log.name}: not of a JSON access log: {lines}{hint}", err=True)
        events += reading.events
        others += reading.others
    return events, others


def _servers(options: UpstreamOptions) -> list[Server]:
    from tcpsuite.net.assembly import build_server

    return [build_server(server) for server in options.servers]


def _balancer(upstream: str, options: UpstreamOptions, strategy: str, seed: int) -> ILoadBalancer:
    from tcpsuite.core.balancing import STRATEGIES
    from tcpsuite.net.assembly import build_balancer

    if strategy not in STRATEGIES and ":" not in strategy:
        known = f"{', '.join(STRATEGIES)}, or module:attribute"
        raise click.BadParameter(f"expected one of {known}, got {strategy!r}", param_hint="--strategy")
    try:
        return build_balancer(upstream, evolve(options, strategy=Provider(strategy)), Random(seed))
    except StartError as error:
        _refuse(str(error))


def _refuse(why: str) -> NoReturn:
    click.echo(why, err=True)
    sys.exit(1)


def _print(found: Mapping[str, Distribution]) -> None:
    """A row for each server, and for each way to pick one its share and the most that it had at once."""
    headings = ["server", "weight"]
    for heading in found:
        headings += [heading, "peak"]
    print_table(headings, _rows(found), left=(0,))


def _rows(found: Mapping[str, Distribution]) -> Iterator[list[str]]:
    # A server that is no longer configured stands in the log alone.
    for server, real in found[REALITY].shares.items():
        row = [server, f"{real.weight:g}" if real.weight else "-"]
        for distribution in found.values():
            share = distribution.shares.get(server, Share(0))
            row += [f"{share.connections / max(1, distribution.connections):.1%}", str(share.peak)]
        yield row
    yield ["maximum over mean", "", *_cells(f"{each.maximum_over_mean:.2f}" for each in found.values())]
    if any(each.unserved for each in found.values()):
        yield ["got none", "", *_cells(str(each.unserved) for each in found.values())]


def _cells(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from (value, "")
