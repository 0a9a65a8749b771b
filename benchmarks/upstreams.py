#!/usr/bin/env python3
"""What ten servers, their health checks and the record of every choice cost the gateway.

    python benchmarks/upstreams.py                    11 rounds: six minutes
    python benchmarks/upstreams.py --rounds 1 --seconds 0.5 --case 1k

The gateway leads to ten servers.  With all of it on, each is checked every second, real connections judge
them too, and the last 1,000 connections that have ended can still be explained.  Without, nothing is checked
and no ended connection is kept.  Both are the same build, with an access log and limits.  In every round each
is started anew and measured, one after the other, in an order that changes; a ratio is that of one round.

The servers are one echo in C, on ten addresses: what is measured is the gateway.  It has one processor, the
echo and the load another.  It needs a C compiler and taskset.  What is printed is Markdown.  The status is 1
when a case failed in every round.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from comparison import asking, machine, reporting
from comparison.cases import SHARED, Group, churn
from comparison.running import Bench, say
from comparison.servers import OURS, Kit, Server, ours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from comparison.cases import Case
    from comparison.running import Rounds

ROUNDS = 11
SECONDS = 2.0
ADDRESSES = 10
WITHOUT = "without"
AT_LEAST = 0.95
"""Of what it does without, the gateway is to do so much with all of it."""


def gateways(kit: Kit) -> list[Server]:
    """The gateway with all of it on, and without."""
    each = (f'{{ name = "s{n}", address = "tcp:127.0.0.{n}:{{backend}}" }}' for n in range(1, ADDRESSES + 1))
    servers = f"servers = [{', '.join(each)}]"
    with_all = f'{servers}\n[upstream.back.health]\ninterval = "1s"'
    without = f'{servers}\n[upstream.back.health]\nmode = "none"'
    return [
        ours(kit, "relay", upstream=with_all, admin="past_connections = 1000"),
        ours(kit, "relay", WITHOUT, upstream=without, admin="past_connections = 0"),
    ]


CASES = tuple(
    replace(case, fresh=True)
    for case in (*SHARED, churn(fresh=True))
    if case.key in {"1k", "many", "64k", "churn"}
)
GROUP = Group("upstreams", f"{ADDRESSES} servers", "relay", gateways, CASES, addresses=ADDRESSES)


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = asking.questions(__doc__, ROUNDS, SECONDS)
    keys = [case.key for case in CASES]
    ask.add_argument("--case", action="append", choices=keys, help="only this one; may be repeated")
    return ask


def table(found: dict[str, Rounds], cases: Sequence[Case]) -> str:
    """Both in each case, and what is left with all of it on."""
    rows = [["", "with", "without", "with / without", f"at least {AT_LEAST:g}"]]
    for case in cases:
        rounds = found[case.key]
        both = (
            reporting.show(reporting.figures(rounds, name, case.figure), ",.0f")
            + reporting.mark(rounds, name)
            for name in (OURS, WITHOUT)
        )
        left = reporting.ratio(rounds, case.figure, WITHOUT)
        rows.append([case.title, *both, reporting.show(left, ".3f"), reporting.met(left, AT_LEAST)])
    starred = [reporting.STARRED] if any("*" in cell for row in rows for cell in row) else []
    return "\n\n".join([reporting.table(rows), *starred, *reporting.faults(found)])


def measure(args: argparse.Namespace, folder: Path) -> int:
    """Run all cases, print the table, and give the status to end with."""
    kit = Kit(folder, sys.executable, machine.raise_file_limit())
    kit.build()
    asking.warn()
    described = machine.describe(sys.executable)
    head = f"{described}; {time.strftime('%B %Y')}, {asking.rounds_of(args.rounds, args.seconds)}."
    cases = [case for case in CASES if not args.case or case.key in args.case]
    found = Bench(kit, args.rounds, args.seconds).run(GROUP, cases, gateways(kit))
    text = f"{head}\n\n{table(found, cases)}"
    print(text)
    if args.output:
        asking.write(args.output, text, {"machine": described, "seconds": args.seconds, "cases": found})
    failed = [case.title for case in cases if not reporting.ratio(found[case.key], case.figure, WITHOUT)]
    if failed:
        say(f"failed in every round: {', '.join(failed)}")
    return 1 if failed else 0


def main() -> int:
    """Measure, print, and write it down."""
    args = questions().parse_args()
    if args.output:
        asking.writable(args.output)
    return asking.carry_out(lambda folder: measure(args, folder), "upstreams-")


if __name__ == "__main__":
    sys.exit(main())
