#!/usr/bin/env python3
"""Measure tcpsuite beside its peers on the same work, in one run, in turn, and print the ratios.

    python benchmarks/side_by_side.py                 all of it: twenty minutes
    python benchmarks/side_by_side.py echo relay --rounds 1 --seconds 0.5

The groups are echo, cost, relay, file and crowd.  tcpsuite is measured as it ships: an access log, an admin
listener with metrics, and limits, which are set above the load.  It and the peers have one processor, the
load another.  A server is measured once in every round, one after the other, so that a drift of the machine
meets all alike; a figure is the median of the rounds, and a ratio is ours over the peer's, round by round.

It needs a C compiler, taskset and, for files, curl.  Peers that are not installed are named and left out.
A whole run also writes the tables to benchmarks/figures.md, and every single measurement to
benchmarks/figures.json.  One of some groups, cases or peers only, a shorter one, and one of another tcpsuite
write where --output says, or nowhere.  The status is 1 when tcpsuite failed in every round of a case.

--ours 'CMD with {config}' measures another tcpsuite, or this one otherwise: --ours '.venv/bin/python -m
tcpsuite run --config {config} --reactor=epoll'.  A server of another kind finds its port as {port}, a relay
the one that it leads to as {backend}, and one of files their folder as {root}.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from comparison import BenchError, asking, machine, reporting
from comparison.cases import GROUPS
from comparison.running import Bench, say
from comparison.servers import OURS, Kit

if TYPE_CHECKING:
    from comparison.cases import Case, Group
    from comparison.running import Rounds
    from comparison.servers import Server

FIGURES = Path(__file__).parent / "figures"
ROUNDS = 5
SECONDS = 2.0
SPARE = 500
"""Descriptors that a server is left beside those of its connections."""


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = asking.questions(__doc__, ROUNDS, SECONDS)
    ask.add_argument("groups", nargs="*", metavar="GROUP", help="which groups (all)")
    ask.add_argument("--case", action="append", help="only this case of them, 1k or churn; may be repeated")
    ask.add_argument("--only", default="", help="only peers whose name has this, and tcpsuite")
    ask.add_argument("--ours", help="the command that starts tcpsuite; {config} is its configuration file")
    ask.add_argument("--python", default=sys.executable, help="the interpreter of the peers in Python")
    ask.add_argument("--targets", action="store_true", help="also print what we hold ourselves to")
    return ask


def destination(args: argparse.Namespace) -> Path | None:
    """Where to write, without a suffix: a run that is not a whole one leaves the last of those alone."""
    output: Path | None = args.output
    if output is None:
        part = args.groups or args.case or args.only or args.ours
        if part or args.rounds < ROUNDS or args.seconds < SECONDS:
            return None
        output = FIGURES
    return asking.writable(output)


def chosen(args: argparse.Namespace, files: int) -> list[tuple[Group, list[Case]]]:
    """The groups and cases that were asked for and that this machine allows."""
    unknown = set(args.groups) - {group.key for group in GROUPS}
    if unknown:
        raise SystemExit(f"no group {', '.join(sorted(unknown))}: {', '.join(g.key for g in GROUPS)}")
    groups = [group for group in GROUPS if not args.groups or group.key in args.groups]
    known = list(dict.fromkeys(case.key for group in groups for case in group.cases))
    if unknown := set(args.case or ()) - set(known):
        raise SystemExit(f"no case {', '.join(sorted(unknown))} here: {', '.join(known)}")
    found = []
    for group in groups:
        cases = []
        for case in group.cases:
            if args.case and case.key not in args.case:
                continue
            if case.connections * (2 if group.work == "relay" else 1) + SPARE > files:
                say(f"left out, for a process may have {files} descriptors only: {group.key} {case.key}")
                continue
            cases.append(case)
        if cases:
            found.append((group, cases))
    if not found:
        raise SystemExit("nothing is left to measure")
    return found


def competitors(only: str, groups: list[tuple[Group, list[Case]]], kit: Kit) -> dict[str, list[Server]]:
    """The servers that were asked for, by group: tcpsuite always.

    :raises BenchError: when no server has such a name.
    """
    servers = {group.key: group.servers(kit) for group, _ in groups}
    names = list(dict.fromkeys(server.name for each in servers.values() for server in each))
    if not any(only in name for name in names):
        raise BenchError(f"no peer {only} here: {', '.join(names)}")
    return {
        key: [server for server in each if only in server.name or server.name == OURS]
        for key, each in servers.items()
    }


def main() -> int:
    """Measure, print, and write it down."""
    args = questions().parse_args()
    output = destination(args)
    groups = chosen(args, machine.raise_file_limit())
    return asking.carry_out(lambda folder: measure(args, groups, folder, output), "side-by-side-")


def measure(
    args: argparse.Namespace, groups: list[tuple[Group, list[Case]]], folder: Path, output: Path | None
) -> int:
    """Run the groups one after the other, report after each, and give the status to end with."""
    kit = Kit(folder, args.python, machine.raise_file_limit())
    if args.ours:
        kit = Kit(folder, args.python, kit.files, tuple(shlex.split(args.ours)))
    asked = competitors(args.only, groups, kit)
    kit.build()
    asking.warn()
    bench = Bench(kit, args.rounds, args.seconds)
    results: dict[str, dict[str, Rounds]] = {}
    described = machine.describe(args.python)
    rounds = asking.rounds_of(args.rounds, args.seconds)
    sections = [f"{described}; {time.strftime('%B %Y')}, {rounds}."]
    print(sections[0])
    for group, cases in groups:
        servers = []
        for server in asked[group.key]:
            if server.argv and kit.can_build(server):
                servers.append(server)
            else:
                say(f"left out of {group.key}, not installed: {server.name} ({server.needs})")
        found = results[group.key] = bench.run(group, cases, servers)
        sections.append(reporting.section(group, found, [server.name for server in servers]))
        print("\n" + sections[-1], flush=True)
    if args.targets:
        print("\n" + reporting.verdicts(results))
    if output:
        told = {"machine": described, "seconds": args.seconds, "groups": results}
        asking.write(output, "\n\n".join(sections), told)
    failed = [
        f"{key} {case}"
        for key, found in results.items()
        for case, rounds in found.items()
        if not any(rounds[OURS])
    ]
    if failed:
        say(f"{OURS} failed in every round: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
