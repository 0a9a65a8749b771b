"""``tcpsuite limits``: who uses most of the limits of a running process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tcpsuite.admin.explain import plain
from tcpsuite.admin.limits import MOST, NUMBER
from tcpsuite.cli.client import asks, process, show
from tcpsuite.cli.words import print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = (
    ("refused", "connections refused"),
    ("refused_requests", "requests refused"),
    ("would_refuse", "would have been refused"),
)


@click.group()
@asks
def limits() -> None:
    """See the limits of a running process."""


@limits.command()
@click.option("--listener", metavar="NAME", help="Of this listener only.")
@click.option(
    "--number", "-n", default=NUMBER, show_default=True, type=click.IntRange(1, MOST), help="Of each limit."
)
@asks
def top(listener: str | None, number: int) -> None:
    """Print who uses most of each limit, and what was refused.

    What is used of a rate is what is spent of its burst at this moment.
    """
    told = process().get("limits", number=str(number))
    if listener is not None:
        known = told["listeners"]
        if listener not in known:
            names = ", ".join(known) or "none"
            raise click.ClickException(plain(f"there is no listener {listener!r}; there is {names}"))
        told = {"listeners": {listener: known[listener]}}
    show(told, _print)


def _print(told: Mapping[str, Any]) -> None:
    for name, each in told["listeners"].items():
        click.echo(f"listener {name}: {_counts(each)}")
        if shared := each.get("shared"):
            click.echo(_shared(shared))
        rows = [
            (
                use["limit"],
                plain(use["key"]),
                f"{round(use['used'], 1):g}",
                f"{use['allowed']:g}" if use["allowed"] else "any",
            )
            for use in each["top"]
        ]
        if rows:
            print_table(("limit", "who", "used", "of"), rows, left=(0, 1))


def _counts(each: Mapping[str, Any]) -> str:
    told = [
        f"{words} {sum(each[key].values())} ({', '.join(f'{limit} {n}' for limit, n in each[key].items())})"
        for key, words in WORDS
        if each[key]
    ]
    return "; ".join(told) or "nothing was refused"


def _shared(shared: Mapping[str, Any]) -> str:
    reserved = ", ".join(f"{limit} ({number:g} reserved)" for limit, number in shared["reserved"].items())
    if shared["alone_for"] is None:
        return f"shared with {shared['others']} other processes: {reserved}"
    return f"counted alone for {shared['alone_for']:.0f} s, as Redis is away: {reserved}"
