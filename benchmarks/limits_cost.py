#!/usr/bin/env python3
"""What limits that nobody reaches cost the echo and the gateway.

    python benchmarks/limits_cost.py                  11 rounds: twenty minutes
    python benchmarks/limits_cost.py relay --rounds 1 --seconds 0.5 --case 1k

With all of them on, the connections of an address are counted, and its new ones a second; requests a second
too, of which neither service has any; and the bandwidth of each connection and of its address.  All are set
far above the load, and count on loopback.  Once more it is measured without the bandwidth, and then with no
limit but that of all connections together, which is always there.  All three are the same build, with an
access log and metrics.  In every round each is started anew and measured, one after the other, in an order
that changes; a ratio is that of one round.

The server has one processor, the load, and what is behind the gateway, another.  It needs a C compiler and
taskset.  What is printed is Markdown.  The status is 1 when a case failed in every round.
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
COUNTED, OFF = "without bandwidth", "no limits"
AT_LEAST = 0.95
"""Of what it does without limits, a server is to do so much with them."""

COUNTS = """
connections = 8000
connections_per_ip = 8000
connection_rate = 1000000
connection_burst = 1000000
connections_per_user = 8000
message_rate = 1000000
message_burst = 1000000
exempt_loopback = false"""
BANDWIDTH = """
bandwidth_per_connection = "10GB"
bandwidth_per_ip = "10GB"
bandwidth_per_user = "10GB\""""
"""Several times what this machine can do."""
NONE = """
connections = 8000
connections_per_ip = 0
connections_per_user = 0
message_rate = 0"""


def servers(kit: Kit, work: str) -> list[Server]:
    """One with all limits, one with all but the bandwidth, one with none."""
    return [
        ours(kit, work, limits=COUNTS + BANDWIDTH),
        ours(kit, work, COUNTED, limits=COUNTS),
        ours(kit, work, OFF, limits=NONE),
    ]


CASES = tuple(
    replace(case, fresh=True)
    for case in (*SHARED, churn(fresh=True))
    if case.key in {"1k", "many", "64k", "churn"}
)
GROUPS = (
    Group("echo", "Echo", "echo", lambda kit: servers(kit, "echo"), CASES),
    Group("relay", "Relay", "relay", lambda kit: servers(kit, "relay"), CASES),
)


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = asking.questions(__doc__, ROUNDS, SECONDS)
    names, keys = [group.key for group in GROUPS], [case.key for case in CASES]
    ask.add_argument("groups", nargs="*", metavar="GROUP", help=f"only {' or '.join(names)}")
    ask.add_argument("--case", action="append", choices=keys, help="only this one; may be repeated")
    return ask


def table(group: Group, found: dict[str, Rounds], cases: Sequence[Case]) -> str:
    """Each case without limits, and what is left of it with them."""
    rows = [[group.title, OFF, "with all", f"at least {AT_LEAST:g}", COUNTED, f"at least {AT_LEAST:g}"]]
    for case in cases:
        rounds = found[case.key]
        row = [case.title, reporting.show(reporting.figures(rounds, OFF, case.figure), ",.0f")]
        row[-1] += reporting.mark(rounds, OFF)
        for name in (OURS, COUNTED):
            left = reporting.ratio(rounds, case.figure, OFF, name)
            row += [
                reporting.show(left, ".3f") + reporting.mark(rounds, name),
                reporting.met(left, AT_LEAST),
            ]
        rows.append(row)
    starred = [reporting.STARRED] if any("*" in cell for row in rows for cell in row) else []
    return "\n\n".join([reporting.table(rows), *starred, *reporting.faults(found)])


def measure(args: argparse.Namespace, groups: Sequence[Group], folder: Path) -> int:
    """Run all cases, print the tables, and give the status to end with."""
    kit = Kit(folder, sys.executable, machine.raise_file_limit())
    kit.build()
    asking.warn()
    described = machine.describe(sys.executable)
    parts = [f"{described}; {time.strftime('%B %Y')}, {asking.rounds_of(args.rounds, args.seconds)}."]
    print(parts[0])
    cases = [case for case in CASES if not args.case or case.key in args.case]
    results: dict[str, dict[str, Rounds]] = {}
    for group in groups:
        found = results[group.key] = Bench(kit, args.rounds, args.seconds).run(
            group, cases, group.servers(kit)
        )
        parts.append(table(group, found, cases))
        print("\n" + parts[-1], flush=True)
    if args.output:
        told = {"machine": described, "seconds": args.seconds, "groups": results}
        asking.write(args.output, "\n\n".join(parts), told)
    failed = [
        f"{key} {case.key}"
        for key, found in results.items()
        for case in cases
        if not reporting.ratio(found[case.key], case.figure, OFF)
    ]
    if failed:
        say(f"failed in every round: {', '.join(failed)}")
    return 1 if failed else 0


def main() -> int:
    """Measure, print, and write it down."""
    args = questions().parse_args()
    groups = [group for group in GROUPS if not args.groups or group.key in args.groups]
    if unknown := set(args.groups) - {group.key for group in GROUPS}:
        raise SystemExit(f"no group {', '.join(sorted(unknown))}: {', '.join(group.key for group in GROUPS)}")
    if args.output:
        asking.writable(args.output)
    return asking.carry_out(lambda folder: measure(args, groups, folder), "limits-cost-")


if __name__ == "__main__":
    sys.exit(main())
