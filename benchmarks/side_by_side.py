#!/usr/bin/env python3
"""Measure tcpsuite beside its peers on the same work, in one run, in turn, and print the ratios.

    python benchmarks/side_by_side.py                 all of it: twenty minutes
    python benchmarks/side_by_side.py echo relay --rounds 1 --seconds 0.5

The groups are echo, cost, relay, file and crowd.  tcpsuite is measured as it ships: an access log, an admin
listener with metrics, and limits, which are set above the load.  It and the peers have one processor, the
load another.  A server is measured once in every round, one after the other, so that a drift of the machine
meets all alike; a figure is the median of the rounds, and a ratio is ours over the peer's, round by round.

It needs a C compiler, taskset and, for files, curl.  Peers that are not installed are named and left out.
The table is also written to benchmarks/figures.md, and every single measurement to benchmarks/figures.json.

--ours 'CMD with {config}' measures another tcpsuite, or this one otherwise: --ours '.venv/bin/python -m
tcpsuite run --config {config} --reactor=epoll'.  A server of another kind finds its port as {port}, a relay
the one that it leads to as {backend}, and one of files their folder as {root}.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from comparison import BenchError, machine, reporting
from comparison.cases import GROUPS
from comparison.running import Bench, say
from comparison.servers import OURS, Kit

if TYPE_CHECKING:
    from comparison.cases import Case, Group
    from comparison.running import Rounds

FIGURES = Path(__file__).parent / "figures"
BUSY = 0.3
"""Processors that others use, on average over a minute, from which on a warning is due."""
SPARE = 500
"""Descriptors that a server is left beside those of its connections."""


def questions() -> argparse.ArgumentParser:
    """The options."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("groups", nargs="*", metavar="GROUP", help="which groups (all)")
    ask.add_argument("--case", action="append", help="only this case of them, 1k or churn; may be repeated")
    ask.add_argument("--only", default="", help="only peers whose name has this, and tcpsuite")
    ask.add_argument("--rounds", type=int, default=5, help="measurements of each server (%(default)s)")
    ask.add_argument("--seconds", type=float, default=2.0, help="length of a measurement (%(default)s)")
    ask.add_argument("--ours", help="the command that starts tcpsuite; {config} is its configuration file")
    ask.add_argument("--python", default=sys.executable, help="the interpreter of the peers in Python")
    ask.add_argument("--targets", action="store_true", help="also print what we hold ourselves to")
    ask.add_argument("--output", type=Path, default=FIGURES, help="where to write, without .md and .json")
    return ask


def chosen(args: argparse.Namespace, files: int) -> list[tuple[Group, list[Case]]]:
    """The groups and cases that were asked for and that this machine allows."""
    unknown = set(args.groups) - {group.key for group in GROUPS}
    if unknown:
        raise SystemExit(f"no group {', '.join(sorted(unknown))}: {', '.join(g.key for g in GROUPS)}")
    found = []
    for group in GROUPS:
        if args.groups and group.key not in args.groups:
            continue
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
    return found


def main() -> int:
    """Measure, print, and write it down."""
    args = questions().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # what was started is stopped all the same
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))
    groups = chosen(args, machine.raise_file_limit())
    folder = Path(tempfile.mkdtemp(prefix="side-by-side-"))
    folder.chmod(0o755)  # nginx's worker is another user
    try:
        return measure(args, groups, folder)
    except BenchError as error:
        say(str(error))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(args: argparse.Namespace, groups: list[tuple[Group, list[Case]]], folder: Path) -> int:
    """Run the groups one after the other, and report after each."""
    kit = Kit(folder, args.python, machine.raise_file_limit())
    if args.ours:
        kit = Kit(folder, args.python, kit.files, tuple(shlex.split(args.ours)))
    kit.build()
    if len(machine.PROCESSORS) < 2:
        say("there is one processor only: the load takes its part of what the servers could do")
    if os.getloadavg()[0] > BUSY:
        say("this machine is busy with other things: the figures will be low, and the ratios unsteady")
    bench = Bench(kit, args.rounds, args.seconds)
    results: dict[str, dict[str, Rounds]] = {}
    described = machine.describe(args.python)
    rounds = "a round" if args.rounds == 1 else f"{args.rounds} rounds"
    sections = [f"{described}; {time.strftime('%B %Y')}, {rounds} of {args.seconds:g} s."]
    print(sections[0])
    for group, cases in groups:
        servers = []
        for server in group.servers(kit):
            if args.only not in server.name and server.name != OURS:
                continue
            if server.argv and kit.can_build(server):
                servers.append(server)
            else:
                say(f"left out of {group.key}, not installed: {server.name} ({server.needs})")
        found = results[group.key] = bench.run(group, cases, servers)
        sections.append(reporting.section(group, found, [server.name for server in servers]))
        print("\n" + sections[-1], flush=True)
    if args.targets:
        print("\n" + reporting.verdicts(results))
    args.output.with_suffix(".md").write_text("\n\n".join(sections) + "\n")
    told = {"machine": described, "seconds": args.seconds, "groups": results}
    args.output.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
